#pragma once

// the residual stream of tokens that a staged prefill dropped, in front of the layer where the upper ones lack them: from
// there they run again, later, without the layers below

#include "ggml.h"
#include "llama.h"

#include <cstdint>
#include <vector>

class llama_io_read_i;
class llama_io_write_i;

// one sequence's
class llama_residual_store {
public:
    // rows of one prefill in front of one layer
    struct block {
        int32_t   il;
        ggml_type type;  // F32 or F16
        bool      exact; // nothing below the layer lacked a token when they were computed

        std::vector<llama_pos> pos;  // ascending
        std::vector<uint8_t>   data; // [n, n_embd]
    };

    // rows: [n, n_embd]
    void add(int32_t il, ggml_type type, bool exact, int32_t n_embd, std::vector<llama_pos> pos, const float * rows);

    // what a prefill added apart
    void append(llama_residual_store && other);

    void rm(llama_pos p0, llama_pos p1);
    void clear();

    // the layer that the token can start from: the lowest one that it is exact in front of, or the highest one; 0: no row
    int32_t find_lowest_exact(llama_pos pos) const;
    int32_t find_highest(llama_pos pos) const;

    // row: [n_embd]
    void get(llama_pos pos, int32_t il, int32_t n_embd, float * row) const;

    size_t n_bytes() const;

    // everything below this layer is what a full prefill would have computed, INT32_MAX: all of the sequence is
    int32_t il_exact = INT32_MAX;

    void write(llama_io_write_i & io) const;

    // throws when it is no store of a model with so many layers and such rows
    void read(llama_io_read_i & io, int32_t n_layer, int32_t n_embd, uint32_t n_pos_max);

private:
    std::vector<block> blocks;
};

#include "llama-residual-store.h"

#include "llama-io.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

static size_t row_size(ggml_type type, int32_t n_embd) {
    return ggml_row_size(type, n_embd);
}

static int64_t find_pos(const llama_residual_store::block & block, llama_pos pos) {
    const auto it = std::lower_bound(block.pos.begin(), block.pos.end(), pos);

    return it == block.pos.end() || *it != pos ? -1 : it - block.pos.begin();
}

void llama_residual_store::add(int32_t il, ggml_type type, bool exact, int32_t n_embd, std::vector<llama_pos> pos, const float * rows) {
    if (pos.empty()) {
        return;
    }

    block res = {il, type, exact, std::move(pos), {}};

    const int64_t n = res.pos.size();

    res.data.resize(n * row_size(type, n_embd));

    if (type == GGML_TYPE_F16) {
        ggml_fp32_to_fp16_row(rows, (ggml_fp16_t *) res.data.data(), n * n_embd);
    } else {
        memcpy(res.data.data(), rows, res.data.size());
    }

    blocks.push_back(std::move(res));
}

void llama_residual_store::append(llama_residual_store && other) {
    for (auto & block : other.blocks) {
        blocks.push_back(std::move(block));
    }

    other.blocks.clear();
}

void llama_residual_store::rm(llama_pos p0, llama_pos p1) {
    for (auto & block : blocks) {
        const int64_t n  = block.pos.size();
        const int64_t i0 = std::lower_bound(block.pos.begin(), block.pos.end(), p0) - block.pos.begin();
        const int64_t i1 = p1 < 0 ? n : std::lower_bound(block.pos.begin(), block.pos.end(), p1) - block.pos.begin();

        if (i0 >= i1) {
            continue;
        }

        const int64_t n_row = block.data.size() / n;

        block.pos.erase(block.pos.begin() + i0, block.pos.begin() + i1);
        block.data.erase(block.data.begin() + i0 * n_row, block.data.begin() + i1 * n_row);
    }

    blocks.erase(std::remove_if(blocks.begin(), blocks.end(), [](const block & block) { return block.pos.empty(); }), blocks.end());
}

void llama_residual_store::clear() {
    blocks.clear();
    il_exact = INT32_MAX;
}

int32_t llama_residual_store::find_lowest_exact(llama_pos pos) const {
    int32_t res = 0;

    for (const auto & block : blocks) {
        if (block.exact && (res == 0 || block.il < res) && find_pos(block, pos) >= 0) {
            res = block.il;
        }
    }

    return res;
}

int32_t llama_residual_store::find_highest(llama_pos pos) const {
    int32_t res = 0;

    for (const auto & block : blocks) {
        if (block.il > res && find_pos(block, pos) >= 0) {
            res = block.il;
        }
    }

    return res;
}

void llama_residual_store::get(llama_pos pos, int32_t il, int32_t n_embd, float * row) const {
    for (const auto & block : blocks) {
        const int64_t i = block.il == il ? find_pos(block, pos) : -1;
        if (i < 0) {
            continue;
        }

        const uint8_t * src = block.data.data() + i * row_size(block.type, n_embd);

        if (block.type == GGML_TYPE_F16) {
            ggml_fp16_to_fp32_row((const ggml_fp16_t *) src, row, n_embd);
        } else {
            memcpy(row, src, n_embd * sizeof(float));
        }

        return;
    }

    throw std::runtime_error("the residual stream of a token is not stored");
}

size_t llama_residual_store::n_bytes() const {
    size_t res = 0;

    for (const auto & block : blocks) {
        res += block.data.size() + block.pos.size() * sizeof(llama_pos);
    }

    return res;
}

void llama_residual_store::write(llama_io_write_i & io) const {
    const uint32_t n_blocks = blocks.size();

    io.write(&il_exact, sizeof(il_exact));
    io.write(&n_blocks, sizeof(n_blocks));

    for (const auto & block : blocks) {
        const int32_t  type  = block.type;
        const uint32_t exact = block.exact;
        const uint32_t n     = block.pos.size();

        io.write(&block.il, sizeof(block.il));
        io.write(&type, sizeof(type));
        io.write(&exact, sizeof(exact));
        io.write(&n, sizeof(n));
        io.write(block.pos.data(), n * sizeof(llama_pos));
        io.write(block.data.data(), block.data.size());
    }
}

void llama_residual_store::read(llama_io_read_i & io, int32_t n_layer, int32_t n_embd, uint32_t n_pos_max) {
    clear();

    uint32_t n_blocks;

    io.read(&il_exact, sizeof(il_exact));
    io.read(&n_blocks, sizeof(n_blocks));

    // a prefill adds one for each of its boundaries, and at least one row
    if (n_blocks > (uint64_t) n_pos_max * n_layer) {
        throw std::runtime_error("the state is damaged");
    }

    for (uint32_t i = 0; i < n_blocks; ++i) {
        int32_t  il;
        int32_t  type;
        uint32_t exact;
        uint32_t n;

        io.read(&il, sizeof(il));
        io.read(&type, sizeof(type));
        io.read(&exact, sizeof(exact));
        io.read(&n, sizeof(n));

        if (il < 1 || il >= n_layer || (type != GGML_TYPE_F32 && type != GGML_TYPE_F16) || exact > 1 || n < 1 || n > n_pos_max) {
            throw std::runtime_error("the state is damaged");
        }

        block res = {il, (ggml_type) type, exact != 0, std::vector<llama_pos>(n), std::vector<uint8_t>(n * row_size((ggml_type) type, n_embd))};

        io.read(res.pos.data(), n * sizeof(llama_pos));
        io.read(res.data.data(), res.data.size());

        for (uint32_t k = 1; k < n; ++k) {
            if (res.pos[k] <= res.pos[k - 1]) {
                throw std::runtime_error("the state is damaged");
            }
        }

        blocks.push_back(std::move(res));
    }
}

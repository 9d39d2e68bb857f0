#pragma once

// staged prefill on a llama_context: enabling it, running it, looking into it
//
// A staged prefill runs the prompt layer-major: the layers between two boundaries (a stage) over all remaining tokens
// before the next stage starts. At a boundary tokens may leave; they have keys and values below it and none above.

#include "llama.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

enum llama_staged_status {
    LLAMA_STAGED_OK,
    LLAMA_STAGED_INVALID, // bad plan, bad arguments
    LLAMA_STAGED_FULL,    // no room in the KV cache
    LLAMA_STAGED_CANCELLED,
    LLAMA_STAGED_FAILED,      // allocation or compute failed
    LLAMA_STAGED_CALLBACK,    // the selection callback reported a failure
    LLAMA_STAGED_UNSUPPORTED, // the architecture has no such part
};

enum llama_probe_reduction {
    LLAMA_PROBE_MEAN = 0, // sum over the queries / number of queries at or after the key
    LLAMA_PROBE_MAX  = 1,
};

enum llama_probe_keys {
    LLAMA_PROBE_KEYS_STAGE    = 0, // the tokens of the layer's stage
    LLAMA_PROBE_KEYS_SEQUENCE = 1, // what the layer held for the sequence before the prefill, then the tokens of the stage
};

struct llama_probe {
    int32_t               il;
    llama_probe_reduction reduction;

    // queries q_first, q_first + q_stride, ... as indices into the tokens of the layer's stage; negative: from the end
    int64_t q_first;
    int64_t q_stride;

    llama_probe_keys keys = LLAMA_PROBE_KEYS_STAGE;
};

enum llama_layer_part {
    LLAMA_LAYER_PART_BLOCK        = 0,
    LLAMA_LAYER_PART_ATTENTION    = 1, // the layer writes no keys and values
    LLAMA_LAYER_PART_FEED_FORWARD = 2,
};

// a part of a layer that a sequence does without
struct llama_layer_skip {
    int32_t          il;
    llama_layer_part part;

    bool operator==(const llama_layer_skip & other) const { return il == other.il && part == other.part; }
    bool operator<(const llama_layer_skip & other) const { return il != other.il ? il < other.il : part < other.part; }
};

// what the selection sees at a boundary
struct llama_boundary {
    int32_t index;
    int32_t il;

    const std::vector<llama_pos> * pos; // tokens that arrived, ascending

    struct probe_result {
        llama_probe            probe;
        int32_t                n_head;
        std::vector<llama_pos> key_pos; // [n_keys] ascending
        std::vector<float>     data;    // [n_head, n_keys]
    };

    std::vector<probe_result> probes;

    int32_t       n_embd;
    const float * residual; // [n_tokens, n_embd]

    // filled by the selection
    std::vector<int32_t>          keep; // indices that go on, strictly ascending
    std::vector<llama_layer_skip> skip; // what the sequence does without, too: of layers at or above the boundary
};

struct llama_staged_plan {
    std::vector<int32_t>          boundaries; // ascending, 0 < il < n_layer
    std::vector<llama_probe>      probes;
    std::vector<llama_layer_skip> skip; // what the sequence does without, at most one part of a layer

    // prefill-only pruning, 0: none. From this layer on only the last token runs. The residual stream of every other token
    // stays what it is in front of the layer, and the layers write the keys and values that they project from it
    int32_t il_prefill_only = 0;

    // keep the residual stream of the tokens where the first of them leave, and of those that leave later, so that the layers
    // above can be completed: F32, F16, or COUNT for none
    ggml_type store = GGML_TYPE_COUNT;
};

struct llama_staged_stage_report {
    int32_t il_begin;
    int32_t il_end;
    int64_t n_tokens;
    bool    kv_only; // the tokens wrote keys and values and nothing else

    std::vector<int64_t> chunk_us;
};

struct llama_staged_report {
    int64_t total_us  = 0;
    int64_t select_us = 0;

    std::vector<llama_staged_stage_report> stages;
};

struct llama_staged_callbacks {
    std::function<bool(llama_boundary &)>                                                select;   // false: failure
    std::function<bool(int32_t stage, int64_t n_done, int64_t n_stage, double fraction)> progress; // false: cancel

    const std::atomic<bool> * cancel = nullptr;
};

// replaces the (empty) KV cache of the context by a staged one. On failure the context is as it was and `why` says why
// the model or its memory cannot be staged.
bool llama_staged_enable(llama_context * ctx, std::string & why);
bool llama_staged_enabled(const llama_context * ctx);

// appends the tokens to the sequence stage by stage; the logits of the last one are at llama_get_logits_ith(ctx, -1).
// Anything but LLAMA_STAGED_OK leaves the sequence as it was and sets `why`.
llama_staged_status llama_staged_prefill(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const llama_staged_plan &        plan,
        const llama_staged_callbacks &   callbacks,
        llama_staged_report &            report,
        std::string &                    why);

// runs tokens of the sequence again, at their positions, which ascend and lie in front of its last one, through all layers: those
// that had dropped them have their keys and values again (what LazyLLM, arXiv 2407.14057, calls revival). All other tokens stay as
// they are. There are no logits afterwards. LLAMA_STAGED_FAILED: the sequence ends in front of the first of them if anything was
// let go of
llama_staged_status llama_staged_restore(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const std::vector<llama_pos> &   pos,
        std::string &                    why);

enum llama_complete_grade {
    LLAMA_COMPLETE_FILL  = 0, // tokens that upper layers lack run there, over those that are there, which stay as they are
    LLAMA_COMPLETE_EXACT = 1, // all tokens run there again, in order
};

// completes the layers that lack tokens of the sequence, front to back: one ubatch of at most n_run_max tokens at positions
// [pos0, pos0 + tokens.size()), which start from their stored residual stream, or from the first layer where none is stored.
//   n_done: positions from pos0 on that are complete now; EXACT, as a full prefill would have them if those in front of them are
//   n_run:  tokens that were run for it
// There are no logits afterwards. LLAMA_STAGED_FULL: nothing was changed. LLAMA_STAGED_FAILED: upper layers lack what was to be
// completed; the sequence ends in front of the first of the tokens that ran from the first layer
llama_staged_status llama_staged_complete(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        llama_complete_grade             grade,
        const std::vector<llama_token> & tokens,
        llama_pos                        pos0,
        int64_t                          n_run_max,
        int64_t &                        n_done,
        int64_t &                        n_run,
        std::string &                    why);

// bytes of stored residual streams of the sequence
int64_t llama_staged_store_bytes(const llama_context * ctx, llama_seq_id seq_id);

// lets go of the stored residual streams: what is completed later runs from the first layer
void llama_staged_store_clear(llama_context * ctx, llama_seq_id seq_id);

// while it lives, a graph of the context stops when the flag is set; then the host's own abort callback is back
class llama_abort_scope {
public:
    // cancel: nullptr leaves the host's callback in place
    llama_abort_scope(llama_context * ctx, const std::atomic<bool> * cancel);
    ~llama_abort_scope();

    llama_abort_scope(const llama_abort_scope &)             = delete;
    llama_abort_scope & operator=(const llama_abort_scope &) = delete;

private:
    llama_context *     ctx;
    ggml_abort_callback callback;
    void *              data;
    const bool          active;
};

// positions that the layer's cache holds for the sequence, ascending. Works on stock llama_kv_cache memories too.
std::vector<llama_pos> llama_staged_positions(const llama_context * ctx, llama_seq_id seq_id, int32_t il);

// bytes of keys and values in use by the sequence, and bytes allocated for all of them
int64_t llama_staged_kv_bytes_used(const llama_context * ctx, llama_seq_id seq_id);
int64_t llama_staged_kv_bytes_allocated(const llama_context * ctx);

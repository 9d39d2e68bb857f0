#pragma once

// what a staged prefill and the completion behind it share; not for others

#include "llama-context.h"
#include "llama-kv-cache-staged.h"
#include "llama-model.h"
#include "llama-staged.h"

#include <string>
#include <vector>

// the private parts of llama_context that they need. One place, so that a change upstream shows here first
struct llama_staged_access {
    static llama_kv_cache_staged * memory(const llama_context * ctx) {
        return dynamic_cast<llama_kv_cache_staged *>(ctx->memory.get());
    }

    static llama_memory_i * any_memory(const llama_context * ctx) {
        return ctx->memory.get();
    }

    static bool has_backend_samplers(const llama_context * ctx) {
        return !ctx->sampling.samplers.empty();
    }

    // replaces the memory; compute buffers are reserved anew
    static void set_memory(llama_context * ctx, llama_memory_i * memory) {
        ctx->memory.reset(memory);
        for (auto & res : ctx->gf_res_prev) {
            if (res) {
                res->reset();
            }
        }
        ctx->gf_res_prev_active = nullptr;
        ctx->sched_need_reserve = true;
    }

    static llm_graph_params graph_params(const llama_context * ctx, llm_graph_result * res, const llama_ubatch & ubatch, const llama_memory_context_i * mctx) {
        return ctx->graph_params(res, ubatch, mctx, LLM_GRAPH_TYPE_DEFAULT);
    }

    // room for the logits of one token
    static bool begin_outputs(llama_context * ctx) {
        // copies into it may be under way
        if (!ctx->embd_seq.empty()) {
            ctx->synchronize();
        }
        ctx->embd_seq.clear();
        ctx->output_swaps.clear();

        return ctx->output_reserve(1) >= 1;
    }

    static void set_n_outputs(llama_context * ctx, uint32_t n_outputs) {
        ctx->n_outputs = n_outputs;
    }

    static void get_logits(llama_context * ctx, const llm_graph_result * res) {
        ggml_tensor * t_logits = res->get_logits();

        ggml_backend_t backend = ggml_backend_sched_get_tensor_backend(ctx->sched.get(), t_logits);
        GGML_ASSERT(backend != nullptr);

        ggml_backend_tensor_get_async(backend, t_logits, ctx->logits.data, 0, ctx->model.vocab.n_tokens() * sizeof(float));
    }

    static void get_tensor(llama_context * ctx, ggml_tensor * t, void * data) {
        ggml_backend_t backend = ggml_backend_sched_get_tensor_backend(ctx->sched.get(), t);
        GGML_ASSERT(backend != nullptr);

        ggml_backend_tensor_get_async(backend, t, data, 0, ggml_nbytes(t));
    }

    // as llama_context::decode() does
    static void count_tokens(llama_context * ctx, int64_t n_tokens) {
        if (ctx->t_compute_start_us == 0) {
            ctx->t_compute_start_us = ggml_time_us();
        }
        ctx->n_queued_tokens += n_tokens;
    }

    static ggml_abort_callback abort_callback(const llama_context * ctx) {
        return ctx->abort_callback;
    }

    static void * abort_callback_data(const llama_context * ctx) {
        return ctx->abort_callback_data;
    }
};

// a token of a sequence in the cache of a layer
struct llama_staged_cell {
    llama_pos pos;
    uint32_t  cell; // in the stream of the sequence
};

// ascending by position
std::vector<llama_staged_cell> llama_staged_get_cells(const llama_kv_cache & kv, llama_seq_id seq_id);

// tokens [i0, i1) of one sequence
llama_ubatch llama_staged_build_ubatch(
        const std::vector<llama_token> & tokens,
        const std::vector<llama_pos> &   pos,
        int64_t                          i0,
        int64_t                          i1,
        llama_seq_id                     seq_id,
        bool                             equal_seqs,
        bool                             output_last);

bool llama_staged_check_tokens(const llama_context * ctx, llama_seq_id seq_id, const std::vector<llama_token> & tokens, std::string & why);

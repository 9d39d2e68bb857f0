#include "llama-staged.h"

#include "llama-graph-staged.h"
#include "llama-impl.h"
#include "llama-io.h"
#include "llama-staged-access.h"

#include <algorithm>
#include <stdexcept>

llama_abort_scope::llama_abort_scope(llama_context * ctx, const std::atomic<bool> * cancel) :
    ctx(ctx),
    callback(llama_staged_access::abort_callback(ctx)),
    data(llama_staged_access::abort_callback_data(ctx)),
    active(cancel != nullptr) {
    if (active) {
        ctx->set_abort_callback(
                [](void * data) { return ((const std::atomic<bool> *) data)->load(std::memory_order_relaxed); },
                const_cast<std::atomic<bool> *>(cancel));
    }
}

llama_abort_scope::~llama_abort_scope() {
    if (active) {
        ctx->set_abort_callback(callback, data);
    }
}

//
// enabling
//

static bool all_layers_have_kv(const llama_hparams & hparams) {
    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        if (!hparams.has_kv(il)) {
            return false;
        }
    }

    return true;
}

static bool check_model(const llama_context * ctx, std::string & why) {
    const auto & hparams = ctx->get_model().hparams;
    const auto & cparams = ctx->get_cparams();

    auto * memory = llama_staged_access::any_memory(ctx);

    if (cparams.ctx_type != LLAMA_CONTEXT_TYPE_DEFAULT) {
        why = "the context runs the model's next-token layers alone";
    } else if (memory == nullptr) {
        why = "the model has no KV cache (an encoder or embedding model)";
    } else if (dynamic_cast<llama_kv_cache *>(memory) == nullptr) {
        why = hparams.swa_type != LLAMA_SWA_TYPE_NONE ?
                      "the model uses sliding-window attention" :
                      "the model's memory is not a plain KV cache (recurrent or hybrid model)";
    } else if (hparams.is_mla()) {
        why = "the model uses multi-head latent attention";
    } else if (!all_layers_have_kv(hparams)) {
        why = "some of the model's layers have no keys and values of their own";
    } else if (hparams.n_pos_per_embd() != 1) {
        why = "the model uses more than one position per token (M-RoPE)";
    } else if (!cparams.causal_attn) {
        why = "the context uses non-causal attention";
    } else if (cparams.embeddings || cparams.pooling_type != LLAMA_POOLING_TYPE_NONE) {
        why = "the context computes embeddings";
    } else if (hparams.n_layer() < 3) {
        why = "the model has fewer than three layers";
    } else if (memory->seq_pos_max(0) >= 0) {
        why = "the KV cache is not empty: enable staging before the first decode";
    }

    return why.empty();
}

bool llama_staged_enabled(const llama_context * ctx) {
    return llama_staged_access::memory(ctx) != nullptr;
}

bool llama_staged_enable(llama_context * ctx, std::string & why) {
    why.clear();

    if (llama_staged_enabled(ctx)) {
        return true;
    }

    if (!check_model(ctx, why)) {
        return false;
    }

    const auto & model   = ctx->get_model();
    const auto & cparams = ctx->get_cparams();

    llama_memory_params params_mem = {};
    uint32_t            kv_size    = 0;
    {
        const auto * kv = static_cast<llama_kv_cache *>(llama_staged_access::any_memory(ctx));

        params_mem.type_k   = kv->type_k();
        params_mem.type_v   = kv->type_v();
        params_mem.ctx_type = cparams.ctx_type;
        kv_size             = kv->get_size();
    }

    ctx->synchronize();

    try {
        // the stock cache goes first, so that there are never two of them
        llama_staged_access::set_memory(ctx, nullptr);
        llama_staged_access::set_memory(ctx, new llama_kv_cache_staged(
                                                     model, params_mem.type_k, params_mem.type_v, !cparams.flash_attn,
                                                     cparams.offload_kqv, cparams.kv_unified, kv_size, cparams.n_seq_max));

        // a graph that is built but not run tells whether it can be sliced
        std::string why_whole_layers_only;
        std::string why_no_kv_only;
        {
            llm_graph_result res(ctx->graph_max_nodes(cparams.n_seq_max));
            res.reset();

            // one token of each sequence, as llama_context::graph_reserve() does
            const uint32_t n_seqs = cparams.n_seq_max;

            llama_batch_allocr balloc(model.hparams.n_pos_per_embd());
            llama_ubatch       ubatch = balloc.ubatch_reserve(1, n_seqs);

            std::vector<llama_seq_id> seq_ids(n_seqs);
            for (uint32_t s = 0; s < n_seqs; ++s) {
                seq_ids[s]         = s;
                ubatch.n_seq_id[s] = 1;
                ubatch.seq_id[s]   = &seq_ids[s];
                ubatch.output[s]   = true;
            }

            const auto mctx = llama_staged_access::memory(ctx)->init_full();

            auto * gf = model.build_graph(llama_staged_access::graph_params(ctx, &res, ubatch, mctx.get()));

            why = llm_graph_check_staged(&res, model.hparams.n_layer());

            if (why.empty()) {
                why_whole_layers_only = llm_graph_check_sublayers(gf, model.hparams.n_layer());
                why_no_kv_only        = llm_graph_check_kv_only(gf, model.hparams);
            }
        }

        if (why.empty()) {
            llama_staged_access::memory(ctx)->whole_layers_only = why_whole_layers_only;
            llama_staged_access::memory(ctx)->no_kv_only        = why_no_kv_only;

            ctx->sched_reserve();

            return true;
        }
    } catch (const std::exception & err) {
        why = err.what();
    }

    // back to what it was
    llama_staged_access::set_memory(ctx, nullptr);
    llama_staged_access::set_memory(ctx, model.create_memory(params_mem, cparams));
    ctx->sched_reserve();

    return false;
}

//
// what a staged prefill and the completion behind it share
//

std::vector<llama_staged_cell> llama_staged_get_cells(const llama_kv_cache & kv, llama_seq_id seq_id) {
    std::vector<llama_staged_cell> res;

    const auto & cells = kv.get_cells(seq_id);

    for (uint32_t i = 0; i < cells.size(); ++i) {
        if (!cells.is_empty(i) && cells.seq_has(i, seq_id)) {
            res.push_back({cells.pos_get(i), i});
        }
    }

    std::sort(res.begin(), res.end(), [](const llama_staged_cell & a, const llama_staged_cell & b) { return a.pos < b.pos; });

    return res;
}

llama_ubatch llama_staged_build_ubatch(
        const std::vector<llama_token> & tokens,
        const std::vector<llama_pos> &   pos,
        int64_t                          i0,
        int64_t                          i1,
        llama_seq_id                     seq_id,
        bool                             equal_seqs,
        bool                             output_last) {
    const uint32_t n_tokens = i1 - i0;

    auto udata = std::make_shared<llama_ubatch::data_t>();

    udata->token.assign(tokens.begin() + i0, tokens.begin() + i1);
    udata->pos.assign(pos.begin() + i0, pos.begin() + i1);

    udata->n_seq_id.resize(n_tokens, 1);
    udata->seq_id_data.resize(n_tokens, seq_id);
    udata->output.resize(n_tokens, 0);
    udata->seq_idx.resize(LLAMA_MAX_SEQ, -1);

    udata->seq_id_unq.push_back(seq_id);
    udata->seq_idx[seq_id] = 0;

    for (auto & id : udata->seq_id_data) {
        udata->seq_id.push_back(&id);
    }

    udata->output.back() = output_last;

    llama_ubatch res{
            /*.b_equal_seqs =*/equal_seqs,
            /*.n_tokens     =*/n_tokens,
            /*.n_seq_tokens =*/equal_seqs ? n_tokens : 1,
            /*.n_seqs       =*/equal_seqs ? 1 : n_tokens,
            /*.n_seqs_unq   =*/1,
            /*.n_pos        =*/1,

            /*.token        =*/udata->token.data(),
            /*.embd         =*/nullptr,
            /*.pos          =*/udata->pos.data(),
            /*.n_seq_id     =*/udata->n_seq_id.data(),
            /*.seq_id       =*/udata->seq_id.data(),
            /*.seq_id_unq   =*/udata->seq_id_unq.data(),
            /*.seq_idx      =*/udata->seq_idx.data(),
            /*.output       =*/udata->output.data(),
            /*.data         =*/std::move(udata),
    };

    return res;
}

bool llama_staged_check_tokens(const llama_context * ctx, llama_seq_id seq_id, const std::vector<llama_token> & tokens, std::string & why) {
    const int32_t n_vocab = ctx->get_model().vocab.n_tokens();

    if (seq_id < 0 || seq_id >= (llama_seq_id) ctx->n_seq_max()) {
        why = format("sequence %d is out of range [0, %u)", seq_id, ctx->n_seq_max());
        return false;
    }

    if (tokens.empty()) {
        why = "there are no tokens";
        return false;
    }

    for (const auto token : tokens) {
        if (token < 0 || token >= n_vocab) {
            why = format("token %d is out of range [0, %d)", token, n_vocab);
            return false;
        }
    }

    return true;
}

//
// looking into the memory
//

// counts the bytes of keys and values that state_write() would write
class llama_io_write_count : public llama_io_write_i {
public:
    void write(const void * src, size_t size) override {
        GGML_UNUSED(src);
        n_other_bytes += size;
    }

    void write_tensor(ggml_tensor * tensor, size_t offset, size_t size) override {
        GGML_UNUSED(tensor);
        GGML_UNUSED(offset);
        n_tensor_bytes += size;
    }

    size_t n_bytes() override {
        return n_other_bytes + n_tensor_bytes;
    }

    size_t n_other_bytes  = 0;
    size_t n_tensor_bytes = 0;
};

static const llama_kv_cache * get_layer_cache(const llama_context * ctx, int32_t il) {
    if (const auto * staged = llama_staged_access::memory(ctx)) {
        return staged->get_layer(il);
    }

    return dynamic_cast<const llama_kv_cache *>(llama_staged_access::any_memory(ctx));
}

std::vector<llama_pos> llama_staged_positions(const llama_context * ctx, llama_seq_id seq_id, int32_t il) {
    std::vector<llama_pos> res;

    const auto * kv = get_layer_cache(ctx, il);
    if (kv == nullptr) {
        return res;
    }

    for (const auto & cell : llama_staged_get_cells(*kv, seq_id)) {
        res.push_back(cell.pos);
    }

    return res;
}

int64_t llama_staged_kv_bytes_used(const llama_context * ctx, llama_seq_id seq_id) {
    int64_t res = 0;

    const int32_t n_caches = llama_staged_enabled(ctx) ? ctx->get_model().hparams.n_layer() : 1;

    for (int32_t il = 0; il < n_caches; ++il) {
        const auto * kv = get_layer_cache(ctx, il);
        if (kv == nullptr) {
            continue;
        }

        llama_io_write_count io;
        kv->state_write(io, seq_id, 0);

        res += io.n_tensor_bytes;
    }

    return res;
}

int64_t llama_staged_store_bytes(const llama_context * ctx, llama_seq_id seq_id) {
    const auto * kv = llama_staged_access::memory(ctx);

    return kv ? kv->get_store(seq_id).n_bytes() : 0;
}

void llama_staged_store_clear(llama_context * ctx, llama_seq_id seq_id) {
    if (auto * kv = llama_staged_access::memory(ctx)) {
        kv->get_store(seq_id).rm(0, -1);
    }
}

int64_t llama_staged_kv_bytes_allocated(const llama_context * ctx) {
    int64_t res = 0;

    if (const auto * memory = llama_staged_access::any_memory(ctx)) {
        for (const auto & buft_size : memory->memory_breakdown()) {
            res += buft_size.second;
        }
    }

    return res;
}

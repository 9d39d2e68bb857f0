#include "llama-staged.h"

#include "llama-graph-staged.h"
#include "llama-impl.h"
#include "llama-io.h"
#include "llama-staged-access.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
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
// prefill
//

// ascending, without duplicates
static void sort_skip(std::vector<llama_layer_skip> & skip) {
    std::sort(skip.begin(), skip.end());
    skip.erase(std::unique(skip.begin(), skip.end()), skip.end());
}

// whether a sequence can do without this, sorted, of layers from il_min on
static llama_staged_status check_skip(const llama_kv_cache_staged * kv, const std::vector<llama_layer_skip> & skip, int32_t il_min, std::string & why) {
    const int32_t n_layer = kv->get_n_layer();

    for (size_t i = 0; i < skip.size(); ++i) {
        const auto & cur = skip[i];

        if (cur.part < LLAMA_LAYER_PART_BLOCK || cur.part > LLAMA_LAYER_PART_FEED_FORWARD) {
            why = format("layer %d: there is no part %d of a layer", cur.il, cur.part);
            return LLAMA_STAGED_INVALID;
        }

        const bool    is_block = cur.part == LLAMA_LAYER_PART_BLOCK;
        const int32_t il_end   = is_block ? n_layer - 1 : n_layer;

        // the first layer takes the embeddings and tells what a sequence holds, the last one picks the rows that become logits
        if (cur.il < 1 || cur.il >= il_end) {
            why = format("%s %d cannot be skipped: only those in [1, %d) can", is_block ? "layer" : "a sublayer of layer", cur.il, il_end);
            return LLAMA_STAGED_INVALID;
        }

        if (cur.il < il_min) {
            why = format("layer %d cannot be skipped any more: the prefill is in front of layer %d", cur.il, il_min);
            return LLAMA_STAGED_INVALID;
        }

        if (i > 0 && cur.il == skip[i - 1].il) {
            why = format("two parts of layer %d are skipped: without both sublayers it is the whole layer", cur.il);
            return LLAMA_STAGED_INVALID;
        }

        if (!is_block && !kv->whole_layers_only.empty()) {
            why = format("only whole layers can be skipped: %s", kv->whole_layers_only.c_str());
            return LLAMA_STAGED_UNSUPPORTED;
        }
    }

    return LLAMA_STAGED_OK;
}

static bool check_plan(const llama_context * ctx, llama_seq_id seq_id, const std::vector<llama_token> & tokens, const llama_staged_plan & plan, std::string & why) {
    const int32_t n_layer = ctx->get_model().hparams.n_layer();

    if (!llama_staged_check_tokens(ctx, seq_id, tokens, why)) {
        return false;
    }

    int32_t il_prev = 0;
    for (const int32_t il : plan.boundaries) {
        if (il <= il_prev || il >= n_layer) {
            why = format("boundary at layer %d: boundaries ascend and lie in [1, %d)", il, n_layer);
            return false;
        }
        il_prev = il;
    }

    if (plan.il_prefill_only != 0 && (plan.il_prefill_only < 1 || plan.il_prefill_only >= n_layer)) {
        why = format("prefill-only from layer %d on: possible are those in [1, %d)", plan.il_prefill_only, n_layer);
        return false;
    }

    if (plan.il_prefill_only != 0 && !plan.boundaries.empty() && plan.boundaries.back() > plan.il_prefill_only) {
        why = format("boundary at layer %d: prefill-only from layer %d on, all tokens that are there write their keys and values to every layer, so none can leave",
                plan.boundaries.back(), plan.il_prefill_only);
        return false;
    }

    for (const auto & probe : plan.probes) {
        if (plan.boundaries.empty() || probe.il < 0 || probe.il >= plan.boundaries.back()) {
            why = format("probe of layer %d: there is no boundary above it", probe.il);
            return false;
        }
        if (probe.q_stride < 1) {
            why = format("probe of layer %d: stride %" PRId64 " is not positive", probe.il, probe.q_stride);
            return false;
        }
    }

    return true;
}

namespace {

struct stage_probe {
    int32_t index; // into the plan's probes

    int64_t q_first; // resolved: indices into the tokens of the stage
    int64_t q_stride;

    // keys in front of the tokens of the stage, ascending by position: what the layer held already
    std::vector<llama_staged_cell> past;

    std::vector<float> acc; // [n_head, n_past + n_tokens of the stage]
    int32_t            n_head = 0;
};

// the layers of a stage, and what they do
struct stage_range {
    int32_t il_begin;
    int32_t il_end;
    bool    kv_only; // all tokens but the last write keys and values; after it the last one goes on alone
    bool    select;  // a boundary is behind it
};

} // namespace

static std::vector<stage_range> get_stage_ranges(const llama_staged_plan & plan, int32_t n_layer) {
    std::vector<stage_range> res;

    int32_t il = 0;

    for (const int32_t il_end : plan.boundaries) {
        res.push_back({il, il_end, false, true});
        il = il_end;
    }

    if (const int32_t il_end = plan.il_prefill_only) {
        if (il < il_end) {
            res.push_back({il, il_end, false, false});
        }
        res.push_back({il_end, n_layer, true, false});
        il = il_end;
    }

    res.push_back({il, n_layer, false, false});

    return res;
}

// work of writing the keys and values of a token to a layer, as a share of running the layer; only good enough to tell progress
static double get_kv_only_share(const llama_hparams & hparams, int32_t il) {
    const double n_kv  = hparams.n_embd_k_gqa(il) + hparams.n_embd_v_gqa(il);
    const double n_all = n_kv + 2.0 * hparams.n_embd_head_k(il) * hparams.n_head(il) + 3.0 * hparams.n_ff(il);

    return n_kv / n_all;
}

static llama_stage::probe_rows get_probe_rows(const stage_probe & probe, const llama_probe & def, int64_t i0, int64_t i1) {
    llama_stage::probe_rows res = {
            /*.probe      =*/probe.index,
            /*.il         =*/def.il,
            /*.reduction  =*/def.reduction,
            /*.row_first  =*/0,
            /*.row_stride =*/probe.q_stride,
            /*.n_rows     =*/0,
    };

    int64_t q = probe.q_first;
    if (q < i0) {
        q += (i0 - q + probe.q_stride - 1) / probe.q_stride * probe.q_stride;
    }

    if (q < i1) {
        res.row_first = q - i0;
        res.n_rows    = (i1 - 1 - q) / probe.q_stride + 1;
    }

    return res;
}

static llama_staged_status prefill_stages(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const llama_staged_plan &        plan,
        const llama_staged_callbacks &   callbacks,
        llama_staged_report &            report,
        std::string &                    why) {
    auto * kv = llama_staged_access::memory(ctx);

    const auto & hparams = ctx->get_model().hparams;

    const int32_t n_layer  = hparams.n_layer();
    const int64_t n_embd   = hparams.n_embd;
    const int64_t n_ubatch = ctx->n_ubatch();
    const auto    ranges   = get_stage_ranges(plan, n_layer);

    const llama_pos pos0 = kv->seq_pos_max(seq_id) + 1;

    const auto classes_old = kv->get_classes();

    // layers with equal numbers ran the same tokens; 0: none
    std::vector<uint32_t> groups(n_layer, 0);
    uint32_t              group = 0;

    std::vector<llama_token> tokens_cur = tokens;
    std::vector<llama_pos>   pos_cur(tokens.size());

    for (size_t i = 0; i < tokens.size(); ++i) {
        pos_cur[i] = pos0 + i;
    }

    // what is kept for the completion of upper layers; the sequence gets it when everything went well
    auto &               store    = kv->get_store(seq_id);
    int32_t              il_exact = store.il_exact;
    llama_residual_store stored;

    auto keep_residual = [&](const llama_boundary & boundary) {
        const auto & keep = boundary.keep;
        if (keep.size() == tokens_cur.size()) {
            return;
        }

        // where the first tokens leave, all of them run again; further up those that leave
        const bool is_first = stored.n_bytes() == 0;
        const bool is_exact = is_first && boundary.il <= store.il_exact;

        il_exact = std::min(il_exact, boundary.il);

        if (plan.store == GGML_TYPE_COUNT) {
            return;
        }
        if (is_first) {
            stored.add(boundary.il, plan.store, is_exact, n_embd, pos_cur, boundary.residual);
            return;
        }

        std::vector<llama_pos> pos;
        std::vector<float>     rows;

        for (size_t i = 0, ik = 0; i < pos_cur.size(); ++i) {
            if (ik < keep.size() && (size_t) keep[ik] == i) {
                ++ik;
                continue;
            }
            pos.push_back(pos_cur[i]);
            rows.insert(rows.end(), boundary.residual + i * n_embd, boundary.residual + (i + 1) * n_embd);
        }

        stored.add(boundary.il, plan.store, is_exact, n_embd, std::move(pos), rows.data());
    };

    // residual stream of the tokens at the last boundary; a chunk of a stage reads its rows and later overwrites them
    std::vector<float> residual;

    std::vector<float> probe_buf;

    auto cancelled = [&]() {
        return callbacks.cancel && callbacks.cancel->load(std::memory_order_relaxed);
    };

    // token-layers, to tell how far the prefill is before it is known how many tokens will be kept
    double work_done = 0.0;

    auto work_of_tokens = [&](double n_tokens, int32_t il_begin, int32_t il_end, bool kv_only) {
        return n_tokens * (il_end - il_begin) * (kv_only ? get_kv_only_share(hparams, il_begin) : 1.0);
    };

    // of the tokens that are here, only the last one goes on
    auto go_on_alone = [&]() {
        memmove(residual.data(), residual.data() + (tokens_cur.size() - 1) * n_embd, n_embd * sizeof(float));
        tokens_cur = {tokens_cur.back()};
        pos_cur    = {pos_cur.back()};
    };

    for (size_t ir = 0; ir < ranges.size(); ++ir) {
        const auto & range   = ranges[ir];
        const bool   is_last = ir + 1 == ranges.size();

        llama_stage stage;
        stage.il_begin = range.il_begin;
        stage.il_end   = range.il_end;
        stage.skip     = kv->get_skip(seq_id);
        stage.kv_only  = range.kv_only;

        if (stage.kv_only) {
            bool has_any = false;
            for (int32_t il = stage.il_begin; il < stage.il_end; ++il) {
                has_any = has_any || stage.has(il);
            }

            if (!has_any || tokens_cur.size() == 1) {
                // there is nothing to write
                go_on_alone();
                continue;
            }
        }

        const int32_t is       = report.stages.size();
        const int64_t n_tokens = tokens_cur.size() - (stage.kv_only ? 1 : 0);

        // the residual stream behind it is needed
        const bool has_residual_out = !is_last && !stage.kv_only;

        const bool is_narrower = is > 0 && n_tokens < report.stages.back().n_tokens;

        group += is == 0 || is_narrower ? 1 : 0;

        for (int32_t il = stage.il_begin; il < stage.il_end; ++il) {
            groups[il] = stage.has(il) ? group : 0;
        }

        report.stages.push_back({stage.il_begin, stage.il_end, n_tokens, stage.kv_only, {}});

        if (has_residual_out) {
            residual.resize(n_tokens * n_embd);
        }

        // the probes of this stage
        std::vector<stage_probe> probes;
        for (size_t i = 0; i < plan.probes.size(); ++i) {
            const auto & def = plan.probes[i];

            if (range.select && def.il >= stage.il_begin && def.il < stage.il_end) {
                // a layer without attention has no queries
                const int64_t q_first = !stage.has(def.il) ? n_tokens :
                                        def.q_first < 0    ? std::max<int64_t>(0, n_tokens + def.q_first) :
                                                             def.q_first;

                probes.push_back({(int32_t) i, q_first, def.q_stride, {}, {}, 0});
            }
        }

        // where the tokens of the stage went: token -> cell, by class
        std::map<int32_t, std::vector<uint32_t>> cells;

        std::vector<llama_ubatch> ubatches;
        for (int64_t i0 = 0; i0 < n_tokens; i0 += n_ubatch) {
            const int64_t i1 = std::min(n_tokens, i0 + n_ubatch);

            ubatches.push_back(llama_staged_build_ubatch(tokens_cur, pos_cur, i0, i1, seq_id, kv->get_n_stream() > 1, is_last && i1 == n_tokens));
        }

        const auto mctx_ptr = kv->init_stage(stage, std::move(ubatches));
        auto *     mctx     = static_cast<llama_kv_cache_staged_context *>(mctx_ptr.get());

        if (mctx->get_status() != LLAMA_MEMORY_STATUS_SUCCESS) {
            why = format("no room in the KV cache for %" PRId64 " tokens in layers [%d, %d)", n_tokens, stage.il_begin, stage.il_end);
            return LLAMA_STAGED_FULL;
        }

        // nothing of the stage is in the caches yet
        for (auto & probe : probes) {
            const auto & def = plan.probes[probe.index];

            if (def.keys == LLAMA_PROBE_KEYS_SEQUENCE) {
                probe.past = llama_staged_get_cells(*kv->get_layer(def.il), seq_id);
            }
        }

        int64_t i0 = 0;

        do {
            if (cancelled()) {
                why = "cancelled";
                return LLAMA_STAGED_CANCELLED;
            }

            const int64_t t_start_us = ggml_time_us();

            const llama_ubatch & ubatch = mctx->get_ubatch();
            const int64_t        i1     = i0 + ubatch.n_tokens;

            std::vector<llama_stage::probe_rows> rows;
            for (const auto & probe : probes) {
                rows.push_back(get_probe_rows(probe, plan.probes[probe.index], i0, i1));
            }

            mctx->set_probes(rows);
            mctx->residual = stage.il_begin == 0 ? nullptr : residual.data() + i0 * n_embd;

            llama_staged_access::set_n_outputs(ctx, is_last && i1 == n_tokens ? 1 : 0);

            ggml_status  status;
            const auto * res = ctx->process_ubatch(ubatch, LLM_GRAPH_TYPE_DEFAULT, mctx, status);

            if (res == nullptr) {
                if (status == GGML_STATUS_ABORTED) {
                    why = "cancelled";
                    return LLAMA_STAGED_CANCELLED;
                }

                why = format("layers [%d, %d), tokens [%" PRId64 ", %" PRId64 "): %s", stage.il_begin, stage.il_end, i0, i1,
                        status == GGML_STATUS_ALLOC_FAILED ? "the compute buffers could not be allocated" : "computing the graph failed");
                return LLAMA_STAGED_FAILED;
            }

            const auto * inp = llm_graph_result_get_staged(res);

            if (has_residual_out) {
                llama_staged_access::get_tensor(ctx, inp->residual_out, residual.data() + i0 * n_embd);
            } else if (is_last && i1 == n_tokens) {
                llama_staged_access::get_logits(ctx, res);
            }

            ctx->synchronize();

            // all tokens of the stage up to the end of the chunk are keys by now
            for (size_t ip = 0; ip < probes.size(); ++ip) {
                auto &       probe = probes[ip];
                const auto & def   = plan.probes[probe.index];

                if (!stage.has(def.il)) {
                    continue;
                }

                auto & cells_cur = cells[mctx->get_leader(def.il)];
                if ((int64_t) cells_cur.size() < i1) {
                    const auto & idxs = mctx->get_cells(def.il);
                    cells_cur.insert(cells_cur.end(), idxs.begin(), idxs.end());
                }

                ggml_tensor * t = rows[ip].n_rows > 0 ? inp->probes[ip] : nullptr;
                if (t == nullptr) {
                    continue;
                }

                const int64_t n_kv   = t->ne[1];
                const int64_t n_past = probe.past.size();
                const int64_t n_keys = n_past + n_tokens;

                probe.n_head = t->ne[2];
                probe.acc.resize(probe.n_head * n_keys, 0.0f);

                probe_buf.resize(ggml_nelements(t));
                llama_staged_access::get_tensor(ctx, t, probe_buf.data());
                ctx->synchronize();

                for (int32_t h = 0; h < probe.n_head; ++h) {
                    const float * src = probe_buf.data() + h * n_kv;
                    float *       dst = probe.acc.data() + h * n_keys;

                    for (int64_t i = 0; i < n_past + i1; ++i) {
                        const float v = src[i < n_past ? probe.past[i].cell : cells_cur[i - n_past]];

                        dst[i] = def.reduction == LLAMA_PROBE_MEAN ? dst[i] + v : std::max(dst[i], v);
                    }
                }
            }

            report.stages.back().chunk_us.push_back(ggml_time_us() - t_start_us);

            work_done += work_of_tokens(i1 - i0, stage.il_begin, stage.il_end, stage.kv_only);
            i0 = i1;

            if (callbacks.progress) {
                double work_left = work_of_tokens(n_tokens - i1, stage.il_begin, stage.il_end, stage.kv_only);

                // assume that the tokens that are here now go all the way
                bool is_alone = stage.kv_only;
                for (size_t i = ir + 1; i < ranges.size(); ++i) {
                    const auto & next = ranges[i];

                    const int64_t n_next = next.kv_only ? n_tokens - 1 : is_alone ? 1 :
                                                                                    n_tokens;

                    work_left += work_of_tokens(n_next, next.il_begin, next.il_end, next.kv_only);
                    is_alone = is_alone || next.kv_only;
                }

                if (!callbacks.progress(is, i1, n_tokens, work_done / (work_done + work_left))) {
                    why = "cancelled";
                    return LLAMA_STAGED_CANCELLED;
                }
            }
        } while (mctx->next());

        if (is_last) {
            break;
        }

        if (cancelled()) {
            why = "cancelled";
            return LLAMA_STAGED_CANCELLED;
        }

        if (stage.kv_only) {
            go_on_alone();
        }

        if (!range.select) {
            continue;
        }

        // select the tokens that go on
        const int64_t t_start_us = ggml_time_us();

        llama_boundary boundary;
        boundary.index    = is;
        boundary.il       = stage.il_end;
        boundary.pos      = &pos_cur;
        boundary.n_embd   = n_embd;
        boundary.residual = residual.data();

        for (auto & probe : probes) {
            const auto & def = plan.probes[probe.index];

            const int64_t n_past = probe.past.size();
            const int64_t n_keys = n_past + n_tokens;

            if (probe.n_head == 0) {
                // no query of this probe exists, so no key has received anything
                probe.n_head = hparams.n_head(def.il);
                probe.acc.resize(probe.n_head * n_keys, 0.0f);
            }

            if (def.reduction == LLAMA_PROBE_MEAN) {
                // all queries come after the past
                for (int64_t i = -n_past; i < n_tokens; ++i) {
                    // queries at or after token i
                    const int64_t n_before = i <= probe.q_first ? 0 : (i - probe.q_first + probe.q_stride - 1) / probe.q_stride;
                    const int64_t n_all    = n_tokens <= probe.q_first ? 0 : (n_tokens - 1 - probe.q_first) / probe.q_stride + 1;

                    const float scale = 1.0f / std::max<int64_t>(1, n_all - n_before);

                    for (int32_t h = 0; h < probe.n_head; ++h) {
                        probe.acc[h * n_keys + n_past + i] *= scale;
                    }
                }
            }

            std::vector<llama_pos> key_pos;
            for (const auto & cell : probe.past) {
                key_pos.push_back(cell.pos);
            }
            key_pos.insert(key_pos.end(), pos_cur.begin(), pos_cur.end());

            boundary.probes.push_back({def, probe.n_head, std::move(key_pos), std::move(probe.acc)});
        }

        if (!callbacks.select(boundary)) {
            why = format("the selection at layer %d failed", boundary.il);
            return LLAMA_STAGED_CALLBACK;
        }

        const auto & keep = boundary.keep;

        for (size_t i = 0; i < keep.size(); ++i) {
            if (keep[i] < 0 || keep[i] >= n_tokens || (i > 0 && keep[i] <= keep[i - 1])) {
                why = format("the selection at layer %d: indices must ascend and lie in [0, %" PRId64 ")", boundary.il, n_tokens);
                return LLAMA_STAGED_CALLBACK;
            }
        }

        if (keep.empty() || keep.back() != n_tokens - 1) {
            why = format("the selection at layer %d must keep the last token", boundary.il);
            return LLAMA_STAGED_CALLBACK;
        }

        if (!boundary.skip.empty()) {
            if (pos0 > 0) {
                why = format("the selection at layer %d: what a sequence skips cannot change until the sequence is cleared", boundary.il);
                return LLAMA_STAGED_INVALID;
            }

            sort_skip(boundary.skip);

            const auto status = check_skip(kv, boundary.skip, boundary.il, why);
            if (status != LLAMA_STAGED_OK) {
                return status;
            }

            auto skip = kv->get_skip(seq_id);
            skip.insert(skip.end(), boundary.skip.begin(), boundary.skip.end());
            sort_skip(skip);

            // with what was skipped before
            const auto status_all = check_skip(kv, skip, 0, why);
            if (status_all != LLAMA_STAGED_OK) {
                return status_all;
            }

            kv->set_skip(seq_id, std::move(skip));
        }

        keep_residual(boundary);

        // close the gaps; every row moves down or stays
        for (size_t i = 0; i < keep.size(); ++i) {
            tokens_cur[i] = tokens_cur[keep[i]];
            pos_cur[i]    = pos_cur[keep[i]];

            if ((int64_t) i != keep[i]) {
                memcpy(residual.data() + i * n_embd, residual.data() + keep[i] * n_embd, n_embd * sizeof(float));
            }
        }

        tokens_cur.resize(keep.size());
        pos_cur.resize(keep.size());

        report.select_us += ggml_time_us() - t_start_us;
    }

    kv->join_classes(classes_old, groups);

    if (plan.il_prefill_only != 0 && tokens.size() > 1) {
        il_exact = std::min(il_exact, plan.il_prefill_only);
    }

    store.append(std::move(stored));
    store.il_exact = il_exact;

    return LLAMA_STAGED_OK;
}

llama_staged_status llama_staged_prefill(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const llama_staged_plan &        plan_in,
        const llama_staged_callbacks &   callbacks,
        llama_staged_report &            report,
        std::string &                    why) {
    const int64_t t_start_us = ggml_time_us();

    report = {};
    why.clear();

    auto * kv = llama_staged_access::memory(ctx);
    if (kv == nullptr) {
        why = "staging is not enabled on this context";
        return LLAMA_STAGED_INVALID;
    }

    llama_staged_plan plan = plan_in;
    sort_skip(plan.skip);

    if (!check_plan(ctx, seq_id, tokens, plan, why)) {
        return LLAMA_STAGED_INVALID;
    }

    const auto status_skip = check_skip(kv, plan.skip, 0, why);
    if (status_skip != LLAMA_STAGED_OK) {
        return status_skip;
    }

    if (plan.il_prefill_only != 0 && !kv->no_kv_only.empty()) {
        why = format("prefill-only is not possible, tokens can run through the upper layers or leave in front of them: %s", kv->no_kv_only.c_str());
        return LLAMA_STAGED_UNSUPPORTED;
    }

    if (!plan.boundaries.empty() && !callbacks.select) {
        why = "a plan with boundaries needs a selection callback";
        return LLAMA_STAGED_INVALID;
    }

    if (llama_staged_access::has_backend_samplers(ctx)) {
        why = "backend samplers are not supported by a staged prefill";
        return LLAMA_STAGED_INVALID;
    }

    const auto & cparams = ctx->get_cparams();
    const auto & inputs  = cparams.embeddings_layer_inp;

    if (cparams.embeddings_nextn || std::find(inputs.begin(), inputs.end(), true) != inputs.end()) {
        why = "the context hands out hidden states, which a staged prefill does not";
        return LLAMA_STAGED_INVALID;
    }

    const llama_pos pos0 = kv->seq_pos_max(seq_id) + 1;

    if (pos0 > 0 && kv->get_skip(seq_id) != plan.skip) {
        why = "what a sequence skips cannot change until the sequence is cleared";
        return LLAMA_STAGED_INVALID;
    }

    if (pos0 + (int64_t) tokens.size() > (int64_t) ctx->n_ctx_seq()) {
        why = format("%zu tokens do not fit: the sequence holds %d of %u", tokens.size(), pos0, ctx->n_ctx_seq());
        return LLAMA_STAGED_FULL;
    }

    auto status = LLAMA_STAGED_FAILED;

    try {
        ctx->sched_reserve();

        // handle any pending shifts/copies
        ctx->memory_update(false);

        llama_staged_access::count_tokens(ctx, tokens.size());

        if (!llama_staged_access::begin_outputs(ctx)) {
            why = "the output buffer could not be allocated";
            return LLAMA_STAGED_FAILED;
        }

        const llama_abort_scope abort_scope(ctx, callbacks.cancel);

        kv->set_skip(seq_id, plan.skip);

        status = prefill_stages(ctx, seq_id, tokens, plan, callbacks, report, why);
    } catch (const std::exception & err) {
        why    = err.what();
        status = LLAMA_STAGED_FAILED;
    }

    if (status != LLAMA_STAGED_OK) {
        // as it was: what lies behind the old end of the sequence goes, in every layer
        ctx->synchronize();
        llama_staged_access::set_n_outputs(ctx, 0);
        kv->seq_rm(seq_id, pos0, -1);

        if (pos0 == 0) {
            kv->set_skip(seq_id, {});
        }

        return status;
    }

    llama_staged_access::set_n_outputs(ctx, 1);

    report.total_us = ggml_time_us() - t_start_us;

    return LLAMA_STAGED_OK;
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

#include "llama-staged.h"

#include "llama-graph-staged.h"
#include "llama-impl.h"
#include "llama-staged-access.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <map>
#include <stdexcept>

//
// checks
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

//
// the layers of a plan
//

namespace {

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

// token-layers, to tell how far the prefill is before it is known how many tokens will be kept
static double get_work(const llama_hparams & hparams, const stage_range & range, double n_tokens) {
    return n_tokens * (range.il_end - range.il_begin) * (range.kv_only ? get_kv_only_share(hparams, range.il_begin) : 1.0);
}

//
// probes
//

namespace {

// what the queries of a probe have paid so far to the keys of its layer
struct stage_probe {
    int32_t     index; // into the plan's probes
    llama_probe def;

    int64_t q_first; // resolved: an index into the tokens of the stage

    // keys in front of the tokens of the stage, ascending by position: what the layer held already
    std::vector<llama_staged_cell> past;

    std::vector<float> acc; // [n_head, n_past + n_tokens of the stage]
    int32_t            n_head = 0;

    int64_t n_queries_before(int64_t i) const {
        return i <= q_first ? 0 : (i - q_first + def.q_stride - 1) / def.q_stride;
    }

    void set_shape(int32_t n_head_new, int64_t n_tokens) {
        n_head = n_head_new;
        acc.resize(n_head * (past.size() + n_tokens), 0.0f);
    }

    llama_stage::probe_rows get_rows(int64_t i0, int64_t i1) const;

    void accumulate(const std::vector<float> & rows, int64_t n_kv, const std::vector<uint32_t> & cells, int64_t n_tokens);
    void reduce(int64_t n_tokens);
};

} // namespace

// the rows of a chunk, tokens [i0, i1) of the stage, that are queries
llama_stage::probe_rows stage_probe::get_rows(int64_t i0, int64_t i1) const {
    const int64_t n_before = n_queries_before(i0);
    const int64_t n_rows   = n_queries_before(i1) - n_before;

    return {
            /*.probe      =*/index,
            /*.il         =*/def.il,
            /*.reduction  =*/def.reduction,
            /*.row_first  =*/n_rows > 0 ? q_first + n_before * def.q_stride - i0 : 0,
            /*.row_stride =*/def.q_stride,
            /*.n_rows     =*/n_rows,
    };
}

// what the queries of a chunk paid
//   rows:  [n_head, n_kv], by cell
//   cells: where the tokens of the stage are, up to the end of the chunk
void stage_probe::accumulate(const std::vector<float> & rows, int64_t n_kv, const std::vector<uint32_t> & cells, int64_t n_tokens) {
    const int64_t n_past = past.size();
    const int64_t n_keys = n_past + n_tokens;

    for (int32_t h = 0; h < n_head; ++h) {
        const float * src = rows.data() + h * n_kv;
        float *       dst = acc.data() + h * n_keys;

        for (int64_t i = 0; i < n_past + (int64_t) cells.size(); ++i) {
            const float v = src[i < n_past ? past[i].cell : cells[i - n_past]];

            dst[i] = def.reduction == LLAMA_PROBE_MEAN ? dst[i] + v : std::max(dst[i], v);
        }
    }
}

// from sums to means, each over the queries that see the key
void stage_probe::reduce(int64_t n_tokens) {
    if (def.reduction != LLAMA_PROBE_MEAN) {
        return;
    }

    const int64_t n_past = past.size();
    const int64_t n_keys = n_past + n_tokens;

    // all queries come after the past
    for (int64_t i = -n_past; i < n_tokens; ++i) {
        const float scale = 1.0f / std::max<int64_t>(1, n_queries_before(n_tokens) - n_queries_before(i));

        for (int32_t h = 0; h < n_head; ++h) {
            acc[h * n_keys + n_past + i] *= scale;
        }
    }
}

//
// running the stages
//

namespace {

// a stage while its chunks run
struct stage_run {
    const stage_range & range;

    llama_stage stage;
    int64_t     n_tokens;
    bool        is_last;

    llama_kv_cache_staged_context * mctx;

    // where the tokens went: token -> cell, by class of layers
    std::map<int32_t, std::vector<uint32_t>> cells;
};

// a prefill on its way up: the tokens that are still here, and their residual stream in front of the next layer
class staged_prefill {
public:
    staged_prefill(
            llama_context *                  ctx,
            llama_seq_id                     seq_id,
            const std::vector<llama_token> & tokens,
            const llama_staged_plan &        plan,
            const llama_staged_callbacks &   callbacks,
            llama_staged_report &            report,
            std::string &                    why);

    llama_staged_status run();

private:
    // a stage, chunk by chunk
    llama_stage         get_stage(const stage_range & range) const;
    bool                writes_any(const stage_range & range) const;
    llama_staged_status run_stage(size_t i_range);
    llama_staged_status run_chunk(stage_run & cur, int64_t i0, int64_t i1);
    llama_staged_status tell_progress(const stage_run & cur, size_t i_range, int64_t i0, int64_t i1);

    // the attention that its probes see
    void set_probes(const stage_range & range, const llama_stage & stage, int64_t n_tokens);
    void set_past();
    void read_probes(stage_run & cur, const llm_graph_input_attn_kv_staged * inp, const std::vector<llama_stage::probe_rows> & rows, int64_t i1);
    void deliver_probes(llama_boundary & boundary);

    // who goes on
    llama_staged_status select(int32_t il);
    llama_staged_status check_keep(const llama_boundary & boundary) const;
    llama_staged_status add_skip(llama_boundary & boundary);
    void                keep_residual(const llama_boundary & boundary);
    void                drop_others(const std::vector<int32_t> & keep);
    void                go_on_alone();

    void finish();

    bool is_cancelled() const {
        return callbacks.cancel && callbacks.cancel->load(std::memory_order_relaxed);
    }

    llama_staged_status cancel() {
        why = "cancelled";
        return LLAMA_STAGED_CANCELLED;
    }

    llama_context *         ctx;
    llama_kv_cache_staged * kv;
    const llama_hparams &   hparams;

    const llama_seq_id             seq_id;
    const llama_staged_plan &      plan;
    const llama_staged_callbacks & callbacks;

    const int32_t                  n_layer;
    const int64_t                  n_embd;
    const std::vector<stage_range> ranges;
    const llama_pos                pos0;

    llama_staged_report & report;
    std::string &         why;

    // the tokens that are here, and their residual stream at the last boundary; a chunk of a stage reads its rows and later
    // overwrites them
    std::vector<llama_token> tokens;
    std::vector<llama_pos>   pos;
    std::vector<float>       residual;

    // of the current stage
    std::vector<stage_probe> probes;
    std::vector<float>       probe_buf;

    // layers with equal numbers ran the same tokens; 0: none
    const std::vector<uint32_t> classes_old;
    std::vector<uint32_t>       groups;
    uint32_t                    group = 0;

    double work_done = 0.0;

    // what is kept for the completion of upper layers; the sequence gets it when everything went well
    llama_residual_store stored;
    int32_t              il_exact;
};

} // namespace

staged_prefill::staged_prefill(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const llama_staged_plan &        plan,
        const llama_staged_callbacks &   callbacks,
        llama_staged_report &            report,
        std::string &                    why) :
    ctx(ctx),
    kv(llama_staged_access::memory(ctx)),
    hparams(ctx->get_model().hparams),
    seq_id(seq_id),
    plan(plan),
    callbacks(callbacks),
    n_layer(hparams.n_layer()),
    n_embd(hparams.n_embd),
    ranges(get_stage_ranges(plan, n_layer)),
    pos0(kv->seq_pos_max(seq_id) + 1),
    report(report),
    why(why),
    tokens(tokens),
    pos(tokens.size()),
    classes_old(kv->get_classes()),
    groups(n_layer, 0),
    il_exact(kv->get_store(seq_id).il_exact) {
    for (size_t i = 0; i < pos.size(); ++i) {
        pos[i] = pos0 + i;
    }
}

llama_staged_status staged_prefill::run() {
    const size_t n_tokens_all = tokens.size();

    for (size_t ir = 0; ir < ranges.size(); ++ir) {
        const auto & range = ranges[ir];

        if (!range.kv_only || writes_any(range)) {
            const auto status = run_stage(ir);
            if (status != LLAMA_STAGED_OK) {
                return status;
            }

            if (ir + 1 < ranges.size() && is_cancelled()) {
                return cancel();
            }
        }

        if (range.kv_only) {
            go_on_alone();
        }

        if (range.select) {
            const auto status = select(range.il_end);
            if (status != LLAMA_STAGED_OK) {
                return status;
            }
        }
    }

    if (plan.il_prefill_only != 0 && n_tokens_all > 1) {
        il_exact = std::min(il_exact, plan.il_prefill_only);
    }

    finish();

    return LLAMA_STAGED_OK;
}

// the sequence gets what was set aside for it
void staged_prefill::finish() {
    kv->join_classes(classes_old, groups);

    auto & store = kv->get_store(seq_id);

    store.append(std::move(stored));
    store.il_exact = il_exact;
}

// what of the model a stage runs, without its probes
llama_stage staged_prefill::get_stage(const stage_range & range) const {
    llama_stage res;
    res.il_begin = range.il_begin;
    res.il_end   = range.il_end;
    res.skip     = kv->get_skip(seq_id);
    res.kv_only  = range.kv_only;

    return res;
}

// whether there are keys and values to write in layers that do nothing else
bool staged_prefill::writes_any(const stage_range & range) const {
    const auto stage = get_stage(range);

    bool has_any = false;
    for (int32_t il = range.il_begin; il < range.il_end; ++il) {
        has_any = has_any || stage.has(il);
    }

    return has_any && tokens.size() > 1;
}

llama_staged_status staged_prefill::run_stage(size_t i_range) {
    const auto &  range    = ranges[i_range];
    const bool    is_last  = i_range + 1 == ranges.size();
    const int64_t n_tokens = tokens.size() - (range.kv_only ? 1 : 0);
    const int64_t n_ubatch = ctx->n_ubatch();

    const auto stage = get_stage(range);

    const bool is_first    = report.stages.empty();
    const bool is_narrower = !is_first && n_tokens < report.stages.back().n_tokens;

    group += is_first || is_narrower ? 1 : 0;

    for (int32_t il = stage.il_begin; il < stage.il_end; ++il) {
        groups[il] = stage.has(il) ? group : 0;
    }

    report.stages.push_back({stage.il_begin, stage.il_end, n_tokens, stage.kv_only, {}});

    // the residual stream behind it is needed
    if (!is_last && !stage.kv_only) {
        residual.resize(n_tokens * n_embd);
    }

    set_probes(range, stage, n_tokens);

    std::vector<llama_ubatch> ubatches;
    for (int64_t i0 = 0; i0 < n_tokens; i0 += n_ubatch) {
        const int64_t i1 = std::min(n_tokens, i0 + n_ubatch);

        ubatches.push_back(llama_staged_build_ubatch(tokens, pos, i0, i1, seq_id, kv->get_n_stream() > 1, is_last && i1 == n_tokens));
    }

    const auto mctx_ptr = kv->init_stage(stage, std::move(ubatches));
    auto *     mctx     = static_cast<llama_kv_cache_staged_context *>(mctx_ptr.get());

    if (mctx->get_status() != LLAMA_MEMORY_STATUS_SUCCESS) {
        why = format("no room in the KV cache for %" PRId64 " tokens in layers [%d, %d)", n_tokens, stage.il_begin, stage.il_end);
        return LLAMA_STAGED_FULL;
    }

    // nothing of the stage is in the caches yet
    set_past();

    stage_run cur = {range, stage, n_tokens, is_last, mctx, {}};

    int64_t i0 = 0;

    do {
        if (is_cancelled()) {
            return cancel();
        }

        const int64_t i1 = i0 + mctx->get_ubatch().n_tokens;

        auto status = run_chunk(cur, i0, i1);
        if (status == LLAMA_STAGED_OK) {
            status = tell_progress(cur, i_range, i0, i1);
        }
        if (status != LLAMA_STAGED_OK) {
            return status;
        }

        i0 = i1;
    } while (mctx->next());

    return LLAMA_STAGED_OK;
}

// tokens [i0, i1) of the stage
llama_staged_status staged_prefill::run_chunk(stage_run & cur, int64_t i0, int64_t i1) {
    const int64_t t_start_us = ggml_time_us();

    const auto & stage      = cur.stage;
    const bool   has_logits = cur.is_last && i1 == cur.n_tokens;

    std::vector<llama_stage::probe_rows> rows;
    for (const auto & probe : probes) {
        rows.push_back(probe.get_rows(i0, i1));
    }

    cur.mctx->set_probes(rows);
    cur.mctx->residual = stage.il_begin == 0 ? nullptr : residual.data() + i0 * n_embd;

    llama_staged_access::set_n_outputs(ctx, has_logits ? 1 : 0);

    ggml_status  status;
    const auto * res = ctx->process_ubatch(cur.mctx->get_ubatch(), LLM_GRAPH_TYPE_DEFAULT, cur.mctx, status);

    if (res == nullptr) {
        if (status == GGML_STATUS_ABORTED) {
            return cancel();
        }

        why = format("layers [%d, %d), tokens [%" PRId64 ", %" PRId64 "): %s", stage.il_begin, stage.il_end, i0, i1,
                status == GGML_STATUS_ALLOC_FAILED ? "the compute buffers could not be allocated" : "computing the graph failed");
        return LLAMA_STAGED_FAILED;
    }

    const auto * inp = llm_graph_result_get_staged(res);

    if (!cur.is_last && !stage.kv_only) {
        llama_staged_access::get_tensor(ctx, inp->residual_out, residual.data() + i0 * n_embd);
    } else if (has_logits) {
        llama_staged_access::get_logits(ctx, res);
    }

    ctx->synchronize();

    read_probes(cur, inp, rows, i1);

    report.stages.back().chunk_us.push_back(ggml_time_us() - t_start_us);

    return LLAMA_STAGED_OK;
}

llama_staged_status staged_prefill::tell_progress(const stage_run & cur, size_t i_range, int64_t i0, int64_t i1) {
    work_done += get_work(hparams, cur.range, i1 - i0);

    if (!callbacks.progress) {
        return LLAMA_STAGED_OK;
    }

    double work_left = get_work(hparams, cur.range, cur.n_tokens - i1);

    // assume that the tokens that are here now go all the way
    bool is_alone = cur.range.kv_only;
    for (size_t i = i_range + 1; i < ranges.size(); ++i) {
        const auto & next = ranges[i];

        const int64_t n_next = next.kv_only ? cur.n_tokens - 1 : is_alone ? 1 :
                                                                            cur.n_tokens;

        work_left += get_work(hparams, next, n_next);
        is_alone = is_alone || next.kv_only;
    }

    const int32_t i_stage = report.stages.size() - 1;

    return callbacks.progress(i_stage, i1, cur.n_tokens, work_done / (work_done + work_left)) ? LLAMA_STAGED_OK : cancel();
}

//
// the probes of a stage
//

void staged_prefill::set_probes(const stage_range & range, const llama_stage & stage, int64_t n_tokens) {
    probes.clear();

    if (!range.select) {
        return;
    }

    for (size_t i = 0; i < plan.probes.size(); ++i) {
        const auto & def = plan.probes[i];

        if (def.il < stage.il_begin || def.il >= stage.il_end) {
            continue;
        }

        // a layer without attention has no queries
        const int64_t q_first = !stage.has(def.il) ? n_tokens :
                                def.q_first < 0    ? std::max<int64_t>(0, n_tokens + def.q_first) :
                                                     def.q_first;

        probes.push_back({(int32_t) i, def, q_first, {}, {}, 0});
    }
}

// the keys that a layer holds before its stage writes any
void staged_prefill::set_past() {
    for (auto & probe : probes) {
        if (probe.def.keys == LLAMA_PROBE_KEYS_SEQUENCE) {
            probe.past = llama_staged_get_cells(*kv->get_layer(probe.def.il), seq_id);
        }
    }
}

// all tokens of the stage up to the end of the chunk, i1, are keys by now
void staged_prefill::read_probes(stage_run & cur, const llm_graph_input_attn_kv_staged * inp, const std::vector<llama_stage::probe_rows> & rows, int64_t i1) {
    for (size_t ip = 0; ip < probes.size(); ++ip) {
        auto & probe = probes[ip];

        const int32_t il = probe.def.il;

        if (!cur.stage.has(il)) {
            continue;
        }

        auto & cells = cur.cells[cur.mctx->get_leader(il)];
        if ((int64_t) cells.size() < i1) {
            const auto & idxs = cur.mctx->get_cells(il);
            cells.insert(cells.end(), idxs.begin(), idxs.end());
        }

        ggml_tensor * t = rows[ip].n_rows > 0 ? inp->probes[ip] : nullptr;
        if (t == nullptr) {
            continue;
        }

        probe_buf.resize(ggml_nelements(t));
        llama_staged_access::get_tensor(ctx, t, probe_buf.data());
        ctx->synchronize();

        probe.set_shape(t->ne[2], cur.n_tokens);
        probe.accumulate(probe_buf, t->ne[1], cells, cur.n_tokens);
    }
}

void staged_prefill::deliver_probes(llama_boundary & boundary) {
    for (auto & probe : probes) {
        if (probe.n_head == 0) {
            // no query of this probe exists, so no key has received anything
            probe.set_shape(hparams.n_head(probe.def.il), tokens.size());
        }

        probe.reduce(tokens.size());

        std::vector<llama_pos> key_pos;
        for (const auto & cell : probe.past) {
            key_pos.push_back(cell.pos);
        }
        key_pos.insert(key_pos.end(), pos.begin(), pos.end());

        boundary.probes.push_back({probe.def, probe.n_head, std::move(key_pos), std::move(probe.acc)});
    }
}

//
// who goes on
//

// the selection in front of layer il
llama_staged_status staged_prefill::select(int32_t il) {
    const int64_t t_start_us = ggml_time_us();

    llama_boundary boundary;
    boundary.index    = report.stages.size() - 1;
    boundary.il       = il;
    boundary.pos      = &pos;
    boundary.n_embd   = n_embd;
    boundary.residual = residual.data();

    deliver_probes(boundary);

    if (!callbacks.select(boundary)) {
        why = format("the selection at layer %d failed", boundary.il);
        return LLAMA_STAGED_CALLBACK;
    }

    auto status = check_keep(boundary);
    if (status == LLAMA_STAGED_OK) {
        status = add_skip(boundary);
    }
    if (status != LLAMA_STAGED_OK) {
        return status;
    }

    keep_residual(boundary);
    drop_others(boundary.keep);

    report.select_us += ggml_time_us() - t_start_us;

    return LLAMA_STAGED_OK;
}

llama_staged_status staged_prefill::check_keep(const llama_boundary & boundary) const {
    const auto &  keep     = boundary.keep;
    const int64_t n_tokens = tokens.size();

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

    return LLAMA_STAGED_OK;
}

// what the selection wants skipped further up
llama_staged_status staged_prefill::add_skip(llama_boundary & boundary) {
    if (boundary.skip.empty()) {
        return LLAMA_STAGED_OK;
    }

    if (pos0 > 0) {
        why = format("the selection at layer %d: what a sequence skips cannot change until the sequence is cleared", boundary.il);
        return LLAMA_STAGED_INVALID;
    }

    sort_skip(boundary.skip);

    const auto status = check_skip(kv, boundary.skip, boundary.il, why);
    if (status != LLAMA_STAGED_OK) {
        return status;
    }

    // with what was skipped before
    auto skip = kv->get_skip(seq_id);
    skip.insert(skip.end(), boundary.skip.begin(), boundary.skip.end());
    sort_skip(skip);

    const auto status_all = check_skip(kv, skip, 0, why);
    if (status_all != LLAMA_STAGED_OK) {
        return status_all;
    }

    kv->set_skip(seq_id, std::move(skip));

    return LLAMA_STAGED_OK;
}

// sets aside what a later completion starts from
void staged_prefill::keep_residual(const llama_boundary & boundary) {
    const auto & keep = boundary.keep;
    if (keep.size() == tokens.size()) {
        return;
    }

    // where the first tokens leave, all of them run again; further up those that leave
    const bool is_first = stored.n_bytes() == 0;
    const bool is_exact = is_first && boundary.il <= kv->get_store(seq_id).il_exact;

    il_exact = std::min(il_exact, boundary.il);

    if (plan.store == GGML_TYPE_COUNT) {
        return;
    }
    if (is_first) {
        stored.add(boundary.il, plan.store, is_exact, n_embd, pos, boundary.residual);
        return;
    }

    std::vector<llama_pos> pos_left;
    std::vector<float>     rows;

    for (size_t i = 0, ik = 0; i < pos.size(); ++i) {
        if (ik < keep.size() && (size_t) keep[ik] == i) {
            ++ik;
            continue;
        }
        pos_left.push_back(pos[i]);
        rows.insert(rows.end(), boundary.residual + i * n_embd, boundary.residual + (i + 1) * n_embd);
    }

    stored.add(boundary.il, plan.store, is_exact, n_embd, std::move(pos_left), rows.data());
}

// closes the gaps; every row moves down or stays
void staged_prefill::drop_others(const std::vector<int32_t> & keep) {
    for (size_t i = 0; i < keep.size(); ++i) {
        tokens[i] = tokens[keep[i]];
        pos[i]    = pos[keep[i]];

        if ((int64_t) i != keep[i]) {
            memcpy(residual.data() + i * n_embd, residual.data() + keep[i] * n_embd, n_embd * sizeof(float));
        }
    }

    tokens.resize(keep.size());
    pos.resize(keep.size());
}

// of the tokens that are here, only the last one goes on
void staged_prefill::go_on_alone() {
    memmove(residual.data(), residual.data() + (tokens.size() - 1) * n_embd, n_embd * sizeof(float));
    tokens = {tokens.back()};
    pos    = {pos.back()};
}

//
// prefill
//

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

        status = staged_prefill(ctx, seq_id, tokens, plan, callbacks, report, why).run();
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

#include "llama-staged-access.h"

#include "llama-graph-staged.h"
#include "llama-impl.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <stdexcept>

//
// restoring
//

static llama_staged_status restore(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const std::vector<llama_pos> &   pos,
        std::string &                    why) {
    auto * kv = llama_staged_access::memory(ctx);

    const int64_t n_tokens = tokens.size();
    const int64_t n_ubatch = ctx->n_ubatch();

    llama_stage stage;
    stage.il_begin = 0;
    stage.il_end   = kv->get_n_layer();
    stage.skip     = kv->get_skip(seq_id);

    auto build_ubatches = [&]() {
        std::vector<llama_ubatch> res;
        for (int64_t i0 = 0; i0 < n_tokens; i0 += n_ubatch) {
            res.push_back(llama_staged_build_ubatch(tokens, pos, i0, std::min(n_tokens, i0 + n_ubatch), seq_id, kv->get_n_stream() > 1, false));
        }
        return res;
    };

    // room for all of them, while nothing has been let go of
    if (kv->init_stage(stage, build_ubatches())->get_status() != LLAMA_MEMORY_STATUS_SUCCESS) {
        why = format("no room in the KV cache for %" PRId64 " tokens that are restored", n_tokens);
        return LLAMA_STAGED_FULL;
    }

    // a layer that held some of them gets new ones: a key must not be there twice. Their stored residual stream stays, for an
    // exact completion
    kv->rm_from(seq_id, 0, pos);

    auto status = LLAMA_STAGED_FAILED;

    try {
        const auto mctx_ptr = kv->init_stage(stage, build_ubatches());
        auto *     mctx     = static_cast<llama_kv_cache_staged_context *>(mctx_ptr.get());

        if (mctx->get_status() == LLAMA_MEMORY_STATUS_SUCCESS) {
            status = LLAMA_STAGED_OK;

            do {
                llama_staged_access::set_n_outputs(ctx, 0);

                ggml_status status_graph;

                if (ctx->process_ubatch(mctx->get_ubatch(), LLM_GRAPH_TYPE_DEFAULT, mctx, status_graph) == nullptr) {
                    why    = "computing the graph of restored tokens failed";
                    status = LLAMA_STAGED_FAILED;
                    break;
                }

                ctx->synchronize();
            } while (mctx->next());
        } else {
            why = "restored tokens could not be placed in the KV cache";
        }
    } catch (const std::exception & err) {
        why    = err.what();
        status = LLAMA_STAGED_FAILED;
    }

    if (status != LLAMA_STAGED_OK) {
        // a gap would be read as if nothing had stood there
        ctx->synchronize();
        kv->seq_rm(seq_id, pos.front(), -1);
    }

    return status;
}

llama_staged_status llama_staged_restore(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        const std::vector<llama_token> & tokens,
        const std::vector<llama_pos> &   pos,
        std::string &                    why) {
    why.clear();

    auto * kv = llama_staged_access::memory(ctx);
    if (kv == nullptr) {
        why = "staging is not enabled on this context";
        return LLAMA_STAGED_INVALID;
    }

    if (!llama_staged_check_tokens(ctx, seq_id, tokens, why)) {
        return LLAMA_STAGED_INVALID;
    }

    const llama_pos pos_min = kv->seq_pos_min(seq_id);
    const llama_pos pos_max = kv->seq_pos_max(seq_id);

    if (pos.size() != tokens.size()) {
        why = format("%zu tokens have %zu positions", tokens.size(), pos.size());
        return LLAMA_STAGED_INVALID;
    }

    for (size_t i = 0; i < pos.size(); ++i) {
        if (pos[i] < pos_min || pos[i] >= pos_max || (i > 0 && pos[i] <= pos[i - 1])) {
            why = format("position %d: they ascend, and lie in front of the last token of the sequence, which holds [%d, %d]", pos[i], pos_min, pos_max);
            return LLAMA_STAGED_INVALID;
        }
    }

    try {
        ctx->sched_reserve();

        // handle any pending shifts/copies
        ctx->memory_update(false);

        if (!llama_staged_access::begin_outputs(ctx)) {
            why = "the output buffer could not be allocated";
            return LLAMA_STAGED_FAILED;
        }
    } catch (const std::exception & err) {
        why = err.what();
        return LLAMA_STAGED_FAILED;
    }

    const auto status = restore(ctx, seq_id, tokens, pos, why);

    llama_staged_access::set_n_outputs(ctx, 0);

    return status;
}

//
// completing
//

namespace {

struct completed_token {
    llama_pos   pos;
    llama_token token;
    uint32_t    cell; // in the lowest layer
    int32_t     il;   // runs from here on
};

} // namespace

// the tokens that run, ascending by position; n_done: positions that are complete once they have run
static std::vector<completed_token> get_completed_tokens(
        const llama_kv_cache_staged *    kv,
        llama_seq_id                     seq_id,
        llama_complete_grade             grade,
        const std::vector<llama_token> & tokens,
        llama_pos                        pos0,
        int64_t                          n_run_max,
        int64_t &                        n_done) {
    std::vector<completed_token> res;

    const auto & store = kv->get_store(seq_id);

    // the highest layer with attention holds the fewest
    llama_stage all;
    all.il_end = kv->get_n_layer();
    all.skip   = kv->get_skip(seq_id);

    int32_t il_top = all.il_end - 1;
    while (!all.has(il_top)) {
        --il_top;
    }

    const auto held  = llama_staged_get_cells(*kv->get_layer(il_top), seq_id);
    size_t     i_top = 0;

    n_done = tokens.size();

    for (const auto & cell : llama_staged_get_cells(*kv->get_layer(0), seq_id)) {
        if (cell.pos < pos0) {
            continue;
        }
        if (cell.pos >= pos0 + (int64_t) tokens.size()) {
            break;
        }

        while (i_top < held.size() && held[i_top].pos < cell.pos) {
            ++i_top;
        }

        const bool is_held = i_top < held.size() && held[i_top].pos == cell.pos;

        if (grade == LLAMA_COMPLETE_FILL && is_held) {
            continue;
        }

        const int32_t il = grade == LLAMA_COMPLETE_FILL ? store.find_highest(cell.pos) : store.find_lowest_exact(cell.pos);

        // those that run from the first layer are a graph of their own, and of exact ones all others, too
        const bool is_other = !res.empty() && (grade == LLAMA_COMPLETE_FILL ? (il == 0) != (res[0].il == 0) : il != res[0].il);

        if ((int64_t) res.size() == n_run_max || is_other) {
            n_done = cell.pos - pos0;
            break;
        }

        res.push_back({cell.pos, tokens[cell.pos - pos0], cell.cell, il});
    }

    return res;
}

static llama_staged_status complete(
        llama_context *                      ctx,
        llama_seq_id                         seq_id,
        llama_complete_grade                 grade,
        const std::vector<completed_token> & todo,
        std::string &                        why) {
    auto * kv = llama_staged_access::memory(ctx);

    const int32_t n_layer = kv->get_n_layer();
    const int64_t n_embd  = ctx->get_model().hparams.n_embd;
    const auto &  store   = kv->get_store(seq_id);

    // the layers where tokens join
    std::vector<int32_t> cuts;
    for (const auto & cur : todo) {
        cuts.push_back(cur.il);
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());

    // they are there already where everything runs again
    const bool is_again = grade == LLAMA_COMPLETE_EXACT || cuts[0] == 0;

    std::vector<llama_pos> pos_all;
    std::vector<uint32_t>  cells;

    uint32_t behind = 0;
    for (const auto & cell : llama_staged_get_cells(*kv->get_layer(0), seq_id)) {
        behind = std::max(behind, cell.cell + 1);
    }
    for (const auto & cur : todo) {
        pos_all.push_back(cur.pos);
        cells.push_back(cur.cell);
    }

    if (is_again) {
        ctx->synchronize();

        kv->rm_from(seq_id, cuts[0], pos_all);
        kv->make_room(seq_id, cuts[0], cells, behind);
    }

    // those that run, and where they stand in front of the next layers
    std::vector<llama_token> tokens;
    std::vector<llama_pos>   pos;
    std::vector<float>       residual;

    for (size_t ic = 0; ic < cuts.size(); ++ic) {
        llama_stage stage;
        stage.il_begin = cuts[ic];
        stage.il_end   = ic + 1 < cuts.size() ? cuts[ic + 1] : n_layer;
        stage.skip     = kv->get_skip(seq_id);

        // the others join
        {
            std::vector<llama_token> tokens_new;
            std::vector<llama_pos>   pos_new;
            std::vector<float>       residual_new;

            size_t i = 0;
            for (const auto & cur : todo) {
                if (cur.il > stage.il_begin) {
                    continue;
                }

                tokens_new.push_back(cur.token);
                pos_new.push_back(cur.pos);

                if (stage.il_begin == 0) {
                    continue;
                }

                residual_new.resize(tokens_new.size() * n_embd);
                float * row = residual_new.data() + (tokens_new.size() - 1) * n_embd;

                if (cur.il == stage.il_begin) {
                    store.get(cur.pos, cur.il, n_embd, row);
                } else {
                    memcpy(row, residual.data() + i++ * n_embd, n_embd * sizeof(float));
                }
            }

            tokens   = std::move(tokens_new);
            pos      = std::move(pos_new);
            residual = std::move(residual_new);
        }

        const auto ubatch   = llama_staged_build_ubatch(tokens, pos, 0, tokens.size(), seq_id, kv->get_n_stream() > 1, false);
        const auto mctx_ptr = is_again ? kv->init_stage_at(stage, ubatch, cells) : kv->init_stage(stage, {ubatch});
        auto *     mctx     = static_cast<llama_kv_cache_staged_context *>(mctx_ptr.get());

        if (mctx->get_status() != LLAMA_MEMORY_STATUS_SUCCESS) {
            why = format("no room in the KV cache for %zu tokens in layers [%d, %d)", tokens.size(), stage.il_begin, stage.il_end);
            return LLAMA_STAGED_FULL;
        }

        mctx->residual = stage.il_begin == 0 ? nullptr : residual.data();

        llama_staged_access::set_n_outputs(ctx, 0);

        ggml_status  status;
        const auto * res = ctx->process_ubatch(mctx->get_ubatch(), LLM_GRAPH_TYPE_DEFAULT, mctx, status);

        if (res == nullptr) {
            why = format("layers [%d, %d), %zu tokens from position %d on: computing the graph failed", stage.il_begin, stage.il_end, tokens.size(), pos[0]);
            return LLAMA_STAGED_FAILED;
        }

        if (stage.il_end < n_layer) {
            std::vector<float> residual_out(tokens.size() * n_embd);
            llama_staged_access::get_tensor(ctx, llm_graph_result_get_staged(res)->residual_out, residual_out.data());
            ctx->synchronize();
            residual = std::move(residual_out);
        }

        ctx->synchronize();
    }

    if (is_again) {
        kv->join_equal_classes();
    }

    return LLAMA_STAGED_OK;
}

llama_staged_status llama_staged_complete(
        llama_context *                  ctx,
        llama_seq_id                     seq_id,
        llama_complete_grade             grade,
        const std::vector<llama_token> & tokens,
        llama_pos                        pos0,
        int64_t                          n_run_max,
        int64_t &                        n_done,
        int64_t &                        n_run,
        std::string &                    why) {
    why.clear();

    n_done = 0;
    n_run  = 0;

    auto * kv = llama_staged_access::memory(ctx);
    if (kv == nullptr) {
        why = "staging is not enabled on this context";
        return LLAMA_STAGED_INVALID;
    }

    if (!llama_staged_check_tokens(ctx, seq_id, tokens, why)) {
        return LLAMA_STAGED_INVALID;
    }

    if (grade != LLAMA_COMPLETE_FILL && grade != LLAMA_COMPLETE_EXACT) {
        why = format("there is no grade %d of completion", grade);
        return LLAMA_STAGED_INVALID;
    }

    const llama_pos pos_max = kv->seq_pos_max(seq_id);

    if (pos0 < 0 || pos0 + (int64_t) tokens.size() > (int64_t) pos_max + 1) {
        why = format("positions [%d, %" PRId64 ") are not all in the sequence, which ends at %d", pos0, pos0 + (int64_t) tokens.size(), pos_max);
        return LLAMA_STAGED_INVALID;
    }

    if (n_run_max < 1) {
        why = format("at least one token has to run, not %" PRId64, n_run_max);
        return LLAMA_STAGED_INVALID;
    }

    auto status = LLAMA_STAGED_FAILED;

    std::vector<completed_token> todo;

    try {
        ctx->sched_reserve();

        // handle any pending shifts/copies
        ctx->memory_update(false);

        todo = get_completed_tokens(kv, seq_id, grade, tokens, pos0, std::min<int64_t>(n_run_max, ctx->n_ubatch()), n_done);

        if (todo.empty()) {
            return LLAMA_STAGED_OK;
        }

        if (!llama_staged_access::begin_outputs(ctx)) {
            why    = "the output buffer could not be allocated";
            n_done = 0;
            return LLAMA_STAGED_FAILED;
        }

        llama_staged_access::count_tokens(ctx, todo.size());

        status = complete(ctx, seq_id, grade, todo, why);
    } catch (const std::exception & err) {
        why    = err.what();
        status = LLAMA_STAGED_FAILED;
    }

    llama_staged_access::set_n_outputs(ctx, 0);

    if (status != LLAMA_STAGED_OK) {
        n_done = 0;

        ctx->synchronize();

        if (!todo.empty() && todo[0].il == 0) {
            // a gap in the lower layers would be read as if nothing had stood there
            kv->seq_rm(seq_id, todo[0].pos, -1);
            status = LLAMA_STAGED_FAILED;
        } else {
            // what a layer has of some of them goes, so that they can be completed another time
            for (const auto & cur : todo) {
                kv->rm_from(seq_id, cur.il, {cur.pos});
            }
        }

        return status;
    }

    n_run = todo.size();

    if (grade == LLAMA_COMPLETE_EXACT) {
        auto & store = kv->get_store(seq_id);

        store.rm(pos0, pos0 + n_done);

        if (pos0 + n_done > pos_max && store.n_bytes() == 0) {
            // nothing is left of what was dropped
            store.il_exact = INT32_MAX;
        }
    }

    return LLAMA_STAGED_OK;
}

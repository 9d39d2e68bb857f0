#include "foretoken-impl.h"

#include <cinttypes>
#include <memory>

//
// plan
//

struct ftk_plan {
    llama_staged_plan plan;
};

ftk_status ftk_plan_create(ftk_plan ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        *out = new ftk_plan();
    });
}

void ftk_plan_free(ftk_plan * plan) {
    ftk_guard(__func__, [&]() { delete plan; });
}

ftk_status ftk_plan_add_boundary(ftk_plan * plan, int32_t layer) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(plan);

        if (layer <= 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "a boundary lies in front of layer 1 or above, got %d", layer);
        }

        auto & boundaries = plan->plan.boundaries;
        if (!boundaries.empty() && layer <= boundaries.back()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "boundaries must be added in ascending order: %d after %d", layer, boundaries.back());
        }

        boundaries.push_back(layer);
    });
}

// the values of the C API are those of llama_probe_reduction and llama_probe_keys
static_assert((int) FTK_PROBE_MEAN == LLAMA_PROBE_MEAN && (int) FTK_PROBE_MAX == LLAMA_PROBE_MAX);
static_assert((int) FTK_KEYS_STAGE == LLAMA_PROBE_KEYS_STAGE && (int) FTK_KEYS_SEQUENCE == LLAMA_PROBE_KEYS_SEQUENCE);

ftk_status ftk_plan_add_probe(ftk_plan * plan, int32_t layer, int32_t reduction, int64_t first_query, int64_t stride, int32_t keys) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(plan);

        if (layer < 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'layer' must not be negative, got %d", layer);
        }
        if (reduction != FTK_PROBE_MEAN && reduction != FTK_PROBE_MAX) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'reduction' must be FTK_PROBE_MEAN (%d) or FTK_PROBE_MAX (%d), got %d", FTK_PROBE_MEAN, FTK_PROBE_MAX, reduction);
        }
        if (keys != FTK_KEYS_STAGE && keys != FTK_KEYS_SEQUENCE) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'keys' must be FTK_KEYS_STAGE (%d) or FTK_KEYS_SEQUENCE (%d), got %d", FTK_KEYS_STAGE, FTK_KEYS_SEQUENCE, keys);
        }
        if (stride <= 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'stride' must be at least 1, got %" PRId64, stride);
        }

        plan->plan.probes.push_back({layer, (llama_probe_reduction) reduction, first_query, stride, (llama_probe_keys) keys});
    });
}

static_assert((int) FTK_LAYER_PART_BLOCK == LLAMA_LAYER_PART_BLOCK && (int) FTK_LAYER_PART_ATTENTION == LLAMA_LAYER_PART_ATTENTION &&
              (int) FTK_LAYER_PART_FEED_FORWARD == LLAMA_LAYER_PART_FEED_FORWARD);

static llama_layer_skip get_layer_skip(int32_t layer, int32_t part) {
    if (layer < 0) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'layer' must not be negative, got %d", layer);
    }
    if (part < FTK_LAYER_PART_BLOCK || part > FTK_LAYER_PART_FEED_FORWARD) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'part' must be FTK_LAYER_PART_BLOCK (%d), FTK_LAYER_PART_ATTENTION (%d) or FTK_LAYER_PART_FEED_FORWARD (%d), got %d",
                FTK_LAYER_PART_BLOCK, FTK_LAYER_PART_ATTENTION, FTK_LAYER_PART_FEED_FORWARD, part);
    }

    return {layer, (llama_layer_part) part};
}

ftk_status ftk_plan_skip(ftk_plan * plan, int32_t layer, int32_t part) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(plan);
        plan->plan.skip.push_back(get_layer_skip(layer, part));
    });
}

ftk_status ftk_plan_prefill_only(ftk_plan * plan, int32_t layer) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(plan);

        if (layer <= 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "prefill-only starts at layer 1 or above, got %d", layer);
        }
        if (plan->plan.il_prefill_only != 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the plan is prefill-only from layer %d on already", plan->plan.il_prefill_only);
        }

        plan->plan.il_prefill_only = layer;
    });
}

ftk_status ftk_plan_store_residual(ftk_plan * plan, int32_t half) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(plan);
        plan->plan.store = half != 0 ? GGML_TYPE_F16 : GGML_TYPE_F32;
    });
}

//
// boundary
//

struct ftk_boundary {
    llama_boundary * boundary;

    bool kept = false;
};

int32_t ftk_boundary_index(const ftk_boundary * boundary) {
    return ftk_guard_value<int32_t>(__func__, -1, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);
        return boundary->boundary->index;
    });
}

int64_t ftk_boundary_n_tokens(const ftk_boundary * boundary) {
    return ftk_guard_value<int64_t>(__func__, 0, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);
        return (int64_t) boundary->boundary->pos->size();
    });
}

const int32_t * ftk_boundary_positions(const ftk_boundary * boundary) {
    return ftk_guard_value<const int32_t *>(__func__, nullptr, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);
        return boundary->boundary->pos->data();
    });
}

int32_t ftk_boundary_n_probes(const ftk_boundary * boundary) {
    return ftk_guard_value<int32_t>(__func__, 0, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);
        return (int32_t) boundary->boundary->probes.size();
    });
}

static const llama_boundary::probe_result & get_probe(const ftk_boundary * boundary, int32_t probe) {
    FTK_REQUIRE_NOT_NULL(boundary);

    const auto & probes = boundary->boundary->probes;
    if (probe < 0 || probe >= (int32_t) probes.size()) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'probe' is %d, but the boundary has %zu probes", probe, probes.size());
    }

    return probes[probe];
}

int32_t ftk_boundary_n_head(const ftk_boundary * boundary, int32_t probe) {
    return ftk_guard_value<int32_t>(__func__, 0, [&]() { return get_probe(boundary, probe).n_head; });
}

int64_t ftk_boundary_n_keys(const ftk_boundary * boundary, int32_t probe) {
    return ftk_guard_value<int64_t>(__func__, 0, [&]() { return (int64_t) get_probe(boundary, probe).key_pos.size(); });
}

const int32_t * ftk_boundary_key_positions(const ftk_boundary * boundary, int32_t probe) {
    return ftk_guard_value<const int32_t *>(__func__, nullptr, [&]() { return get_probe(boundary, probe).key_pos.data(); });
}

const float * ftk_boundary_probe(const ftk_boundary * boundary, int32_t probe) {
    return ftk_guard_value<const float *>(__func__, nullptr, [&]() { return get_probe(boundary, probe).data.data(); });
}

int32_t ftk_boundary_n_embd(const ftk_boundary * boundary) {
    return ftk_guard_value<int32_t>(__func__, 0, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);
        return boundary->boundary->n_embd;
    });
}

const float * ftk_boundary_residual(const ftk_boundary * boundary) {
    return ftk_guard_value<const float *>(__func__, nullptr, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);
        return boundary->boundary->residual;
    });
}

ftk_status ftk_boundary_keep(ftk_boundary * boundary, const int32_t * indices, int64_t n) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);

        const int64_t n_tokens = (int64_t) boundary->boundary->pos->size();

        if (boundary->kept) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the tokens of this boundary were selected already");
        }
        if (n <= 0 || n > n_tokens) {
            ftk_fail(FTK_INVALID_ARGUMENT, "1 to %" PRId64 " tokens can go on, got %" PRId64, n_tokens, n);
        }
        FTK_REQUIRE_NOT_NULL(indices);

        for (int64_t i = 0; i < n; ++i) {
            if (indices[i] < 0 || indices[i] >= n_tokens || (i > 0 && indices[i] <= indices[i - 1])) {
                ftk_fail(FTK_INVALID_ARGUMENT, "indices must be strictly ascending and lie in [0, %" PRId64 "), got %d at %" PRId64, n_tokens, indices[i], i);
            }
        }
        if (indices[n - 1] != n_tokens - 1) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the last token (%" PRId64 ") must go on: its logits are what the prefill is for", n_tokens - 1);
        }

        boundary->boundary->keep.assign(indices, indices + n);
        boundary->kept = true;
    });
}

ftk_status ftk_boundary_skip(ftk_boundary * boundary, int32_t layer, int32_t part) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(boundary);

        const auto skip = get_layer_skip(layer, part);
        if (layer < boundary->boundary->il) {
            ftk_fail(FTK_INVALID_ARGUMENT, "layer %d lies below this boundary, which is in front of layer %d: it has run already", layer, boundary->boundary->il);
        }

        boundary->boundary->skip.push_back(skip);
    });
}

//
// prefill
//

static void fail_unless_ok(llama_staged_status status, const std::string & why) {
    switch (status) {
        case LLAMA_STAGED_OK:
            break;
        case LLAMA_STAGED_INVALID:
            ftk_fail(FTK_INVALID_ARGUMENT, "%s", why.c_str());
        case LLAMA_STAGED_UNSUPPORTED:
            ftk_fail(FTK_UNSUPPORTED, "%s", why.c_str());
        case LLAMA_STAGED_FULL:
            ftk_fail(FTK_CONTEXT_FULL, "%s", why.c_str());
        case LLAMA_STAGED_CANCELLED:
            ftk_fail(FTK_CANCELLED, "cancelled; the sequence is as it was before");
        case LLAMA_STAGED_CALLBACK:
            ftk_fail(FTK_CALLBACK_FAILED, "%s", why.c_str());
        case LLAMA_STAGED_FAILED: {
            const std::string errors = ftk_logged_errors();
            ftk_fail(FTK_COMPUTE_FAILED, "%s%s%s", why.c_str(), errors.empty() ? "" : ": ", errors.c_str());
        }
    }
}

ftk_status ftk_prefill(ftk_context * ctx, int32_t seq_id, const int32_t * tokens, int64_t n_tokens,
        const ftk_plan * plan, ftk_select select, ftk_prefill_progress progress, void * user, ftk_cancel * cancel) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        FTK_REQUIRE_NOT_NULL(plan);
        ftk_require_room(*ctx, seq_id, tokens, n_tokens);

        if (!llama_staged_enabled(ctx->ctx)) {
            ftk_fail(FTK_UNSUPPORTED, "the context was created with 'staged' = false; use ftk_decode, or create it with 'staged' = true");
        }
        if (select == nullptr && !plan->plan.boundaries.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'select' must not be NULL: the plan has %zu boundaries", plan->plan.boundaries.size());
        }
        if (cancel != nullptr && cancel->flag.load()) {
            ftk_fail(FTK_CANCELLED, "cancelled before anything was computed");
        }

        std::string why_select;

        llama_staged_callbacks callbacks;

        if (select != nullptr) {
            callbacks.select = [&](llama_boundary & boundary) {
                ftk_boundary handle = {&boundary};

                const int32_t rc = select(user, &handle);
                if (rc != 0) {
                    why_select = "the selection callback returned " + std::to_string(rc) + " at layer " + std::to_string(boundary.il);
                } else if (!handle.kept) {
                    why_select = "the selection callback did not call ftk_boundary_keep at layer " + std::to_string(boundary.il);
                }

                return why_select.empty();
            };
        }

        if (progress != nullptr) {
            callbacks.progress = [&](int32_t stage, int64_t n_done, int64_t n_stage, double fraction) {
                return progress(user, stage, n_done, n_stage, fraction) == 0;
            };
        }

        callbacks.cancel = cancel != nullptr ? &cancel->flag : nullptr;

        ctx->has_logits = false;

        llama_staged_report report;
        std::string         why;

        const llama_staged_status status = llama_staged_prefill(ctx->ctx, seq_id, std::vector<llama_token>(tokens, tokens + n_tokens),
                plan->plan, callbacks, report, why);

        fail_unless_ok(status, why_select.empty() ? why : why_select);

        ctx->has_logits = true;
        ctx->has_report = true;
        ctx->report     = std::move(report);
    });
}

ftk_status ftk_seq_restore(ftk_context * ctx, int32_t seq_id, const int32_t * tokens, const int32_t * positions, int64_t n_tokens) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        FTK_REQUIRE_NOT_NULL(tokens);
        FTK_REQUIRE_NOT_NULL(positions);

        if (n_tokens <= 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_tokens' must be positive, got %" PRId64, n_tokens);
        }

        ctx->has_logits = false;

        std::string why;
        fail_unless_ok(llama_staged_restore(ctx->ctx, seq_id, std::vector<llama_token>(tokens, tokens + n_tokens),
                               std::vector<llama_pos>(positions, positions + n_tokens), why),
                why);
    });
}

//
// completing
//

static_assert((int) FTK_COMPLETE_FILL == LLAMA_COMPLETE_FILL && (int) FTK_COMPLETE_EXACT == LLAMA_COMPLETE_EXACT);

ftk_status ftk_seq_complete(ftk_context * ctx, int32_t seq_id, int32_t grade, const int32_t * tokens, int64_t n_tokens, int32_t position, int64_t n_run_max, int64_t * n_done, int64_t * n_run) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_done);
        FTK_REQUIRE_NOT_NULL(n_run);
        *n_done = 0;
        *n_run  = 0;
        FTK_REQUIRE_NOT_NULL(ctx);
        FTK_REQUIRE_NOT_NULL(tokens);

        if (n_tokens <= 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_tokens' must be positive, got %" PRId64, n_tokens);
        }

        ctx->has_logits = false;

        std::string why;
        fail_unless_ok(llama_staged_complete(ctx->ctx, seq_id, (llama_complete_grade) grade, std::vector<llama_token>(tokens, tokens + n_tokens), position, n_run_max, *n_done, *n_run, why), why);
    });
}

ftk_status ftk_seq_store_bytes(const ftk_context * ctx, int32_t seq_id, int64_t * n_bytes) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_bytes);
        *n_bytes = 0;
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        *n_bytes = llama_staged_store_bytes(ctx->ctx, seq_id);
    });
}

ftk_status ftk_seq_store_clear(ftk_context * ctx, int32_t seq_id) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        llama_staged_store_clear(ctx->ctx, seq_id);
    });
}

ftk_status ftk_prefill_report(const ftk_context * ctx, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);

        if (!ctx->has_report) {
            ftk_fail(FTK_INVALID_ARGUMENT, "there is no report: no prefill of this context has succeeded yet");
        }

        ftk_json stages = ftk_json::array();
        for (const auto & stage : ctx->report.stages) {
            int64_t us = 0;
            for (const int64_t chunk : stage.chunk_us) {
                us += chunk;
            }

            stages.push_back({
                    {"layer_begin", stage.il_begin},
                    {"layer_end", stage.il_end},
                    {"n_tokens", stage.n_tokens},
                    {"kv_only", stage.kv_only},
                    {"n_chunks", stage.chunk_us.size()},
                    {"us", us},
                    {"chunk_us", stage.chunk_us},
            });
        }

        ftk_write_json({
                               {"total_us", ctx->report.total_us},
                               {"select_us", ctx->report.select_us},
                               {"stages", stages},
                       },
                buf, capacity, n_needed);
    });
}

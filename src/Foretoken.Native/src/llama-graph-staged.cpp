#include "llama-graph-staged.h"

#include "llama-context.h"
#include "llama-impl.h"
#include "llama-kv-cache-staged.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

//
// llm_graph_input_attn_kv_staged
//

llm_graph_input_attn_kv_staged::llm_graph_input_attn_kv_staged(
        const llama_hparams &                 hparams,
        const llama_cparams &                 cparams,
        const llama_kv_cache_staged_context * mctx) :
    llm_graph_input_attn_kv(hparams, cparams, nullptr),
    mctx_staged(mctx),
    stage(mctx->get_stage()) {
}

void llm_graph_input_attn_kv_staged::set_input(const llama_ubatch * ubatch) {
    for (auto & [leader, inp] : classes) {
        inp->mctx = mctx_staged->get_layer(leader);

        if (stage.kv_only) {
            // nothing is attended to
            inp->mctx->set_input_k_idxs(inp->self_k_idxs, ubatch);
            inp->mctx->set_input_v_idxs(inp->self_v_idxs, ubatch);

            if (inp->self_k_rot) {
                inp->mctx->set_input_k_rot(inp->self_k_rot);
            }
            if (inp->self_v_rot) {
                inp->mctx->set_input_v_rot(inp->self_v_rot);
            }
        } else {
            inp->set_input(ubatch);
        }
    }

    if (residual) {
        ggml_backend_tensor_set(residual, mctx_staged->residual, 0, ggml_nbytes(residual));
    }
}

bool llm_graph_input_attn_kv_staged::can_reuse(const llm_graph_params & params) {
    const auto * mctx = dynamic_cast<const llama_kv_cache_staged_context *>(params.mctx);
    if (mctx == nullptr) {
        return false;
    }

    const auto & other = mctx->get_stage();

    if (stage.il_begin != other.il_begin ||
            stage.il_end != other.il_end ||
            stage.kv_only != other.kv_only ||
            stage.skip != other.skip ||
            stage.probes != other.probes) {
        return false;
    }

    // the layers have to be in the same classes as when the graph was built
    for (int32_t il = stage.il_begin; il < stage.il_end; ++il) {
        if (stage.has(il) && leaders[il] != mctx->get_leader(il)) {
            return false;
        }
    }

    mctx_staged = mctx;

    bool res = true;

    llm_graph_params params_layer = params;

    for (auto & [leader, inp] : classes) {
        params_layer.mctx = mctx->get_layer(leader);

        res &= inp->can_reuse(params_layer);
    }

    return res;
}

llm_graph_input_attn_kv * llm_graph_input_attn_kv_staged::for_layer(int il) {
    if (!stage.has(il)) {
        return nullptr;
    }

    auto * inp = classes.at(leaders[il]).get();

    // the tensors are the same for all layers of the class, the cache to write to and read from is the layer's own
    inp->mctx = mctx_staged->get_layer(il);

    return inp;
}

llm_graph_input_attn_kv * llm_build_attn_inp_kv_staged(const llm_graph_context & lctx) {
    const auto * mctx = dynamic_cast<const llama_kv_cache_staged_context *>(lctx.mctx);
    if (mctx == nullptr) {
        return nullptr;
    }

    auto res = std::make_unique<llm_graph_input_attn_kv_staged>(lctx.hparams, lctx.cparams, mctx);

    const uint32_t n_layer = mctx->get_n_layer();

    res->leaders.resize(n_layer, -1);

    for (uint32_t il = 0; il < n_layer; ++il) {
        if (!res->stage.has(il)) {
            continue;
        }

        const int32_t leader = mctx->get_leader(il);

        res->leaders[il] = leader;

        if (res->classes.count(leader)) {
            continue;
        }

        // note: as build_attn_inp_kv_impl() in llama-graph.cpp
        const auto * mctx_cur = mctx->get_layer(leader);

        auto inp = std::make_unique<llm_graph_input_attn_kv>(lctx.hparams, lctx.cparams, mctx_cur);

        inp->self_k_idxs = mctx_cur->build_input_k_idxs(lctx.ctx0, lctx.ubatch);
        inp->self_v_idxs = mctx_cur->build_input_v_idxs(lctx.ctx0, lctx.ubatch);

        const int64_t n_stream = lctx.cparams.kv_unified ? 1 : lctx.ubatch.n_seqs_unq;

        const ggml_type type_mask = lctx.cparams.flash_attn ? GGML_TYPE_F16 : GGML_TYPE_F32;

        inp->self_kq_mask = ggml_new_tensor_4d(lctx.ctx0, type_mask, mctx_cur->get_n_kv(), lctx.ubatch.n_tokens / n_stream, 1, n_stream);
        ggml_set_input(inp->self_kq_mask);
        ggml_set_name(inp->self_kq_mask, "attn_inp_kq_mask");

        inp->self_kq_mask_cnv = inp->self_kq_mask;

        // a quantized cache holds rotated keys and values
        inp->self_k_rot = mctx_cur->build_input_k_rot(lctx.ctx0);
        inp->self_v_rot = mctx_cur->build_input_v_rot(lctx.ctx0);

        res->classes.emplace(leader, std::move(inp));
    }

    for (const auto & [leader, inp] : res->classes) {
        for (ggml_tensor * t : {inp->self_k_idxs, inp->self_v_idxs, inp->self_kq_mask, inp->self_k_rot, inp->self_v_rot}) {
            // a single class always begins at the same place
            if (t != nullptr && res->classes.size() > 1) {
                res->views.push_back(ggml_view_1d(lctx.ctx0, t, ggml_nelements(t), 0));
                ggml_build_forward_expand(lctx.gf, res->views.back());
            }
        }
    }

    return (llm_graph_input_attn_kv *) lctx.res->add_input(std::move(res));
}

llm_graph_input_attn_kv * llm_attn_inp_kv_for_layer(llm_graph_input_attn_kv * inp, int il) {
    auto * staged = dynamic_cast<llm_graph_input_attn_kv_staged *>(inp);

    return staged ? staged->for_layer(il) : inp;
}

ggml_tensor * llm_build_attn_placeholder(const llm_graph_context & lctx, const ggml_tensor * wo, const ggml_tensor * v_cur) {
    // v_cur has one row for each KV head, the attention output has one for each query head
    const int64_t n_rows = wo ? wo->ne[1] : lctx.n_head * v_cur->ne[0];

    return ggml_new_tensor_2d(lctx.ctx0, GGML_TYPE_F32, n_rows, lctx.n_tokens);
}

llm_graph_input_attn_kv_staged * llm_graph_result_get_staged(const llm_graph_result * res) {
    for (const auto & input : res->inputs) {
        if (auto * staged = dynamic_cast<llm_graph_input_attn_kv_staged *>(input.get())) {
            return staged;
        }
    }

    return nullptr;
}

//
// slicing
//

static ggml_tensor * find_tensor(const std::vector<ggml_tensor *> & nodes, const char * name, int il) {
    char full[GGML_MAX_NAME];
    snprintf(full, sizeof(full), "%s-%d", name, il);

    for (auto * node : nodes) {
        if (strcmp(node->name, full) == 0) {
            return node;
        }
    }

    return nullptr;
}

static std::vector<ggml_tensor *> get_nodes(ggml_cgraph * gf) {
    std::vector<ggml_tensor *> res(ggml_graph_n_nodes(gf));

    for (size_t i = 0; i < res.size(); ++i) {
        res[i] = ggml_graph_node(gf, i);
    }

    return res;
}

// the fused attention of a layer, or the softmax of its scores
static ggml_tensor * find_attn(const llm_graph_result * res, const std::vector<ggml_tensor *> & nodes, int il) {
    for (const auto & node : res->get_fused_nodes()) {
        if (node.op == LLM_FUSED_OP_FLASH_ATTN && node.il == il) {
            return node.tensor;
        }
    }

    return find_tensor(nodes, "kq_soft_max", il);
}

// residual stream behind each layer; false if the graph does not name it
static bool find_l_out(const std::vector<ggml_tensor *> & nodes, std::vector<ggml_tensor *> & l_out) {
    const int32_t n_layer = l_out.size();

    for (auto * node : nodes) {
        int il;
        if (sscanf(node->name, "l_out-%d", &il) == 1 && il >= 0 && il < n_layer) {
            l_out[il] = node;
        }
    }

    return std::find(l_out.begin(), l_out.end(), nullptr) == l_out.end();
}

std::string llm_graph_check_staged(const llm_graph_result * res, int32_t n_layer) {
    const auto nodes = get_nodes(res->get_gf());

    std::vector<ggml_tensor *> l_out(n_layer);
    find_l_out(nodes, l_out);

    // what belongs to one layer alone
    std::unordered_map<const ggml_tensor *, int32_t> owners;

    for (int32_t il = 0; il < n_layer; ++il) {
        if (l_out[il] == nullptr) {
            return format("its graph has no tensor 'l_out' for layer %d", il);
        }

        const ggml_tensor * attn = find_attn(res, nodes, il);
        if (attn == nullptr) {
            return format("its graph has no attention over the KV cache in layer %d", il);
        }

        owners[l_out[il]] = il;
        owners[attn]      = il;
    }

    // a stage starts from the residual stream in front of it and from inputs, and from nothing else
    for (int32_t il = 0; il <= n_layer; ++il) {
        const ggml_tensor * l_in = il > 0 ? l_out[il - 1] : nullptr;

        std::unordered_set<const ggml_tensor *> seen;
        std::vector<const ggml_tensor *>        todo = {il < n_layer ? l_out[il] : res->get_logits()};

        while (!todo.empty()) {
            const ggml_tensor * t = todo.back();
            todo.pop_back();

            if (t == nullptr || t == l_in || !seen.insert(t).second) {
                continue;
            }

            const auto it = owners.find(t);
            if (it != owners.end() && it->second != il) {
                return il < n_layer ? format("its layer %d reads what layer %d computes, not only the residual stream in front of it", il, it->second) :
                                      format("its output reads what layer %d computes, not only the residual stream behind the last layer", it->second);
            }

            // neither computed nor an input nor a weight: what stands in for an attention outside of the stage
            if (t->op == GGML_OP_NONE && t->buffer == nullptr && t->view_src == nullptr && (t->flags & GGML_TENSOR_FLAG_INPUT) == 0) {
                return "its graph has an attention that belongs to none of its layers";
            }

            todo.insert(todo.end(), std::begin(t->src), std::end(t->src));
        }
    }

    return {};
}

namespace {

// where the sublayers of a layer meet the residual stream
struct sublayers {
    ggml_tensor * in;   // in front of the layer; in the last layer only the rows of the outputs
    ggml_tensor * attn; // in + attention
    ggml_tensor * ffn;  // in + attention + feed-forward
};

} // namespace

static bool is_computed_from(ggml_tensor * t, const ggml_tensor * from, const ggml_tensor * stop) {
    std::unordered_set<const ggml_tensor *> seen;
    std::vector<ggml_tensor *>              todo = {t};

    while (!todo.empty()) {
        ggml_tensor * cur = todo.back();
        todo.pop_back();

        if (cur == from) {
            return true;
        }
        if (cur == nullptr || cur == stop || !seen.insert(cur).second) {
            continue;
        }

        todo.insert(todo.end(), std::begin(cur->src), std::end(cur->src));
    }

    return false;
}

// looks for x = l_in + attention(l_in), l_out = x + ffn(x), with or without a control vector. Blocks that add both to the
// same stream, or do anything else with it, are not taken for it
static bool find_sublayers(ggml_tensor * l_in, ggml_tensor * l_out, sublayers & res) {
    auto is_in = [&](const ggml_tensor * t) {
        return t == l_in || (t->op == GGML_OP_GET_ROWS && t->src[0] == l_in);
    };

    for (ggml_tensor * ffn : {l_out, l_out->src[0]}) {
        if (ffn == nullptr || ffn->op != GGML_OP_ADD) {
            continue;
        }

        for (int i = 0; i < 2; ++i) {
            ggml_tensor * attn = ffn->src[i];

            if (attn->op != GGML_OP_ADD || !is_computed_from(ffn->src[1 - i], attn, l_in)) {
                continue;
            }

            for (ggml_tensor * in : {attn->src[0], attn->src[1]}) {
                if (is_in(in)) {
                    res = {in, attn, ffn};
                    return true;
                }
            }
        }
    }

    return false;
}

std::string llm_graph_check_sublayers(ggml_cgraph * gf, int32_t n_layer) {
    const auto nodes = get_nodes(gf);

    std::vector<ggml_tensor *> l_out(n_layer);
    find_l_out(nodes, l_out);

    for (int32_t il = 1; il < n_layer; ++il) {
        sublayers sub;
        if (!find_sublayers(l_out[il - 1], l_out[il], sub)) {
            return format("layer %d of this architecture is not attention followed by a feed-forward sublayer, each added to the residual stream", il);
        }
    }

    return {};
}

static bool is_view_of_any(const ggml_tensor * t, const std::vector<ggml_tensor *> & all) {
    return t->view_src != nullptr && std::find(all.begin(), all.end(), t->view_src) != all.end();
}

std::string llm_graph_check_kv_only(ggml_cgraph * gf, const llama_hparams & hparams) {
    const int32_t n_layer = hparams.n_layer();

    const auto nodes = get_nodes(gf);

    std::vector<ggml_tensor *> l_out(n_layer);
    find_l_out(nodes, l_out);

    // what writes to the cache of each layer
    std::vector<std::vector<ggml_tensor *>> writes(n_layer);
    for (auto * node : nodes) {
        int il;
        if (node->op == GGML_OP_SET_ROWS && node->view_src && sscanf(node->view_src->name, "cache_%*[kv]_l%d", &il) == 1 && il >= 0 && il < n_layer) {
            writes[il].push_back(node);
        }

        if (is_view_of_any(node, l_out)) {
            return "something is a view of its residual stream";
        }
    }

    for (int32_t il = 1; il < n_layer; ++il) {
        if (writes[il].size() != 2) {
            return format("layer %d does not write keys and values to a cache each", il);
        }

        // everything between the residual stream and the cache
        std::unordered_set<const ggml_tensor *> seen;
        std::vector<ggml_tensor *>              todo = writes[il];

        int64_t n_rows = 0;

        while (!todo.empty()) {
            ggml_tensor * t = todo.back();
            todo.pop_back();

            if (t == nullptr || t == l_out[il - 1] || !seen.insert(t).second) {
                continue;
            }

            if (t->op == GGML_OP_FLASH_ATTN_EXT || t->op == GGML_OP_SOFT_MAX || std::find(l_out.begin(), l_out.end(), t) != l_out.end()) {
                return format("the keys and values of layer %d are computed from more than the residual stream in front of it", il);
            }

            // neither an adapter nor the rotation of what goes into a quantized cache is a projection of its own
            const bool is_projection = t->op == GGML_OP_MUL_MAT && strstr(t->src[0]->name, ".lora_") == nullptr && (t->src[0]->flags & GGML_TENSOR_FLAG_INPUT) == 0;

            n_rows += is_projection ? t->ne[0] : 0;

            todo.insert(todo.end(), std::begin(t->src), std::end(t->src));
        }

        for (auto * write : writes[il]) {
            if (!is_computed_from(write, l_out[il - 1], nullptr)) {
                return format("the keys and values of layer %d are not computed from the residual stream in front of it", il);
            }
        }

        // a projection of the queries, too, would be work that nobody counts
        if (n_rows != hparams.n_embd_k_gqa(il) + hparams.n_embd_v_gqa(il)) {
            return format("layer %d has no projections of keys and of values alone", il);
        }
    }

    return {};
}

// everybody who reads `from` reads `to` instead; false if something is a view of it, which would still read the old one
static bool replace_tensor(const std::vector<ggml_tensor *> & nodes, const ggml_tensor * from, ggml_tensor * to) {
    for (auto * node : nodes) {
        if (node->view_src == from) {
            return false;
        }

        for (auto & src : node->src) {
            if (src == from) {
                src = to;
            }
        }
    }

    return true;
}

// takes a part of a layer out of the graph
static bool cut_out(const std::vector<ggml_tensor *> & nodes, std::vector<ggml_tensor *> & l_out, const llama_layer_skip & skip) {
    ggml_tensor *& out = l_out[skip.il];

    // never the first layer of the model, so there always is a layer below
    ggml_tensor * in = l_out[skip.il - 1];

    sublayers sub = {in, nullptr, out};

    if (skip.part != LLAMA_LAYER_PART_BLOCK && !find_sublayers(in, out, sub)) {
        return false;
    }

    ggml_tensor * from = skip.part == LLAMA_LAYER_PART_ATTENTION ? sub.attn : sub.ffn;
    ggml_tensor * to   = skip.part == LLAMA_LAYER_PART_FEED_FORWARD ? sub.attn : sub.in;

    if (out == from) {
        out = to;
    }

    return replace_tensor(nodes, from, to);
}

// the rows of a probe are taken in blocks: one softmax(QK) of all of them could exceed what the layers themselves need
static const int64_t N_ROWS_BLOCK = 64;

// tensors that build_probe() makes at most
static int64_t count_probe_nodes(const llama_stage::probe_rows & rows) {
    const int64_t n_blocks = (rows.n_rows + N_ROWS_BLOCK - 1) / N_ROWS_BLOCK;

    return n_blocks * (rows.reduction == LLAMA_PROBE_MEAN ? 12 : 18);
}

uint32_t llm_graph_probe_nodes_staged(const llama_memory_i * memory) {
    const auto * kv = dynamic_cast<const llama_kv_cache_staged *>(memory);

    // in every layer one probe of 512 queries and two of up to 64, or eight of up to 64; more where fewer layers are probed
    return kv ? 160 * kv->get_n_layer() : 0;
}

// as ggml_sum_rows(), for the maximum: [n, ...] -> [1, ...]
static ggml_tensor * build_max_rows(ggml_context * ctx, ggml_tensor * t) {
    const int64_t n = t->ne[0];

    ggml_tensor * res = ggml_pool_1d(ctx, ggml_reshape_1d(ctx, t, ggml_nelements(t)), GGML_OP_POOL_MAX, n, n, 0);

    return ggml_reshape_4d(ctx, res, 1, t->ne[1], t->ne[2], t->ne[3]);
}

// attention that the keys of one layer receive from the given rows of the ubatch, reduced over the rows.
// returns [1, n_kv, n_head]; appended to the graph
static ggml_tensor * build_probe(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * attn, const llama_stage::probe_rows & rows) {
    ggml_tensor * res = nullptr;

    for (int64_t r0 = 0; r0 < rows.n_rows; r0 += N_ROWS_BLOCK) {
        const int64_t n_rows = std::min(N_ROWS_BLOCK, rows.n_rows - r0);
        const int64_t first  = rows.row_first + r0 * rows.row_stride;

        ggml_tensor * p;

        if (attn->op == GGML_OP_FLASH_ATTN_EXT) {
            ggml_tensor * q     = attn->src[0]; // [n_embd_head, n_tokens, n_head]
            ggml_tensor * k     = attn->src[1]; // [n_embd_head, n_kv, n_head_kv]
            ggml_tensor * mask  = attn->src[3]; // [n_kv, n_tokens]
            ggml_tensor * sinks = attn->src[4];

            float scale;
            float max_bias;
            float softcap;

            memcpy(&scale, (const float *) attn->op_params + 0, sizeof(float));
            memcpy(&max_bias, (const float *) attn->op_params + 1, sizeof(float));
            memcpy(&softcap, (const float *) attn->op_params + 2, sizeof(float));

            q    = ggml_view_3d(ctx, q, q->ne[0], n_rows, q->ne[2], q->nb[1] * rows.row_stride, q->nb[2], q->nb[1] * first);
            mask = ggml_cont(ctx, ggml_view_2d(ctx, mask, mask->ne[0], n_rows, mask->nb[1] * rows.row_stride, mask->nb[1] * first));

            p = ggml_mul_mat(ctx, k, q);
            ggml_prec_set_acc(p, GGML_PREC_F32);

            if (softcap != 0.0f) {
                p     = ggml_scale(ctx, ggml_tanh(ctx, ggml_scale(ctx, p, scale / softcap)), softcap);
                scale = 1.0f;
            }

            p = ggml_soft_max_ext(ctx, p, mask, scale, max_bias);
            ggml_soft_max_add_sinks(p, sinks);
        } else {
            // without flash attention the probabilities are there already: [n_kv, n_tokens, n_head]
            p = ggml_view_3d(ctx, attn, attn->ne[0], n_rows, attn->ne[2], attn->nb[1] * rows.row_stride, attn->nb[2], attn->nb[1] * first);
        }

        p = ggml_cont(ctx, ggml_permute(ctx, p, 1, 0, 2, 3)); // [n_rows, n_kv, n_head]

        if (rows.reduction == LLAMA_PROBE_MEAN) {
            p   = ggml_sum_rows(ctx, p);
            res = res ? ggml_add(ctx, res, p) : p;
        } else {
            p   = build_max_rows(ctx, p);
            res = res ? build_max_rows(ctx, ggml_concat(ctx, res, p, 0)) : p;
        }

        ggml_build_forward_expand(gf, res);
    }

    ggml_set_output(res);
    ggml_format_name(res, "probe_%d", rows.probe);

    return res;
}

ggml_cgraph * llm_graph_slice_staged(const llm_graph_params & params, ggml_cgraph * gf) {
    const auto * mctx = dynamic_cast<const llama_kv_cache_staged_context *>(params.mctx);

    if (mctx == nullptr || gf == nullptr) {
        return gf;
    }

    const llama_stage & stage   = mctx->get_stage();
    const int32_t       n_layer = params.hparams.n_layer();

    const bool is_first = stage.il_begin == 0;
    const bool is_last  = stage.il_end == n_layer;

    GGML_ASSERT(!stage.kv_only || !is_first);

    if (is_first && is_last && stage.skip.empty() && stage.probes.empty()) {
        return gf;
    }

    auto * res = params.res;
    auto * inp = llm_graph_result_get_staged(res);
    auto * ctx = res->get_ctx();

    if (inp == nullptr) {
        LLAMA_LOG_ERROR("%s: the graph of this architecture does not use a plain KV cache\n", __func__);
        return nullptr;
    }

    const auto nodes = get_nodes(gf);

    std::vector<ggml_tensor *> l_out(n_layer);
    if (!find_l_out(nodes, l_out)) {
        LLAMA_LOG_ERROR("%s: the graph does not name the residual stream behind every layer\n", __func__);
        return nullptr;
    }

    // the stage starts from the residual stream that the stage before it left
    if (!is_first) {
        ggml_tensor * t = l_out[stage.il_begin - 1];

        t->op       = GGML_OP_NONE;
        t->view_src = nullptr;
        memset(t->src, 0, sizeof(t->src));
        ggml_set_input(t);

        inp->residual = t;
    }

    if (stage.kv_only) {
        // every layer reads what the first one reads
        for (int32_t il = stage.il_begin; il + 1 < stage.il_end; ++il) {
            if (!replace_tensor(nodes, l_out[il], inp->residual)) {
                LLAMA_LOG_ERROR("%s: layer %d cannot be cut out of the graph\n", __func__, il);
                return nullptr;
            }
        }
    } else {
        for (const auto & skip : stage.skip) {
            if (skip.il >= stage.il_begin && skip.il < stage.il_end && !cut_out(nodes, l_out, skip)) {
                LLAMA_LOG_ERROR("%s: part %d of layer %d cannot be cut out of the graph\n", __func__, skip.part, skip.il);
                return nullptr;
            }
        }
    }

    std::vector<ggml_tensor *> targets;

    if (stage.kv_only) {
        // the caches, see below
    } else if (is_last) {
        // without outputs the last layer only has to write its keys and values
        if (params.n_outputs > 0) {
            targets.push_back(res->t_logits);
        }
    } else {
        inp->residual_out = l_out[stage.il_end - 1];
        ggml_set_output(inp->residual_out);
        targets.push_back(inp->residual_out);
    }

    // only the layers of the stage write to the KV cache
    for (auto * node : nodes) {
        if (node->op == GGML_OP_SET_ROWS) {
            targets.push_back(node);
        }
    }

    // ggml does not return when its memory for tensors is used up
    {
        int64_t n_needed = 0;
        for (const auto & rows : stage.probes) {
            n_needed += count_probe_nodes(rows);
        }

        const int64_t n_free = (ggml_get_mem_size(ctx) - ggml_used_mem(ctx)) / ggml_tensor_overhead();

        if (n_needed > n_free) {
            LLAMA_LOG_ERROR("%s: the %zu probes of layers [%d, %d) need up to %" PRId64 " graph nodes for the queries of one ubatch, there is room for %" PRId64 ": take fewer probes or queries, a larger stride, or a smaller n_ubatch\n",
                    __func__, stage.probes.size(), stage.il_begin, stage.il_end, n_needed, n_free);
            return nullptr;
        }
    }

    std::vector<ggml_tensor *> attns(stage.probes.size());
    for (size_t i = 0; i < stage.probes.size(); ++i) {
        if (stage.probes[i].n_rows == 0) {
            continue;
        }

        attns[i] = find_attn(res, nodes, stage.probes[i].il);

        if (attns[i] == nullptr) {
            LLAMA_LOG_ERROR("%s: layer %d has no attention to probe\n", __func__, stage.probes[i].il);
            return nullptr;
        }

        targets.push_back(attns[i]);
    }

    // everything that the targets are computed from
    std::unordered_set<const ggml_tensor *> needed;

    while (!targets.empty()) {
        ggml_tensor * t = targets.back();
        targets.pop_back();

        if (t == nullptr || !needed.insert(t).second) {
            continue;
        }

        targets.push_back(t->view_src);
        for (auto * src : t->src) {
            targets.push_back(src);
        }
    }

    // the old order of the nodes is kept: it has the writes to the KV cache in front of the reads
    ggml_graph_clear(gf);

    // llm_graph_result::set_inputs() sets all of them, so all of them need memory, used or not
    for (auto * t = ggml_get_first_tensor(ctx); t != nullptr; t = ggml_get_next_tensor(ctx, t)) {
        if (t->flags & GGML_TENSOR_FLAG_INPUT) {
            ggml_build_forward_expand(gf, t);
        }
    }

    for (auto * t : inp->views) {
        ggml_build_forward_expand(gf, t);
    }

    inp->probes.assign(stage.probes.size(), nullptr);

    for (auto * node : nodes) {
        if (needed.count(node) == 0) {
            continue;
        }

        ggml_build_forward_expand(gf, node);

        // right behind the attention, so that its queries need not be kept for longer
        for (size_t i = 0; i < stage.probes.size(); ++i) {
            if (attns[i] == node) {
                inp->probes[i] = build_probe(ctx, gf, node, stage.probes[i]);
            }
        }
    }

    return gf;
}

#pragma once

// tiny random models for the tests: real graphs of several architectures, written in a moment

#include "ggml.h"
#include "gguf.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

struct tiny_model {
    std::string arch = "llama";

    int32_t n_layer   = 6;
    int32_t n_embd    = 128;
    int32_t n_head    = 4;
    int32_t n_head_kv = 2;
    int32_t n_ff      = 192;
    int32_t n_vocab   = 320;
    int32_t n_ctx     = 512;

    int32_t n_rot   = 0; // values of a head that RoPE turns; 0: all
    int32_t n_nextn = 0; // layers behind the others that predict the token after the next one (glm4moe)

    uint32_t seed = 1;

    // layers that are left out of the file; the ones behind them move down
    std::vector<int32_t> without;

    // layers whose attention or feed-forward sublayer adds zeros to the residual stream
    std::vector<int32_t> zero_attn;
    std::vector<int32_t> zero_ffn;
};

inline bool tiny_model_write(const tiny_model & m, const std::string & path) {
    const int32_t n_embd_head = m.n_embd / m.n_head;
    const int32_t n_rot       = m.n_rot > 0 ? m.n_rot : n_embd_head;

    const bool is_glm = m.arch == "glm4moe";

    // runs its two stacks of layers again and again; the file names them once
    const bool is_hrm = m.arch == "hrm_text";

    ggml_init_params params = {
            /*.mem_size   =*/64u * 1024u * 1024u,
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/false,
    };

    ggml_context * ctx  = ggml_init(params);
    gguf_context * gguf = gguf_init_empty();

    auto key = [&](const char * name) {
        return m.arch + "." + name;
    };

    auto is_in = [](const std::vector<int32_t> & layers, int32_t il) {
        return std::find(layers.begin(), layers.end(), il) != layers.end();
    };

    int32_t n_layer = 0;
    for (int32_t il = 0; il < m.n_layer; ++il) {
        n_layer += !is_in(m.without, il);
    }

    gguf_set_val_str(gguf, "general.architecture", m.arch.c_str());
    gguf_set_val_str(gguf, "tokenizer.ggml.model", "no_vocab");
    gguf_set_val_u32(gguf, key("vocab_size").c_str(), m.n_vocab);
    gguf_set_val_u32(gguf, key("block_count").c_str(), is_hrm ? 2 * n_layer : n_layer + m.n_nextn);
    gguf_set_val_u32(gguf, key("context_length").c_str(), m.n_ctx);
    gguf_set_val_u32(gguf, key("embedding_length").c_str(), m.n_embd);
    gguf_set_val_u32(gguf, key("feed_forward_length").c_str(), m.n_ff);
    gguf_set_val_u32(gguf, key("attention.head_count").c_str(), m.n_head);
    gguf_set_val_u32(gguf, key("attention.head_count_kv").c_str(), m.n_head_kv);
    gguf_set_val_u32(gguf, key("attention.key_length").c_str(), n_embd_head);
    gguf_set_val_u32(gguf, key("attention.value_length").c_str(), n_embd_head);
    gguf_set_val_u32(gguf, key("rope.dimension_count").c_str(), n_rot);
    gguf_set_val_f32(gguf, key("rope.freq_base").c_str(), 10000.0f);
    gguf_set_val_f32(gguf, key("attention.layer_norm_rms_epsilon").c_str(), 1e-5f);

    if (m.arch == "gemma2") {
        gguf_set_val_u32(gguf, key("attention.sliding_window").c_str(), 64);
        gguf_set_val_f32(gguf, key("attn_logit_softcapping").c_str(), 50.0f);
        gguf_set_val_f32(gguf, key("final_logit_softcapping").c_str(), 30.0f);
    }

    const int32_t n_expert = 4;

    if (is_glm) {
        gguf_set_val_u32(gguf, key("expert_count").c_str(), n_expert);
        gguf_set_val_u32(gguf, key("expert_used_count").c_str(), 2);
        gguf_set_val_u32(gguf, key("expert_shared_count").c_str(), 1);
        gguf_set_val_u32(gguf, key("expert_feed_forward_length").c_str(), m.n_ff / 2);
        gguf_set_val_u32(gguf, key("leading_dense_block_count").c_str(), 1);
        gguf_set_val_u32(gguf, key("nextn_predict_layers").c_str(), m.n_nextn);
    }

    if (is_hrm) {
        gguf_set_val_u32(gguf, key("hrm.layers_per_stack").c_str(), n_layer / 2);
        gguf_set_val_u32(gguf, key("hrm.h_cycles").c_str(), 2);
        gguf_set_val_u32(gguf, key("hrm.l_cycles").c_str(), 1);
    }

    // the weights of a layer depend on its number, so that a file without one has the same others
    auto add = [&](const std::string & name, uint32_t seed, float mean, float scale, std::vector<int64_t> ne) {
        ggml_tensor * t = ggml_new_tensor(ctx, GGML_TYPE_F32, ne.size(), ne.data());

        ggml_set_name(t, name.c_str());

        std::mt19937 rng(m.seed * 1000003u + seed);
        for (int64_t i = 0; i < ggml_nelements(t); ++i) {
            // the engine's bits are the same everywhere, a distribution's need not be
            ((float *) t->data)[i] = mean + scale * ((float) (rng() >> 8) / (1 << 23) - 1.0f);
        }

        gguf_add_tensor(gguf, t);
    };

    // large enough for an attention that is far from uniform
    const float s_embd = 3.0f / std::sqrt((float) m.n_embd);
    const float s_ff   = 1.7f / std::sqrt((float) m.n_ff);

    const bool  is_gemma = m.arch == "gemma" || m.arch == "gemma2";
    const float norm     = is_gemma ? 0.0f : 1.0f;

    add("token_embd.weight", 1, 0.0f, 1.0f, {m.n_embd, m.n_vocab});
    if (is_hrm) {
        add("hrm.z_l_init", 4, 0.0f, 1.0f, {m.n_embd});
    } else {
        add("output_norm.weight", 2, norm, 0.1f, {m.n_embd});
    }
    if (!is_gemma) {
        add("output.weight", 3, 0.0f, s_embd, {m.n_embd, m.n_vocab});
    }

    const int64_t n_embd_kv = (int64_t) n_embd_head * m.n_head_kv;
    const int64_t n_ff      = m.arch == "qwen" ? m.n_ff / 2 : m.n_ff;

    int32_t il_file = 0;
    for (int32_t il = 0; il < m.n_layer + m.n_nextn; ++il) {
        if (is_in(m.without, il)) {
            continue;
        }

        const std::string b = "blk." + std::to_string(il_file++) + ".";
        const uint32_t    s = 100 + 20 * il;

        const bool has_experts = is_glm && il > 0;

        if (!is_hrm) {
            add(b + "attn_norm.weight", s + 0, norm, 0.1f, {m.n_embd});
        }
        if (m.arch == "qwen") {
            // one matrix for all three, as many heads of keys as of queries, and half the width that the file says
            add(b + "attn_qkv.weight", s + 1, 0.0f, s_embd, {m.n_embd, 3 * m.n_embd});
            add(b + "attn_qkv.bias", s + 2, 0.0f, 0.1f, {3 * m.n_embd});
        } else {
            add(b + "attn_q.weight", s + 1, 0.0f, s_embd, {m.n_embd, m.n_embd});
            add(b + "attn_k.weight", s + 2, 0.0f, s_embd, {m.n_embd, n_embd_kv});
            add(b + "attn_v.weight", s + 3, 0.0f, s_embd, {m.n_embd, n_embd_kv});
        }
        add(b + "attn_output.weight", s + 4, 0.0f, is_in(m.zero_attn, il) ? 0.0f : s_embd, {m.n_embd, m.n_embd});
        if (!is_hrm) {
            add(b + (is_glm ? "post_attention_norm.weight" : "ffn_norm.weight"), s + 5, norm, 0.1f, {m.n_embd});
        } else {
            add(b + "attn_gate.weight", s + 16, 0.0f, s_embd, {m.n_embd, m.n_embd});
        }
        if (has_experts) {
            add(b + "ffn_gate_inp.weight", s + 16, 0.0f, s_embd, {m.n_embd, n_expert});
            add(b + "exp_probs_b.bias", s + 17, 0.0f, 0.1f, {n_expert});
            for (const auto & [name, n] : {std::make_pair(std::string("exps"), n_expert), std::make_pair(std::string("shexp"), 1)}) {
                std::vector<int64_t> ne_up   = {m.n_embd, n_ff / 2};
                std::vector<int64_t> ne_down = {n_ff / 2, m.n_embd};
                if (n > 1) {
                    ne_up.push_back(n);
                    ne_down.push_back(n);
                }
                add(b + "ffn_gate_" + name + ".weight", s + 6 + 3 * n, 0.0f, s_embd, ne_up);
                add(b + "ffn_up_" + name + ".weight", s + 7 + 3 * n, 0.0f, s_embd, ne_up);
                add(b + "ffn_down_" + name + ".weight", s + 8 + 3 * n, 0.0f, s_ff, ne_down);
            }
        } else {
            add(b + "ffn_gate.weight", s + 6, 0.0f, s_embd, {m.n_embd, n_ff});
            add(b + "ffn_up.weight", s + 7, 0.0f, s_embd, {m.n_embd, n_ff});
            add(b + "ffn_down.weight", s + 8, 0.0f, is_in(m.zero_ffn, il) ? 0.0f : s_ff, {n_ff, m.n_embd});
        }

        if (il >= m.n_layer) {
            add(b + "nextn.eh_proj.weight", s + 12, 0.0f, s_embd, {2 * m.n_embd, m.n_embd});
            add(b + "nextn.enorm.weight", s + 13, 1.0f, 0.1f, {m.n_embd});
            add(b + "nextn.hnorm.weight", s + 14, 1.0f, 0.1f, {m.n_embd});
        }

        if (m.arch == "qwen2") {
            add(b + "attn_q.bias", s + 9, 0.0f, 0.1f, {m.n_embd});
            add(b + "attn_k.bias", s + 10, 0.0f, 0.1f, {n_embd_kv});
            add(b + "attn_v.bias", s + 11, 0.0f, 0.1f, {n_embd_kv});
        }

        if (m.arch == "qwen3") {
            add(b + "attn_q_norm.weight", s + 12, 1.0f, 0.1f, {n_embd_head});
            add(b + "attn_k_norm.weight", s + 13, 1.0f, 0.1f, {n_embd_head});
        }

        if (m.arch == "gemma2") {
            add(b + "post_attention_norm.weight", s + 14, 0.0f, 0.1f, {m.n_embd});
            add(b + "post_ffw_norm.weight", s + 15, 0.0f, 0.1f, {m.n_embd});
        }
    }

    const bool ok = gguf_write_to_file(gguf, path.c_str(), false);

    gguf_free(gguf);
    ggml_free(ctx);

    return ok;
}

// a LoRA adapter of such a model for the queries, the values and the feed-forward block of every layer; scale_b = 0: it adds
// nothing
inline bool tiny_lora_write(const tiny_model & m, const std::string & path, uint32_t seed, float scale_b) {
    const int32_t rank = 4;

    ggml_init_params params = {
            /*.mem_size   =*/16u * 1024u * 1024u,
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/false,
    };

    ggml_context * ctx  = ggml_init(params);
    gguf_context * gguf = gguf_init_empty();

    gguf_set_val_str(gguf, "general.type", "adapter");
    gguf_set_val_str(gguf, "general.architecture", m.arch.c_str());
    gguf_set_val_str(gguf, "adapter.type", "lora");
    gguf_set_val_f32(gguf, "adapter.lora.alpha", 2.0f * rank);

    std::mt19937 rng(seed);

    auto add = [&](const std::string & name, int64_t ne0, int64_t ne1, float scale) {
        ggml_tensor * t = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, ne0, ne1);
        ggml_set_name(t, name.c_str());
        for (int64_t i = 0; i < ggml_nelements(t); ++i) {
            ((float *) t->data)[i] = scale * ((float) (rng() >> 8) / (1 << 23) - 1.0f);
        }
        gguf_add_tensor(gguf, t);
    };

    const int64_t n_embd_kv = (int64_t) m.n_embd / m.n_head * m.n_head_kv;

    for (int32_t il = 0; il < m.n_layer; ++il) {
        const std::string b = "blk." + std::to_string(il) + ".";

        for (const auto & [name, n_out] : std::vector<std::pair<std::string, int64_t>>{{"attn_q", m.n_embd}, {"attn_v", n_embd_kv}, {"ffn_up", m.n_ff}}) {
            add(b + name + ".weight.lora_a", m.n_embd, rank, 0.1f);
            add(b + name + ".weight.lora_b", rank, n_out, scale_b);
        }
    }

    const bool ok = gguf_write_to_file(gguf, path.c_str(), false);

    gguf_free(gguf);
    ggml_free(ctx);

    return ok;
}

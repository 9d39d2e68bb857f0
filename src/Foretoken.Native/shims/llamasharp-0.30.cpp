// LLamaSharp 0.30 on the libllama of Foretoken.
//
// The structs that LLamaSharp 0.30 passes are those of a llama.cpp between two releases. This library exports the ten
// functions that differ from the pinned release, with the structs and parameters that LLamaSharp knows, and forwards them.
// Everything else LLamaSharp finds in libllama, which this library depends on.
//
// The offsets below are asserted here, and compared with the managed structs by a test
// (tests/Foretoken.LLamaSharp.Tests/LayoutTests.cs), which reads the CHECK lines.

// the release's own declarations of the ten functions, under other names: only their types are used
#define llama_model_default_params          release_llama_model_default_params
#define llama_context_default_params        release_llama_context_default_params
#define llama_model_quantize_default_params release_llama_model_quantize_default_params
#define llama_model_load_from_file          release_llama_model_load_from_file
#define llama_model_load_from_splits        release_llama_model_load_from_splits
#define llama_init_from_model               release_llama_init_from_model
#define llama_model_quantize                release_llama_model_quantize
#define llama_sampler_init                  release_llama_sampler_init
#define llama_sampler_init_penalties        release_llama_sampler_init_penalties
#define llama_sampler_init_dry              release_llama_sampler_init_dry

#include "llama.h"

#undef llama_model_default_params
#undef llama_context_default_params
#undef llama_model_quantize_default_params
#undef llama_model_load_from_file
#undef llama_model_load_from_splits
#undef llama_init_from_model
#undef llama_model_quantize
#undef llama_sampler_init
#undef llama_sampler_init_penalties
#undef llama_sampler_init_dry

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include <dlfcn.h>

#define SHIM_API extern "C" __attribute__((visibility("default")))

//
// the structs of LLamaSharp 0.30 that differ
//

struct llamasharp_model_params {
    ggml_backend_dev_t *                     devices;
    const llama_model_tensor_buft_override * tensor_buft_overrides;

    int32_t          n_gpu_layers;
    llama_split_mode split_mode;
    llama_load_mode  load_mode;
    int32_t          main_gpu;
    const float *    tensor_split;

    llama_progress_callback progress_callback;
    void *                  progress_callback_user_data;

    const llama_model_kv_override * kv_overrides;

    bool vocab_only;
    bool check_tensors;
    bool use_extra_bufts;
    bool no_host;
    bool no_alloc;
    bool load_mtp;
};

struct llamasharp_context_params {
    uint32_t n_ctx;
    uint32_t n_batch;
    uint32_t n_ubatch;
    uint32_t n_seq_max;
    uint32_t n_rs_seq;
    uint32_t n_outputs_max;
    int32_t  n_threads;
    int32_t  n_threads_batch;

    llama_context_type      ctx_type;
    llama_rope_scaling_type rope_scaling_type;
    enum llama_pooling_type pooling_type; // a function has the same name
    llama_attention_type    attention_type;
    llama_flash_attn_type   flash_attn_type;

    float    rope_freq_base;
    float    rope_freq_scale;
    float    yarn_ext_factor;
    float    yarn_attn_factor;
    float    yarn_beta_fast;
    float    yarn_beta_slow;
    uint32_t yarn_orig_ctx;
    float    defrag_thold;

    ggml_backend_sched_eval_callback cb_eval;
    void *                           cb_eval_user_data;

    ggml_type type_k;
    ggml_type type_v;

    ggml_abort_callback abort_callback;
    void *              abort_callback_data;

    bool embeddings;
    bool offload_kqv;
    bool no_perf;
    bool op_offload;
    bool swa_full;
    bool kv_unified;

    llama_sampler_seq_config * samplers;
    size_t                     n_samplers;

    llama_context * ctx_other;
};

struct llamasharp_quantize_params {
    int32_t     nthread;
    llama_ftype ftype;
    ggml_type   output_tensor_type;
    ggml_type   token_embedding_type;

    bool allow_requantize;
    bool quantize_output_tensor;
    bool only_copy;
    bool pure;
    bool keep_split;
    bool dry_run;

    const llama_model_imatrix_data *    imatrix;
    const llama_model_kv_override *     kv_overrides;
    const llama_model_tensor_override * tt_overrides;
    const int32_t *                     prune_layers;
};

// the last four entries take other parameters than the release's, and LLamaSharp leaves them empty
struct llamasharp_sampler_i {
    const char * (*name)(const llama_sampler * smpl);
    void (*accept)(llama_sampler * smpl, llama_token token);
    void (*apply)(llama_sampler * smpl, llama_token_data_array * cur_p);
    void (*reset)(llama_sampler * smpl);
    llama_sampler * (*clone)(const llama_sampler * smpl);
    void (*free)(llama_sampler * smpl);
    void * backend_init;
    void * backend_accept;
    void * backend_apply;
    void * backend_set_input;
};

//
// offsets: in a struct that is passed on as it is, of the release's own
//

#define CHECK_SIZE(type, size) static_assert(sizeof(type) == size, "LLamaSharp 0.30 has another size of " #type)
#define CHECK(type, field, offset) \
    static_assert(offsetof(type, field) == offset, "LLamaSharp 0.30 has " #field " elsewhere in " #type)

CHECK_SIZE(llamasharp_model_params, 72);
CHECK(llamasharp_model_params, devices, 0);
CHECK(llamasharp_model_params, tensor_buft_overrides, 8);
CHECK(llamasharp_model_params, n_gpu_layers, 16);
CHECK(llamasharp_model_params, split_mode, 20);
CHECK(llamasharp_model_params, load_mode, 24);
CHECK(llamasharp_model_params, main_gpu, 28);
CHECK(llamasharp_model_params, tensor_split, 32);
CHECK(llamasharp_model_params, progress_callback, 40);
CHECK(llamasharp_model_params, progress_callback_user_data, 48);
CHECK(llamasharp_model_params, kv_overrides, 56);
CHECK(llamasharp_model_params, vocab_only, 64);
CHECK(llamasharp_model_params, check_tensors, 65);
CHECK(llamasharp_model_params, use_extra_bufts, 66);
CHECK(llamasharp_model_params, no_host, 67);
CHECK(llamasharp_model_params, no_alloc, 68);
CHECK(llamasharp_model_params, load_mtp, 69);

CHECK_SIZE(llamasharp_context_params, 160);
CHECK(llamasharp_context_params, n_ctx, 0);
CHECK(llamasharp_context_params, n_batch, 4);
CHECK(llamasharp_context_params, n_ubatch, 8);
CHECK(llamasharp_context_params, n_seq_max, 12);
CHECK(llamasharp_context_params, n_rs_seq, 16);
CHECK(llamasharp_context_params, n_outputs_max, 20);
CHECK(llamasharp_context_params, n_threads, 24);
CHECK(llamasharp_context_params, n_threads_batch, 28);
CHECK(llamasharp_context_params, ctx_type, 32);
CHECK(llamasharp_context_params, rope_scaling_type, 36);
CHECK(llamasharp_context_params, pooling_type, 40);
CHECK(llamasharp_context_params, attention_type, 44);
CHECK(llamasharp_context_params, flash_attn_type, 48);
CHECK(llamasharp_context_params, rope_freq_base, 52);
CHECK(llamasharp_context_params, rope_freq_scale, 56);
CHECK(llamasharp_context_params, yarn_ext_factor, 60);
CHECK(llamasharp_context_params, yarn_attn_factor, 64);
CHECK(llamasharp_context_params, yarn_beta_fast, 68);
CHECK(llamasharp_context_params, yarn_beta_slow, 72);
CHECK(llamasharp_context_params, yarn_orig_ctx, 76);
CHECK(llamasharp_context_params, defrag_thold, 80);
CHECK(llamasharp_context_params, cb_eval, 88);
CHECK(llamasharp_context_params, cb_eval_user_data, 96);
CHECK(llamasharp_context_params, type_k, 104);
CHECK(llamasharp_context_params, type_v, 108);
CHECK(llamasharp_context_params, abort_callback, 112);
CHECK(llamasharp_context_params, abort_callback_data, 120);
CHECK(llamasharp_context_params, embeddings, 128);
CHECK(llamasharp_context_params, offload_kqv, 129);
CHECK(llamasharp_context_params, no_perf, 130);
CHECK(llamasharp_context_params, op_offload, 131);
CHECK(llamasharp_context_params, swa_full, 132);
CHECK(llamasharp_context_params, kv_unified, 133);
CHECK(llamasharp_context_params, samplers, 136);
CHECK(llamasharp_context_params, n_samplers, 144);
CHECK(llamasharp_context_params, ctx_other, 152);

CHECK_SIZE(llamasharp_quantize_params, 56);
CHECK(llamasharp_quantize_params, nthread, 0);
CHECK(llamasharp_quantize_params, ftype, 4);
CHECK(llamasharp_quantize_params, output_tensor_type, 8);
CHECK(llamasharp_quantize_params, token_embedding_type, 12);
CHECK(llamasharp_quantize_params, allow_requantize, 16);
CHECK(llamasharp_quantize_params, quantize_output_tensor, 17);
CHECK(llamasharp_quantize_params, only_copy, 18);
CHECK(llamasharp_quantize_params, pure, 19);
CHECK(llamasharp_quantize_params, keep_split, 20);
CHECK(llamasharp_quantize_params, dry_run, 21);
CHECK(llamasharp_quantize_params, imatrix, 24);
CHECK(llamasharp_quantize_params, kv_overrides, 32);
CHECK(llamasharp_quantize_params, tt_overrides, 40);
CHECK(llamasharp_quantize_params, prune_layers, 48);

CHECK_SIZE(llamasharp_sampler_i, 80);
CHECK(llamasharp_sampler_i, name, 0);
CHECK(llamasharp_sampler_i, accept, 8);
CHECK(llamasharp_sampler_i, apply, 16);
CHECK(llamasharp_sampler_i, reset, 24);
CHECK(llamasharp_sampler_i, clone, 32);
CHECK(llamasharp_sampler_i, free, 40);
CHECK(llamasharp_sampler_i, backend_init, 48);
CHECK(llamasharp_sampler_i, backend_accept, 56);
CHECK(llamasharp_sampler_i, backend_apply, 64);
CHECK(llamasharp_sampler_i, backend_set_input, 72);

CHECK_SIZE(llama_sampler, 16);
CHECK(llama_sampler, iface, 0);
CHECK(llama_sampler, ctx, 8);

CHECK_SIZE(llama_batch, 56);
CHECK(llama_batch, n_tokens, 0);
CHECK(llama_batch, token, 8);
CHECK(llama_batch, embd, 16);
CHECK(llama_batch, pos, 24);
CHECK(llama_batch, n_seq_id, 32);
CHECK(llama_batch, seq_id, 40);
CHECK(llama_batch, logits, 48);

CHECK_SIZE(llama_token_data, 12);
CHECK(llama_token_data, id, 0);
CHECK(llama_token_data, logit, 4);
CHECK(llama_token_data, p, 8);

CHECK_SIZE(llama_token_data_array, 32);
CHECK(llama_token_data_array, data, 0);
CHECK(llama_token_data_array, size, 8);
CHECK(llama_token_data_array, selected, 16);
CHECK(llama_token_data_array, sorted, 24);

CHECK_SIZE(llama_model_kv_override, 264);
CHECK(llama_model_kv_override, tag, 0);
CHECK(llama_model_kv_override, key, 4);
CHECK(llama_model_kv_override, val_i64, 136);
CHECK(llama_model_kv_override, val_f64, 136);
CHECK(llama_model_kv_override, val_bool, 136);
CHECK(llama_model_kv_override, val_str, 136);

CHECK_SIZE(llama_model_tensor_buft_override, 16);
CHECK(llama_model_tensor_buft_override, pattern, 0);
CHECK(llama_model_tensor_buft_override, buft, 8);

CHECK_SIZE(llama_chat_message, 16);
CHECK(llama_chat_message, role, 0);
CHECK(llama_chat_message, content, 8);

CHECK_SIZE(llama_logit_bias, 8);
CHECK(llama_logit_bias, token, 0);
CHECK(llama_logit_bias, bias, 4);

CHECK_SIZE(llama_sampler_chain_params, 1);
CHECK(llama_sampler_chain_params, no_perf, 0);

CHECK_SIZE(llama_perf_context_data, 48);
CHECK(llama_perf_context_data, t_start_ms, 0);
CHECK(llama_perf_context_data, t_load_ms, 8);
CHECK(llama_perf_context_data, t_p_eval_ms, 16);
CHECK(llama_perf_context_data, t_eval_ms, 24);
CHECK(llama_perf_context_data, n_p_eval, 32);
CHECK(llama_perf_context_data, n_eval, 36);
CHECK(llama_perf_context_data, n_reused, 40);

CHECK_SIZE(llama_perf_sampler_data, 16);
CHECK(llama_perf_sampler_data, t_sample_ms, 0);
CHECK(llama_perf_sampler_data, n_sample, 8);

// the release's table, which a sampler of LLamaSharp gets a copy of
CHECK_SIZE(llama_sampler_i, 96);

//
// libllama
//

// A function of libllama that this library exports a namesake of. Within this library its plain name is the namesake.
template <typename function_t>
static function_t release_function(const char * name) {
    // a function without a namesake says which file is the libllama that this library was bound to
    static void * const libllama = [] {
        Dl_info info;
        if (dladdr(reinterpret_cast<const void *>(&llama_backend_init), &info) == 0) {
            return static_cast<void *>(nullptr);
        }
        return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    }();

    void * function = libllama == nullptr ? nullptr : dlsym(libllama, name);
    if (function == nullptr) {
        fprintf(stderr, "Foretoken's library for LLamaSharp does not find %s in the libllama beside it.\n", name);
        abort();
    }
    return reinterpret_cast<function_t>(function);
}

#define RELEASE(name) (release_function<decltype(&release_##name)>(#name))

//
// models
//

// either way between the release's parameters and LLamaSharp's: all that both have
template <typename from_t, typename to_t>
static void copy_model_params(const from_t & from, to_t & to) {
    to.devices                     = from.devices;
    to.tensor_buft_overrides       = from.tensor_buft_overrides;
    to.n_gpu_layers                = from.n_gpu_layers;
    to.split_mode                  = from.split_mode;
    to.load_mode                   = from.load_mode;
    to.main_gpu                    = from.main_gpu;
    to.tensor_split                = from.tensor_split;
    to.progress_callback           = from.progress_callback;
    to.progress_callback_user_data = from.progress_callback_user_data;
    to.kv_overrides                = from.kv_overrides;
    to.vocab_only                  = from.vocab_only;
    to.check_tensors               = from.check_tensors;
    to.use_extra_bufts             = from.use_extra_bufts;
    to.no_host                     = from.no_host;
    to.no_alloc                    = from.no_alloc;
    to.load_mtp                    = from.load_mtp;
}

// what LLamaSharp does not know of stays as the release has it by default
static llama_model_params to_release(const llamasharp_model_params & params) {
    llama_model_params result = RELEASE(llama_model_default_params)();
    copy_model_params(params, result);
    return result;
}

SHIM_API llamasharp_model_params llama_model_default_params(void) {
    llamasharp_model_params result = {};
    copy_model_params(RELEASE(llama_model_default_params)(), result);
    // LLamaSharp has no name for the automatic mode; its own llama.cpp maps by default
    if (result.load_mode == LLAMA_LOAD_MODE_AUTO) {
        result.load_mode = LLAMA_LOAD_MODE_MMAP;
    }
    return result;
}

SHIM_API llama_model * llama_model_load_from_file(const char * path_model, llamasharp_model_params params) {
    return RELEASE(llama_model_load_from_file)(path_model, to_release(params));
}

SHIM_API llama_model * llama_model_load_from_splits(const char ** paths, size_t n_paths, llamasharp_model_params params) {
    return RELEASE(llama_model_load_from_splits)(paths, n_paths, to_release(params));
}

//
// contexts
//

template <typename from_t, typename to_t>
static void copy_context_params(const from_t & from, to_t & to) {
    to.n_ctx               = from.n_ctx;
    to.n_batch             = from.n_batch;
    to.n_ubatch            = from.n_ubatch;
    to.n_seq_max           = from.n_seq_max;
    to.n_rs_seq            = from.n_rs_seq;
    to.n_outputs_max       = from.n_outputs_max;
    to.n_threads           = from.n_threads;
    to.n_threads_batch     = from.n_threads_batch;
    to.ctx_type            = from.ctx_type;
    to.rope_scaling_type   = from.rope_scaling_type;
    to.pooling_type        = from.pooling_type;
    to.attention_type      = from.attention_type;
    to.flash_attn_type     = from.flash_attn_type;
    to.rope_freq_base      = from.rope_freq_base;
    to.rope_freq_scale     = from.rope_freq_scale;
    to.yarn_ext_factor     = from.yarn_ext_factor;
    to.yarn_attn_factor    = from.yarn_attn_factor;
    to.yarn_beta_fast      = from.yarn_beta_fast;
    to.yarn_beta_slow      = from.yarn_beta_slow;
    to.yarn_orig_ctx       = from.yarn_orig_ctx;
    to.defrag_thold        = from.defrag_thold;
    to.cb_eval             = from.cb_eval;
    to.cb_eval_user_data   = from.cb_eval_user_data;
    to.type_k              = from.type_k;
    to.type_v              = from.type_v;
    to.abort_callback      = from.abort_callback;
    to.abort_callback_data = from.abort_callback_data;
    to.embeddings          = from.embeddings;
    to.offload_kqv         = from.offload_kqv;
    to.no_perf             = from.no_perf;
    to.op_offload          = from.op_offload;
    to.swa_full            = from.swa_full;
    to.kv_unified          = from.kv_unified;
    to.samplers            = from.samplers;
    to.n_samplers          = from.n_samplers;
    to.ctx_other           = from.ctx_other;
}

SHIM_API llamasharp_context_params llama_context_default_params(void) {
    llamasharp_context_params result = {};
    copy_context_params(RELEASE(llama_context_default_params)(), result);
    return result;
}

SHIM_API llama_context * llama_init_from_model(llama_model * model, llamasharp_context_params params) {
    llama_context_params result = RELEASE(llama_context_default_params)();
    copy_context_params(params, result);
    return RELEASE(llama_init_from_model)(model, result);
}

//
// quantisation
//

template <typename from_t, typename to_t>
static void copy_quantize_params(const from_t & from, to_t & to) {
    to.nthread                = from.nthread;
    to.ftype                  = from.ftype;
    to.output_tensor_type     = from.output_tensor_type;
    to.token_embedding_type   = from.token_embedding_type;
    to.allow_requantize       = from.allow_requantize;
    to.quantize_output_tensor = from.quantize_output_tensor;
    to.only_copy              = from.only_copy;
    to.pure                   = from.pure;
    to.keep_split             = from.keep_split;
    to.dry_run                = from.dry_run;
    to.imatrix                = from.imatrix;
    to.kv_overrides           = from.kv_overrides;
    to.tt_overrides           = from.tt_overrides;
    to.prune_layers           = from.prune_layers;
}

SHIM_API llamasharp_quantize_params llama_model_quantize_default_params(void) {
    llamasharp_quantize_params result = {};
    copy_quantize_params(RELEASE(llama_model_quantize_default_params)(), result);
    return result;
}

SHIM_API uint32_t llama_model_quantize(const char * fname_inp, const char * fname_out,
        const llamasharp_quantize_params * params) {
    llama_model_quantize_params result = RELEASE(llama_model_quantize_default_params)();
    copy_quantize_params(*params, result);
    return RELEASE(llama_model_quantize)(fname_inp, fname_out, &result);
}

//
// samplers
//

// The table of one sampler of LLamaSharp. Nothing points into LLamaSharp's own, which its `free` frees.
struct sampler_table : llama_sampler_i {
    void (*caller_free)(llama_sampler * smpl);
};

static const sampler_table * table_of(const llama_sampler * smpl) {
    return static_cast<const sampler_table *>(smpl->iface);
}

static void sampler_free(llama_sampler * smpl) {
    const sampler_table * table = table_of(smpl);
    if (table->caller_free != nullptr) {
        table->caller_free(smpl);
    }
    // libllama frees the sampler itself without another look at its table
    delete table;
}

// libllama would give the clone of a sampler without state the same table, which would be freed twice
static llama_sampler * sampler_clone_stateless(const llama_sampler * smpl) {
    return RELEASE(llama_sampler_init)(new sampler_table(*table_of(smpl)), nullptr);
}

SHIM_API llama_sampler * llama_sampler_init(const llamasharp_sampler_i * iface, llama_sampler_context_t ctx) {
    sampler_table * table = new sampler_table();
    table->name           = iface->name;
    table->accept         = iface->accept;
    table->apply          = iface->apply;
    table->reset          = iface->reset;
    table->clone          = iface->clone == nullptr && ctx == nullptr ? sampler_clone_stateless : iface->clone;
    table->free           = sampler_free;
    table->caller_free    = iface->free;
    return RELEASE(llama_sampler_init)(table, ctx);
}

// The release computes penalties on a device, too, and then must know the size of the vocabulary, which LLamaSharp does
// not tell. Ours do without: in a context's chain they run on the host, as in LLamaSharp's own llama.cpp.
static llama_sampler * penalties_clone(const llama_sampler * smpl);

struct penalties_table : llama_sampler_i {
    llama_sampler * (*release_clone)(const llama_sampler * smpl);

    explicit penalties_table(const llama_sampler_i & release) :
        llama_sampler_i(release),
        release_clone(release.clone) {
        clone             = penalties_clone;
        backend_init      = nullptr;
        backend_accept    = nullptr;
        backend_apply     = nullptr;
        backend_set_input = nullptr;
        backend_reset     = nullptr;
    }
};

static llama_sampler * penalties_on_host(llama_sampler * smpl) {
    // one for all: the release has one, too
    static penalties_table table(*smpl->iface);
    smpl->iface = &table;
    return smpl;
}

static llama_sampler * penalties_clone(const llama_sampler * smpl) {
    return penalties_on_host(static_cast<const penalties_table *>(smpl->iface)->release_clone(smpl));
}

SHIM_API llama_sampler * llama_sampler_init_penalties(int32_t penalty_last_n, float penalty_repeat, float penalty_freq,
        float penalty_present) {
    llama_sampler * result =
            RELEASE(llama_sampler_init_penalties)(0, penalty_last_n, penalty_repeat, penalty_freq, penalty_present);

    // where nothing is to be penalised, the release gives a sampler of another kind
    const bool is_disabled =
            penalty_last_n <= 0 || (penalty_repeat == 1.0f && penalty_freq == 0.0f && penalty_present == 0.0f);
    return is_disabled ? result : penalties_on_host(result);
}

SHIM_API llama_sampler * llama_sampler_init_dry(const llama_vocab * vocab, int32_t n_ctx_train, float dry_multiplier,
        float dry_base, int32_t dry_allowed_length, int32_t dry_penalty_last_n,
        const char ** seq_breakers, size_t num_breakers) {
    // -1 looks back over the whole context, and the release is not told how long that is
    return RELEASE(llama_sampler_init_dry)(vocab, dry_multiplier, dry_base, dry_allowed_length,
            dry_penalty_last_n == -1 ? n_ctx_train : dry_penalty_last_n, seq_breakers,
            num_breakers);
}

#include "foretoken-impl.h"

#include "ggml-backend.h"
#include "llama-context.h"
#include "llama-model.h"

#include <algorithm>
#include <cinttypes>
#include <climits>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

ftk_context::~ftk_context() {
    if (owned && ctx != nullptr) {
        llama_free(ctx);
    }
}

//
// creating
//

#ifdef __linux__
// processors' worth of time that a container or a service manager allows, INT32_MAX for no limit: threads beyond it are stopped
// in the middle of an operation, and the others wait for them
static int32_t limit_of_processors() {
    std::vector<std::string> folders = {"/sys/fs/cgroup"};

    // "0::/system.slice/a.service": of control groups of version 2, all above it count, too
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (line.rfind("0::/", 0) == 0) {
            for (size_t end = line.find('/', 4); line.size() > 4; end = line.find('/', end + 1)) {
                folders.push_back("/sys/fs/cgroup/" + line.substr(4, end == std::string::npos ? end : end - 4));
                if (end == std::string::npos) {
                    break;
                }
            }
        }
    }

    int32_t res = INT32_MAX;
    for (const std::string & folder : folders) {
        double quota  = 0;
        double period = 0;
        // "max 100000" for no limit, or "150000 100000"
        if (std::ifstream(folder + "/cpu.max") >> quota >> period && quota > 0 && period > 0) {
            res = std::min(res, std::max(1, (int32_t) (quota / period)));
        }
    }

    double quota  = 0;
    double period = 0;
    // version 1; -1 for no limit
    if (std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota && std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period &&
            quota > 0 && period > 0) {
        res = std::min(res, std::max(1, (int32_t) (quota / period)));
    }

    return res;
}

// physical cores: two threads on one core only get in each other's way
static int32_t physical_cores(int32_t n_logical) {
    std::set<std::string> cores;
    for (int32_t i = 0;; ++i) {
        std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/thread_siblings_list");
        std::string   siblings;
        if (!std::getline(file, siblings)) {
            break;
        }
        cores.insert(siblings);
    }

    // the process may be confined to fewer
    return cores.empty() ? std::max(1, n_logical / 2) : std::min(n_logical, (int32_t) cores.size());
}
#else
static int32_t limit_of_processors() {
    return INT32_MAX;
}

static int32_t physical_cores(int32_t n_logical) {
    return std::max(1, n_logical / 2);
}
#endif

static int32_t default_n_threads() {
    const int32_t n_logical = std::max(1, (int32_t) std::thread::hardware_concurrency());

    // on a small machine all of them are needed
    return std::min(n_logical <= 4 ? n_logical : physical_cores(n_logical), limit_of_processors());
}

int32_t ftk_n_threads(int32_t n_threads) {
    return n_threads == 0 ? default_n_threads() : n_threads;
}

static ggml_type get_kv_type(const ftk_config & config, const char * key) {
    static const ggml_type types[] = {
            GGML_TYPE_F32,
            GGML_TYPE_F16,
            GGML_TYPE_BF16,
            GGML_TYPE_Q8_0,
            GGML_TYPE_Q5_1,
            GGML_TYPE_Q5_0,
            GGML_TYPE_Q4_1,
            GGML_TYPE_Q4_0,
            GGML_TYPE_IQ4_NL,
    };

    const std::string name = config.get_string(key, ggml_type_name(GGML_TYPE_F16));

    std::vector<std::string> names;
    for (const ggml_type type : types) {
        if (name == ggml_type_name(type)) {
            return type;
        }
        names.push_back(ggml_type_name(type));
    }

    ftk_fail(FTK_INVALID_ARGUMENT, "'%s' is %s; possible: %s", key, ftk_quote(name).c_str(), ftk_join(names, ", ").c_str());
}

static llama_flash_attn_type get_flash_attn(const ftk_config & config) {
    const std::string name = config.get_string("flash_attn", "auto");

    if (name == "auto") {
        return LLAMA_FLASH_ATTN_TYPE_AUTO;
    }
    if (name == "on") {
        return LLAMA_FLASH_ATTN_TYPE_ENABLED;
    }
    if (name == "off") {
        return LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }

    ftk_fail(FTK_INVALID_ARGUMENT, "'flash_attn' is %s; possible: auto, on, off", ftk_quote(name).c_str());
}

static void check_kv_type(const llama_model & model, const char * key, ggml_type type, bool is_v) {
    if (!ggml_is_quantized(type)) {
        return;
    }

    const int64_t n_block = ggml_blck_size(type);

    for (uint32_t il = 0; il < model.hparams.n_layer(); ++il) {
        const int64_t n_head_size = is_v ? model.hparams.n_embd_head_v(il) : model.hparams.n_embd_head_k(il);
        if (n_head_size % n_block != 0) {
            ftk_fail(FTK_UNSUPPORTED, "'%s' is '%s', whose blocks of %" PRId64 " do not divide the head size %" PRId64 " of the model; use f16 or bf16",
                    key, ggml_type_name(type), n_block, n_head_size);
        }
    }
}

// systems that promise more memory than they have kill the process when it is touched
static void check_kv_memory(const llama_model & model, const llama_context_params & params) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == nullptr || (params.offload_kqv && !model.devices.empty())) {
        return;
    }

    const uint64_t n_ctx = params.n_ctx == 0 ? model.hparams.n_ctx_train : params.n_ctx;

    double n_bytes = 0.0;
    for (uint32_t il = 0; il < model.hparams.n_layer(); ++il) {
        n_bytes += (double) n_ctx * ggml_row_size(params.type_k, model.hparams.n_embd_k_gqa(il));
        n_bytes += (double) n_ctx * ggml_row_size(params.type_v, model.hparams.n_embd_v_gqa(il));
    }

    size_t n_free  = 0;
    size_t n_total = 0;
    ggml_backend_dev_memory(cpu, &n_free, &n_total);

    if (n_total > 0 && n_bytes > (double) n_total) {
        ftk_fail(FTK_OUT_OF_MEMORY, "a KV cache for %" PRIu64 " tokens takes %.1f GiB, the machine has %.1f GiB; use a smaller 'n_ctx' or quantized 'type_k' and 'type_v'",
                n_ctx, n_bytes / (1 << 30), (double) n_total / (1 << 30));
    }
}

static std::unique_ptr<ftk_context> wrap_context(llama_context * ctx, bool owned) {
    auto res = std::make_unique<ftk_context>();

    res->ctx       = ctx;
    res->model     = llama_get_model(ctx);
    res->vocab     = llama_model_get_vocab(res->model);
    res->n_vocab   = llama_vocab_n_tokens(res->vocab);
    res->n_layer   = llama_model_n_layer(res->model);
    res->n_seq_max = (int32_t) llama_n_seq_max(ctx);
    res->owned     = owned;

    return res;
}

ftk_status ftk_context_create(ftk_model * model, const char * config_json, ftk_context ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(model);

        const ftk_config config(config_json, "context config", {"n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_threads", "n_threads_batch", "type_k", "type_v", "flash_attn", "offload_kqv", "kv_unified", "op_offload", "staged"});

        const int64_t n_ctx_max = 1 << 30;

        llama_context_params params = llama_context_default_params();

        params.n_ctx           = (uint32_t) config.get_int("n_ctx", 0, 0, n_ctx_max);
        params.n_batch         = (uint32_t) config.get_int("n_batch", 2048, 1, n_ctx_max);
        params.n_ubatch        = (uint32_t) config.get_int("n_ubatch", std::min<int64_t>(512, params.n_batch), 1, n_ctx_max);
        params.n_seq_max       = (uint32_t) config.get_int("n_seq_max", 1, 1, (int64_t) llama_max_parallel_sequences());
        params.n_threads       = ftk_n_threads((int32_t) config.get_int("n_threads", 0, 0, GGML_MAX_N_THREADS));
        params.n_threads_batch = ftk_n_threads((int32_t) config.get_int("n_threads_batch", 0, 0, GGML_MAX_N_THREADS));
        params.type_k          = get_kv_type(config, "type_k");
        params.type_v          = get_kv_type(config, "type_v");
        params.flash_attn_type = get_flash_attn(config);
        params.offload_kqv     = config.get_bool("offload_kqv", true);
        params.kv_unified      = config.get_bool("kv_unified", false);
        params.op_offload      = config.get_bool("op_offload", true);
        params.no_perf         = true;

        const bool staged = config.get_bool("staged", true);

        if (params.n_ubatch > params.n_batch) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_ubatch' (%u) must not be above 'n_batch' (%u)", params.n_ubatch, params.n_batch);
        }

        const auto & hparams = model->model->hparams;

        if (hparams.vocab_only) {
            ftk_fail(FTK_UNSUPPORTED, "the model was loaded with 'vocab_only': it has no weights to compute with");
        }
        if (params.n_ctx == 0 && hparams.n_ctx_train == 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the model does not say how long its context is: set 'n_ctx'");
        }
        if (llama_model_has_encoder(model->model) || !llama_model_has_decoder(model->model)) {
            ftk_fail(FTK_UNSUPPORTED, "the model (%s) has an encoder; only decoder models can be run", model->model->arch_name().c_str());
        }
        if (ggml_is_quantized(params.type_v) && params.flash_attn_type == LLAMA_FLASH_ATTN_TYPE_DISABLED) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'type_v' is '%s', which needs flash attention: set 'flash_attn' to \"on\" or \"auto\", or 'type_v' to \"f16\"", ggml_type_name(params.type_v));
        }

        check_kv_type(*model->model, "type_k", params.type_k, false);
        check_kv_type(*model->model, "type_v", params.type_v, true);
        check_kv_memory(*model->model, params);

        std::unique_ptr<llama_context, decltype(&llama_free)> ctx(llama_init_from_model(model->model, params), llama_free);

        if (!ctx) {
            const std::string errors    = ftk_logged_errors();
            const bool        is_memory = errors.find("allocate") != std::string::npos || errors.find("reserve") != std::string::npos || errors.find("bad_alloc") != std::string::npos;
            ftk_fail(is_memory ? FTK_OUT_OF_MEMORY : FTK_UNSUPPORTED, "cannot create a context: %s", errors.empty() ? "no reason given" : errors.c_str());
        }

        if (llama_get_memory(ctx.get()) == nullptr) {
            ftk_fail(FTK_UNSUPPORTED, "the model (%s) has no memory for earlier tokens and cannot generate", model->model->arch_name().c_str());
        }

        if (staged) {
            std::string why;
            if (!llama_staged_enable(ctx.get(), why)) {
                ftk_fail(FTK_UNSUPPORTED, "staged prefill is not possible: %s. Set 'staged' to false for a context without it", why.c_str());
            }
        }

        auto res = wrap_context(ctx.get(), true);
        ctx.release();

        *out = res.release();
    });
}

ftk_status ftk_context_attach(void * llama_ctx, ftk_context ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(llama_ctx);

        auto res = wrap_context((llama_context *) llama_ctx, false);

        std::string why;
        if (!llama_staged_enable(res->ctx, why)) {
            ftk_fail(FTK_UNSUPPORTED, "staged prefill is not possible: %s", why.c_str());
        }

        *out = res.release();
    });
}

void ftk_context_free(ftk_context * ctx) {
    ftk_guard(__func__, [&]() { delete ctx; });
}

//
// looking into the context
//

ftk_status ftk_context_info(const ftk_context * ctx, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);

        ftk_json devices = ftk_json::array();
        for (const llama_device & device : ctx->model->devices) {
            devices.push_back(ggml_backend_dev_name(device.dev));
        }
        if (ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
            devices.push_back(ggml_backend_dev_name(cpu));
        }

        ftk_write_json({
                               {"n_ctx", llama_n_ctx(ctx->ctx)},
                               {"n_ctx_seq", llama_n_ctx_seq(ctx->ctx)},
                               {"n_batch", llama_n_batch(ctx->ctx)},
                               {"n_ubatch", llama_n_ubatch(ctx->ctx)},
                               {"n_seq_max", ctx->n_seq_max},
                               {"flash_attn", ctx->ctx->get_cparams().flash_attn},
                               {"staged", llama_staged_enabled(ctx->ctx)},
                               {"kv_bytes_allocated", llama_staged_kv_bytes_allocated(ctx->ctx)},
                               {"n_threads", llama_n_threads(ctx->ctx)},
                               {"n_threads_batch", llama_n_threads_batch(ctx->ctx)},
                               {"devices", devices},
                       },
                buf, capacity, n_needed);
    });
}

ftk_status ftk_context_set_threads(ftk_context * ctx, int32_t n_threads, int32_t n_threads_batch) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);

        if (n_threads < 0 || n_threads > GGML_MAX_N_THREADS || n_threads_batch < 0 || n_threads_batch > GGML_MAX_N_THREADS) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the numbers of threads must lie in [0, %d] (0: the machine's cores), got %d and %d",
                    GGML_MAX_N_THREADS, n_threads, n_threads_batch);
        }

        llama_set_n_threads(ctx->ctx,
                ftk_n_threads(n_threads),
                ftk_n_threads(n_threads_batch));
    });
}

//
// decode
//

void ftk_require_seq_id(const ftk_context & ctx, int32_t seq_id, const char * what) {
    if (seq_id < 0 || seq_id >= ctx.n_seq_max) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'%s' is %d, but the context was created for the sequences 0 to %d ('n_seq_max')", what, seq_id, ctx.n_seq_max - 1);
    }
}

void ftk_require_room(const ftk_context & ctx, int32_t seq_id, const int32_t * tokens, int64_t n_tokens) {
    ftk_require_seq_id(ctx, seq_id, "seq_id");

    if (n_tokens <= 0) {
        ftk_fail(FTK_INVALID_ARGUMENT, "at least one token is needed, got %" PRId64, n_tokens);
    }
    FTK_REQUIRE_NOT_NULL(tokens);

    const int64_t n_used = llama_memory_seq_pos_max(llama_get_memory(ctx.ctx), seq_id) + 1;
    const int64_t n_ctx  = llama_n_ctx_seq(ctx.ctx);

    if (n_tokens > n_ctx - n_used) {
        ftk_fail(FTK_CONTEXT_FULL, "%" PRId64 " tokens do not fit: sequence %d holds %" PRId64 " of %" PRId64 " positions, %" PRId64 " are free",
                n_tokens, seq_id, n_used, n_ctx, std::max<int64_t>(0, n_ctx - n_used));
    }

    for (int64_t i = 0; i < n_tokens; ++i) {
        ftk_require_token(tokens[i], ctx.n_vocab, "tokens", i);
    }
}

ftk_status ftk_decode(ftk_context * ctx, int32_t seq_id, const int32_t * tokens, int64_t n_tokens, ftk_cancel * cancel) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_room(*ctx, seq_id, tokens, n_tokens);

        if (cancel != nullptr && cancel->flag.load()) {
            ftk_fail(FTK_CANCELLED, "cancelled before anything was computed");
        }

        llama_memory_t memory = llama_get_memory(ctx->ctx);

        const llama_pos pos0    = llama_memory_seq_pos_max(memory, seq_id) + 1;
        const int64_t   n_batch = llama_n_batch(ctx->ctx);

        ctx->has_logits = false;

        const llama_abort_scope abort_scope(ctx->ctx, cancel != nullptr ? &cancel->flag : nullptr);

        std::vector<llama_token>    token;
        std::vector<llama_pos>      pos;
        std::vector<int32_t>        n_seq_id;
        std::vector<llama_seq_id *> seq_ids;
        std::vector<int8_t>         output;

        int32_t rc = 0;

        try {
            for (int64_t i0 = 0; i0 < n_tokens && rc == 0; i0 += n_batch) {
                const int64_t n = std::min(n_batch, n_tokens - i0);

                token.assign(tokens + i0, tokens + i0 + n);
                pos.resize(n);
                for (int64_t i = 0; i < n; ++i) {
                    pos[i] = pos0 + (llama_pos) (i0 + i);
                }
                n_seq_id.assign(n, 1);
                seq_ids.assign(n, &seq_id);
                output.assign(n, 0);
                output.back() = i0 + n == n_tokens;

                llama_batch batch = {
                        /*.n_tokens =*/(int32_t) n,
                        /*.token    =*/token.data(),
                        /*.embd     =*/nullptr,
                        /*.pos      =*/pos.data(),
                        /*.n_seq_id =*/n_seq_id.data(),
                        /*.seq_id   =*/seq_ids.data(),
                        /*.logits   =*/output.data(),
                };

                rc = cancel != nullptr && cancel->flag.load() ? 2 : llama_decode(ctx->ctx, batch);
            }

            if (rc == 0) {
                llama_synchronize(ctx->ctx);
            }
        } catch (...) {
            llama_memory_seq_rm(memory, seq_id, pos0, -1);
            throw;
        }

        if (rc != 0) {
            // earlier chunks and ubatches are still there
            llama_memory_seq_rm(memory, seq_id, pos0, -1);

            const std::string errors = ftk_logged_errors();
            switch (rc) {
                case 1:
                    ftk_fail(FTK_CONTEXT_FULL, "%" PRId64 " tokens do not fit: the KV cache has no free cells left for them (it is shared by %d sequences)", n_tokens, ctx->n_seq_max);
                case 2:
                    ftk_fail(FTK_CANCELLED, "cancelled; the sequence is as it was before");
                default:
                    ftk_fail(FTK_COMPUTE_FAILED, "llama.cpp could not compute the tokens (code %d): %s", rc, errors.empty() ? "no reason given" : errors.c_str());
            }
        }

        ctx->has_logits = true;
    });
}

const float * ftk_get_logits(const ftk_context & ctx) {
    const float * logits = nullptr;

    // the host of an attached context may have decoded without us
    if (ctx.has_logits || !ctx.owned) {
        logits = llama_get_logits_ith(ctx.ctx, -1);
    }

    if (logits == nullptr) {
        ftk_fail(FTK_INVALID_ARGUMENT, "there are no logits: nothing was decoded yet, or the last decode or prefill failed. Decode at least one token first");
    }

    return logits;
}

ftk_status ftk_logits(ftk_context * ctx, float * logits, int64_t capacity) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        FTK_REQUIRE_NOT_NULL(logits);

        if (capacity < ctx->n_vocab) {
            ftk_fail(FTK_BUFFER_TOO_SMALL, "the logits are %d numbers, the buffer holds %" PRId64, ctx->n_vocab, capacity);
        }

        const float * src = ftk_get_logits(*ctx);

        std::copy(src, src + ctx->n_vocab, logits);
    });
}

//
// sequences
//

// copies between streams and position shifts are only noted by llama.cpp and done by the next decode; what reads or
// overwrites the cache before that would see the old contents
static void finish_pending(ftk_context & ctx) {
    ctx.ctx->memory_update(false);
}

static void require_range(int32_t p0, int32_t p1) {
    if (p0 < 0) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'p0' must not be negative, got %d", p0);
    }
    if (p1 >= 0 && p1 < p0) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'p1' (%d) must not lie before 'p0' (%d)", p1, p0);
    }
}

ftk_status ftk_seq_rm(ftk_context * ctx, int32_t seq_id, int32_t p0, int32_t p1) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");
        require_range(p0, p1);

        if (!llama_memory_seq_rm(llama_get_memory(ctx->ctx), seq_id, p0, p1)) {
            ftk_fail(FTK_UNSUPPORTED, "the model's memory cannot remove the positions [%d, %d) alone; remove the whole sequence", p0, p1);
        }
    });
}

ftk_status ftk_seq_cp(ftk_context * ctx, int32_t seq_id_src, int32_t seq_id_dst) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id_src, "seq_id_src");
        ftk_require_seq_id(*ctx, seq_id_dst, "seq_id_dst");

        if (seq_id_src == seq_id_dst) {
            return;
        }

        llama_memory_t memory = llama_get_memory(ctx->ctx);

        llama_memory_seq_rm(memory, seq_id_dst, -1, -1);
        llama_memory_seq_cp(memory, seq_id_src, seq_id_dst, -1, -1);

        finish_pending(*ctx);
    });
}

ftk_status ftk_clear(ftk_context * ctx) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);

        llama_synchronize(ctx->ctx);
        llama_memory_clear(llama_get_memory(ctx->ctx), true);

        ctx->has_logits = false;
    });
}

int32_t ftk_seq_pos_max(const ftk_context * ctx, int32_t seq_id) {
    return ftk_guard_value<int32_t>(__func__, -1, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        return llama_memory_seq_pos_max(llama_get_memory(ctx->ctx), seq_id);
    });
}

ftk_status ftk_seq_positions(const ftk_context * ctx, int32_t seq_id, int32_t layer, int32_t * positions, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_needed);
        *n_needed = 0;
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        if (layer < 0 || layer >= ctx->n_layer) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'layer' is %d, but the model has the layers 0 to %d", layer, ctx->n_layer - 1);
        }
        if (capacity < 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'capacity' must not be negative, got %" PRId64, capacity);
        }

        const std::vector<llama_pos> res = llama_staged_positions(ctx->ctx, seq_id, layer);

        *n_needed = (int64_t) res.size();

        if ((int64_t) res.size() > capacity) {
            ftk_fail(FTK_BUFFER_TOO_SMALL, "the layer holds %zu positions, the buffer holds %" PRId64, res.size(), capacity);
        }
        if (!res.empty()) {
            FTK_REQUIRE_NOT_NULL(positions);
            std::copy(res.begin(), res.end(), positions);
        }
    });
}

ftk_status ftk_seq_kv_bytes(const ftk_context * ctx, int32_t seq_id, int64_t * n_bytes) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_bytes);
        *n_bytes = 0;
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        *n_bytes = llama_staged_kv_bytes_used(ctx->ctx, seq_id);
    });
}

//
// state of a sequence
//

// in front of what llama.cpp writes, which it reads back without much doubt
struct state_header {
    char     magic[8];
    uint32_t version;
    uint32_t header_size;

    char     build[48]; // release and patch hash: the payload's layout belongs to them
    char     arch[32];
    uint32_t n_layer;
    uint32_t n_embd;
    uint32_t n_embd_k; // all layers together
    uint32_t n_embd_v;
    uint32_t n_vocab;
    uint32_t n_ctx_train;
    uint64_t n_params;

    uint32_t staged;
    uint32_t flash_attn; // decides on the layout of the values
    uint32_t n_stream;
    int32_t  pos_max;
    uint64_t n_cells; // in the lowest layer

    uint64_t n_payload;
    uint64_t checksum; // FNV-1a of the payload and of this header with a checksum of zero
};

static_assert(sizeof(state_header) == 168, "the header has no padding whose bytes would be undefined");

static uint64_t fnv1a(const uint8_t * data, size_t size, uint64_t hash) {
    for (size_t i = 0; i < size; ++i) {
        hash = (hash ^ data[i]) * 0x100000001b3ull;
    }

    return hash;
}

static uint64_t get_checksum(state_header header, const uint8_t * payload) {
    header.checksum = 0;

    const uint64_t hash = fnv1a((const uint8_t *) &header, sizeof(header), 0xcbf29ce484222325ull);

    return fnv1a(payload, header.n_payload, hash);
}

static state_header make_state_header(const ftk_context & ctx) {
    const auto & hparams = ctx.model->hparams;
    const auto & cparams = ctx.ctx->get_cparams();

    state_header res;
    memset(&res, 0, sizeof(res));

    memcpy(res.magic, "FTKSEQ\r\n", sizeof(res.magic));
    res.version     = 1;
    res.header_size = sizeof(res);

    snprintf(res.build, sizeof(res.build), "%s/%s", ftk_llama_release(), ftk_patch_hash());
    snprintf(res.arch, sizeof(res.arch), "%s", ctx.model->arch_name().c_str());

    res.n_layer = hparams.n_layer();
    res.n_embd  = hparams.n_embd;
    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        res.n_embd_k += hparams.n_embd_k_gqa(il);
        res.n_embd_v += hparams.n_embd_v_gqa(il);
    }
    res.n_vocab     = ctx.n_vocab;
    res.n_ctx_train = hparams.n_ctx_train;
    res.n_params    = llama_model_n_params(ctx.model);
    res.staged      = llama_staged_enabled(ctx.ctx);
    res.flash_attn  = cparams.flash_attn;
    res.n_stream    = cparams.kv_unified ? 1 : cparams.n_seq_max;

    return res;
}

ftk_status ftk_seq_state_save(ftk_context * ctx, int32_t seq_id, uint8_t * data, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_needed);
        *n_needed = 0;
        FTK_REQUIRE_NOT_NULL(ctx);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        if (capacity < 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'capacity' must not be negative, got %" PRId64, capacity);
        }

        llama_synchronize(ctx->ctx);
        finish_pending(*ctx);

        const size_t n_payload = llama_state_seq_get_size(ctx->ctx, seq_id);
        if (n_payload == 0) {
            ftk_fail(FTK_INTERNAL, "the state cannot be saved: %s", ftk_logged_errors().c_str());
        }

        *n_needed = (int64_t) (sizeof(state_header) + n_payload);

        if (*n_needed > capacity) {
            ftk_fail(FTK_BUFFER_TOO_SMALL, "the state has %" PRId64 " bytes, the buffer holds %" PRId64, *n_needed, capacity);
        }
        FTK_REQUIRE_NOT_NULL(data);

        uint8_t * payload = data + sizeof(state_header);

        if (llama_state_seq_get_data(ctx->ctx, payload, n_payload, seq_id) != n_payload) {
            ftk_fail(FTK_INTERNAL, "the state cannot be saved: %s", ftk_logged_errors().c_str());
        }

        state_header header = make_state_header(*ctx);

        header.pos_max   = llama_memory_seq_pos_max(llama_get_memory(ctx->ctx), seq_id);
        header.n_cells   = llama_staged_positions(ctx->ctx, seq_id, 0).size();
        header.n_payload = n_payload;
        header.checksum  = get_checksum(header, payload);

        memcpy(data, &header, sizeof(header));
    });
}

static void check_state_header(const ftk_context & ctx, const state_header & header, const uint8_t * data, int64_t n_bytes) {
    const state_header own = make_state_header(ctx);

    if (memcmp(header.magic, own.magic, sizeof(own.magic)) != 0) {
        ftk_fail(FTK_STATE_MISMATCH, "these bytes are not a saved sequence");
    }
    if (header.version != own.version || header.header_size != own.header_size) {
        ftk_fail(FTK_STATE_MISMATCH, "the state has version %u, this build reads version %u", header.version, own.version);
    }
    if (header.n_payload != (uint64_t) n_bytes - sizeof(header)) {
        ftk_fail(FTK_STATE_MISMATCH, "the state says that it has %" PRIu64 " bytes, but %" PRId64 " are here: it is truncated or damaged",
                header.n_payload + (uint64_t) sizeof(header), n_bytes);
    }
    if (header.checksum != get_checksum(header, data + sizeof(header))) {
        ftk_fail(FTK_STATE_MISMATCH, "the state is damaged: its checksum is wrong");
    }

    if (memcmp(header.build, own.build, sizeof(own.build)) != 0) {
        ftk_fail(FTK_STATE_MISMATCH, "the state was saved by the build %s, this is %s", ftk_quote(std::string(header.build, strnlen(header.build, sizeof(header.build)))).c_str(), ftk_quote(own.build).c_str());
    }
    if (memcmp(header.arch, own.arch, sizeof(own.arch)) != 0 ||
            header.n_layer != own.n_layer || header.n_embd != own.n_embd || header.n_embd_k != own.n_embd_k || header.n_embd_v != own.n_embd_v ||
            header.n_vocab != own.n_vocab || header.n_ctx_train != own.n_ctx_train || header.n_params != own.n_params) {
        ftk_fail(FTK_STATE_MISMATCH, "the state belongs to another model (%s, %u layers, width %u, %u tokens; this is %s, %u layers, width %u, %u tokens)",
                ftk_quote(std::string(header.arch, strnlen(header.arch, sizeof(header.arch)))).c_str(), header.n_layer, header.n_embd, header.n_vocab,
                ftk_quote(own.arch).c_str(), own.n_layer, own.n_embd, own.n_vocab);
    }
    if (header.staged != own.staged) {
        ftk_fail(FTK_STATE_MISMATCH, "the state was saved by a context with staged = %s, this one has staged = %s", header.staged ? "true" : "false", own.staged ? "true" : "false");
    }
    if (header.flash_attn != own.flash_attn) {
        ftk_fail(FTK_STATE_MISMATCH, "the state was saved with flash attention %s, this context has it %s", header.flash_attn ? "on" : "off", own.flash_attn ? "on" : "off");
    }
    if (header.n_stream != own.n_stream) {
        ftk_fail(FTK_STATE_MISMATCH, "the state was saved by a context with %u separate caches, this one has %u: 'n_seq_max' and 'kv_unified' must be the same", header.n_stream, own.n_stream);
    }

    const int64_t n_ctx = llama_n_ctx_seq(ctx.ctx);
    if (header.pos_max >= n_ctx || header.n_cells > (uint64_t) n_ctx) {
        ftk_fail(FTK_CONTEXT_FULL, "the state holds positions up to %d, the context has room for %" PRId64, header.pos_max, n_ctx);
    }
}

ftk_status ftk_seq_state_load(ftk_context * ctx, int32_t seq_id, const uint8_t * data, int64_t n_bytes) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        FTK_REQUIRE_NOT_NULL(data);
        ftk_require_seq_id(*ctx, seq_id, "seq_id");

        if (n_bytes < (int64_t) sizeof(state_header)) {
            ftk_fail(FTK_STATE_MISMATCH, "%" PRId64 " bytes are too few for a saved sequence", n_bytes);
        }

        state_header header;
        memcpy(&header, data, sizeof(header));

        check_state_header(*ctx, header, data, n_bytes);

        llama_memory_t memory = llama_get_memory(ctx->ctx);

        llama_synchronize(ctx->ctx);
        finish_pending(*ctx);

        // the state of an empty sequence does not empty the one that it is loaded into
        llama_memory_seq_rm(memory, seq_id, -1, -1);

        if (header.n_cells == 0) {
            return;
        }

        const size_t n_read = llama_state_seq_set_data(ctx->ctx, data + sizeof(header), header.n_payload, seq_id);

        if (n_read != header.n_payload || llama_memory_seq_pos_max(memory, seq_id) != header.pos_max) {
            llama_memory_seq_rm(memory, seq_id, -1, -1);

            const std::string errors = ftk_logged_errors();
            if (errors.find("available cells") != std::string::npos) {
                ftk_fail(FTK_CONTEXT_FULL, "the KV cache has no free cells left for the state; sequence %d is now empty", seq_id);
            }
            ftk_fail(FTK_STATE_MISMATCH, "the state does not fit this context; sequence %d is now empty: %s", seq_id, errors.empty() ? "no reason given" : errors.c_str());
        }
    });
}

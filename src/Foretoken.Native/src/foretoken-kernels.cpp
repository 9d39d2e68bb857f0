// Which of ggml's CPU kernels a model meets on this machine.

#include "foretoken-impl.h"

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <set>
#include <string>

#ifndef _WIN32
#    include <dlfcn.h>
#endif

static ggml_backend_dev_t cpu_device() {
    ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (dev == nullptr) {
        ftk_fail(FTK_UNSUPPORTED, "no CPU backend is loaded: call ftk_backend_init first");
    }
    return dev;
}

// as ggml's CPU backend reports them: "AVX2", "LLAMAFILE", "REPACK", ...
static std::set<std::string> cpu_features(ggml_backend_dev_t dev) {
    std::set<std::string> res;

    auto get_features = (ggml_backend_get_features_t) ggml_backend_reg_get_proc_address(
            ggml_backend_dev_backend_reg(dev), "ggml_backend_get_features");
    if (get_features == nullptr) {
        return res;
    }

    for (ggml_backend_feature * feature = get_features(ggml_backend_dev_backend_reg(dev)); feature->name != nullptr; ++feature) {
        if (std::string(feature->value) != "0") {
            res.insert(feature->name);
        }
    }

    return res;
}

// name of the file that the CPU backend is in: of a portable build, the variant that was chosen
static std::string cpu_library(ggml_backend_dev_t dev) {
#ifndef _WIN32
    Dl_info info;
    void *  function = ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(dev), "ggml_backend_get_features");
    if (function != nullptr && dladdr(function, &info) != 0 && info.dli_fname != nullptr) {
        const std::string path  = info.dli_fname;
        const size_t      slash = path.find_last_of('/');
        return slash == std::string::npos ? path : path.substr(slash + 1);
    }
#else
    (void) dev;
#endif
    return "";
}

ftk_status ftk_cpu_info(char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        ggml_backend_dev_t dev = cpu_device();

        ftk_json features = ftk_json::array();
        for (const std::string & feature : cpu_features(dev)) {
            features.push_back(feature);
        }

        ftk_write_json({{"library", cpu_library(dev)}, {"features", features}}, buf, capacity, n_needed);
    });
}

// Kernels that take weights as they lie in the file. What is in none of these lists is computed one row and one column at a
// time, in prefill as in decode. (llamafile_sgemm in ggml-cpu/llamafile/sgemm.cpp, ggml_cpu_iqp_supports_mul_mat in iqp.cpp)
static const char * plain_kernel(ggml_type type, int64_t n_in, int64_t n_out, const std::set<std::string> & features) {
    const auto has = [&](const char * feature) { return features.count(feature) > 0; };

    const bool x86 = has("SSE3");

    if (has("LLAMAFILE")) {
        switch (type) {
            case GGML_TYPE_F32:
                if (has("AVX") || has("NEON")) {
                    return "tinyBLAS";
                }
                break;
            case GGML_TYPE_F16:
                if (x86 ? has("F16C") : has("FP16_VA")) {
                    return "tinyBLAS";
                }
                break;
            case GGML_TYPE_BF16:
                if (has("AVX2")) {
                    return "tinyBLAS";
                }
                break;
            case GGML_TYPE_Q8_0:
            case GGML_TYPE_Q4_0:
                if (has("AVX") || has("DOTPROD")) {
                    return "tinyBLAS";
                }
                break;
            case GGML_TYPE_Q5_0:
            case GGML_TYPE_IQ4_NL:
                if (has("AVX")) {
                    return "tinyBLAS";
                }
                break;
            default:
                break;
        }
    }

    if (has("AVX2") && n_in % 256 == 0 && n_out % 8 == 0) {
        switch (type) {
            case GGML_TYPE_IQ2_XXS:
            case GGML_TYPE_IQ2_XS:
            case GGML_TYPE_IQ2_S:
            case GGML_TYPE_IQ3_XXS:
            case GGML_TYPE_IQ3_S:
            case GGML_TYPE_IQ1_S:
            case GGML_TYPE_IQ1_M:
            case GGML_TYPE_IQ4_XS:
                return "panels";
            default:
                break;
        }
    }

    return "";
}

static std::string cpu_kernel(ggml_backend_dev_t dev, ggml_type type, int64_t n_in, int64_t n_out) {
    if (n_in % ggml_blck_size(type) != 0) {
        return "";
    }

    ggml_context_ptr ctx(ggml_init({ggml_tensor_overhead() * 4, nullptr, /*no_alloc =*/true}));
    ggml_tensor *    weights = ggml_new_tensor_2d(ctx.get(), type, n_in, n_out);
    ggml_tensor *    rows    = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_in, 512);
    ggml_tensor *    product = ggml_mul_mat(ctx.get(), weights, rows);

    // buffer types that repack the weights; the first that takes them gets them, as llama.cpp loads a model
    auto get_extra = (ggml_backend_dev_get_extra_bufts_t) ggml_backend_reg_get_proc_address(
            ggml_backend_dev_backend_reg(dev), "ggml_backend_dev_get_extra_bufts");
    for (ggml_backend_buffer_type_t * buft = get_extra ? get_extra(dev) : nullptr; buft && *buft; ++buft) {
        ggml_backend_buffer_ptr empty(ggml_backend_buft_alloc_buffer(*buft, 0));
        weights->buffer      = empty.get();
        const bool supported = ggml_backend_dev_supports_op(dev, product);
        weights->buffer      = nullptr;
        if (supported) {
            return ggml_backend_buft_name(*buft);
        }
    }

    return plain_kernel(type, n_in, n_out, cpu_features(dev));
}

ftk_status ftk_cpu_kernel(int32_t type, int64_t n_in, int64_t n_out, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        // types that were taken out of ggml have a number and no blocks
        if (type < 0 || type >= GGML_TYPE_COUNT || ggml_blck_size((ggml_type) type) == 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "%d is no tensor type of ggml", type);
        }
        if (n_in < 1 || n_out < 1) {
            ftk_fail(FTK_INVALID_ARGUMENT, "weights of %lld x %lld: both must be at least 1", (long long) n_in, (long long) n_out);
        }

        ftk_write_text(cpu_kernel(cpu_device(), (ggml_type) type, n_in, n_out), buf, capacity, n_needed);
    });
}

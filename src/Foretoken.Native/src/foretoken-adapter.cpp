#include "foretoken-impl.h"

#include "llama-adapter.h"
#include "llama-model.h"

#include <cinttypes>
#include <cmath>
#include <memory>

struct ftk_adapter {
    llama_adapter_lora * adapter = nullptr;
    llama_model *        model   = nullptr;

    ~ftk_adapter() {
        // llama.cpp would keep it until the model goes
        if (adapter != nullptr && model->loras.erase(adapter) > 0) {
            delete adapter;
        }
    }
};

ftk_status ftk_adapter_load(ftk_model * model, const char * path, ftk_adapter ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(model);
        FTK_REQUIRE_NOT_NULL(path);

        auto res = std::make_unique<ftk_adapter>();

        res->model   = model->model;
        res->adapter = llama_adapter_lora_init(model->model, path);
        if (res->adapter == nullptr) {
            const std::string errors = ftk_logged_errors();
            ftk_fail(FTK_BAD_MODEL, "'%s' is not a LoRA adapter of this model%s%s", path, errors.empty() ? "" : ": ", errors.c_str());
        }

        if (llama_adapter_get_alora_n_invocation_tokens(res->adapter) > 0) {
            ftk_fail(FTK_UNSUPPORTED, "'%s' is an activated LoRA, which begins to work in the middle of a prompt; only adapters for the whole prompt can be used", path);
        }

        *out = res.release();
    });
}

void ftk_adapter_free(ftk_adapter * adapter) {
    ftk_guard(__func__, [&]() { delete adapter; });
}

ftk_status ftk_set_adapters(ftk_context * ctx, const ftk_adapter * const * adapters, const float * scales, int64_t n) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(ctx);
        if (n < 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n' must not be negative, got %" PRId64, n);
        }

        std::vector<llama_adapter_lora *> list;
        std::vector<float>                list_scales;

        for (int64_t i = 0; i < n; ++i) {
            FTK_REQUIRE_NOT_NULL(adapters);
            FTK_REQUIRE_NOT_NULL(scales);
            FTK_REQUIRE_NOT_NULL(adapters[i]);

            if (adapters[i]->model != ctx->model) {
                ftk_fail(FTK_INVALID_ARGUMENT, "adapter %" PRId64 " was loaded for another model", i);
            }
            if (!std::isfinite(scales[i])) {
                ftk_fail(FTK_INVALID_ARGUMENT, "the scale of adapter %" PRId64 " is not a finite number", i);
            }
            for (const auto * other : list) {
                if (other == adapters[i]->adapter) {
                    ftk_fail(FTK_INVALID_ARGUMENT, "adapter %" PRId64 " is named twice", i);
                }
            }

            list.push_back(adapters[i]->adapter);
            list_scales.push_back(scales[i]);
        }

        // what was computed with others says nothing of these
        ctx->has_logits = false;

        llama_set_adapters_lora(ctx->ctx, list.data(), list.size(), list_scales.data());
    });
}

// What common.cpp and sampling.cpp call in functions that nothing of ours reaches: loading a model with memory that is fitted
// to the devices, a draft model, and printing where memory went. Their sources would bring much of the rest of llama.cpp's
// common code with them.

#include "common.h"
#include "fit.h"
#include "speculative.h"

common_params_fit_status common_fit_params(
        const char *, llama_model_params *, llama_context_params *, float *, llama_model_tensor_buft_override *, size_t *, uint32_t,
        const common_fit_extra_model *, ggml_log_level) {
    GGML_ABORT("common_fit_params() is not compiled in");
}

void common_memory_breakdown_print(const llama_context *) {
    GGML_ABORT("common_memory_breakdown_print() is not compiled in");
}

common_params common_base_params_to_speculative(const common_params &) {
    GGML_ABORT("common_base_params_to_speculative() is not compiled in");
}

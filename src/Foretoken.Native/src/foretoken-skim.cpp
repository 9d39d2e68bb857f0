// skim predictors (Transkimmer, arXiv 2205.07324): a small network per boundary that reads a token's residual stream and
// tells how important the token is. Trained here, with ggml's own optimiser
//
//   importance = w2 . gelu(W1 (gain * norm(x) + bias) + b1) + b2
//
// norm: mean 0 and variance 1 over the width. ggml has no gradient for it, and needs none: nothing that is learned lies in
// front of it. Nor has ggml one for its GELU; x * sigmoid(1.702 x), the GELU paper's own approximation (arXiv 1606.08415),
// is made of what has one.

#include "foretoken-impl.h"

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-opt.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <memory>
#include <random>

static const float SKIM_NORM_EPS = 1e-5f;
static const float SKIM_GELU     = 1.702f;

namespace {

struct opt_context_deleter {
    void operator()(ggml_opt_context_t opt_ctx) const { ggml_opt_free(opt_ctx); }
};

struct opt_result_deleter {
    void operator()(ggml_opt_result_t result) const { ggml_opt_result_free(result); }
};

struct skim_params {
    int64_t  n_epochs;
    int64_t  n_batch;
    float    learning_rate;
    float    weight_decay;
    uint32_t seed;
    int32_t  n_threads;
};

// the samples: what the caller has, not copied
struct skim_data {
    const float * x; // [n, n_embd]
    const float * y; // [n]
    int64_t       n_embd;
};

// order of the weights: gain, bias [n_embd], W1 [n_hidden, n_embd], b1, w2 [n_hidden], b2 [1]
struct skim_network {
    skim_network(const skim_data & data, int64_t n_hidden, const skim_params & params);

    // one step over the samples; their mean squared error before it
    double train(const int64_t * samples, float learning_rate);

    // mean squared error over samples [i0, i1)
    double evaluate(int64_t i0, int64_t i1);

    void get_weights(float * weights) const;

    const skim_data data;
    const int64_t   n_batch;

    ggml_opt_optimizer_params opt_pars;

    // destroyed from the last to the first
    ggml_backend_ptr        backend;
    ggml_backend_sched_ptr  sched;
    ggml_context_ptr        ctx_static;
    ggml_context_ptr        ctx_compute;
    ggml_backend_buffer_ptr buf;

    std::unique_ptr<ggml_opt_context, opt_context_deleter> opt_ctx;
    std::unique_ptr<ggml_opt_result, opt_result_deleter>   result;

    ggml_tensor *              inp;
    ggml_tensor *              out;
    std::vector<ggml_tensor *> weights;

    std::vector<float> buf_x;
    std::vector<float> buf_y;

private:
    // samples to the inputs of the graph
    void set_batch(const int64_t * samples);
};

} // namespace

static void normalize(const float * x, int64_t n, float * dst) {
    double mean = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        mean += x[i];
    }
    mean /= n;

    double variance = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        variance += (x[i] - mean) * (x[i] - mean);
    }
    variance /= n;

    const double scale = 1.0 / std::sqrt(variance + SKIM_NORM_EPS);
    for (int64_t i = 0; i < n; ++i) {
        dst[i] = (float) ((x[i] - mean) * scale);
    }
}

skim_network::skim_network(const skim_data & data, int64_t n_hidden, const skim_params & params) :
    data(data),
    n_batch(params.n_batch),
    opt_pars(ggml_opt_get_default_optimizer_params(nullptr)) {
    const int64_t n_embd = data.n_embd;

    opt_pars.adamw.wd = params.weight_decay;

    backend.reset(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    if (!backend) {
        ftk_fail(FTK_UNSUPPORTED, "there is no CPU backend; load the backends first (ftk_backend_init)");
    }

    {
        auto * reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(backend.get()));

        if (auto * set_n_threads = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads")) {
            set_n_threads(backend.get(), params.n_threads);
        }
    }

    ggml_backend_t backend_cur = backend.get();
    sched.reset(ggml_backend_sched_new(&backend_cur, nullptr, 1, GGML_DEFAULT_GRAPH_SIZE, false, false));

    ctx_static.reset(ggml_init({
            /*.mem_size   =*/16 * ggml_tensor_overhead(),
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/true,
    }));
    // forward, backward and optimizer step: three graphs
    ctx_compute.reset(ggml_init({
            /*.mem_size   =*/GGML_DEFAULT_GRAPH_SIZE * ggml_tensor_overhead() + 3 * ggml_graph_overhead_custom(GGML_DEFAULT_GRAPH_SIZE, true),
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/true,
    }));

    auto * ctx0 = ctx_static.get();
    auto * ctx  = ctx_compute.get();

    inp = ggml_new_tensor_2d(ctx0, GGML_TYPE_F32, n_embd, n_batch);

    weights = {
            ggml_new_tensor_1d(ctx0, GGML_TYPE_F32, n_embd),
            ggml_new_tensor_1d(ctx0, GGML_TYPE_F32, n_embd),
            ggml_new_tensor_2d(ctx0, GGML_TYPE_F32, n_embd, n_hidden),
            ggml_new_tensor_1d(ctx0, GGML_TYPE_F32, n_hidden),
            ggml_new_tensor_2d(ctx0, GGML_TYPE_F32, n_hidden, 1),
            ggml_new_tensor_1d(ctx0, GGML_TYPE_F32, 1),
    };
    for (auto * w : weights) {
        ggml_set_param(w);
    }

    ggml_tensor * cur = ggml_add(ctx, ggml_mul(ctx, inp, weights[0]), weights[1]);

    cur = ggml_add(ctx, ggml_mul_mat(ctx, weights[2], cur), weights[3]);
    cur = ggml_scale(ctx, ggml_silu(ctx, ggml_scale(ctx, cur, SKIM_GELU)), 1.0f / SKIM_GELU);
    cur = ggml_mul_mat(ctx, weights[4], cur);

    // among the static tensors: what the graphs compute elsewhere cannot be read afterwards
    out = ggml_add(ctx0, cur, weights[5]);

    buf.reset(ggml_backend_alloc_ctx_tensors(ctx0, backend.get()));
    if (!buf) {
        ftk_fail(FTK_OUT_OF_MEMORY, "no memory for a skim predictor of %" PRId64 " x %" PRId64 " weights and batches of %" PRId64, n_embd, n_hidden, n_batch);
    }

    // starting values
    std::mt19937 rng(params.seed);

    // variance 1 / n. The engine's bits are the same everywhere, a distribution's need not be
    auto random = [&](int64_t n, int64_t n_in) {
        const float scale = std::sqrt(3.0f / n_in);

        std::vector<float> res(n);
        for (auto & v : res) {
            v = scale * ((float) (rng() >> 8) / (1 << 23) - 1.0f);
        }
        return res;
    };
    auto set = [&](ggml_tensor * t, const std::vector<float> & values) {
        ggml_backend_tensor_set(t, values.data(), 0, ggml_nbytes(t));
    };

    // hidden units in pairs that cancel, so that nothing is predicted at first: a network that learns what another predictor
    // leaves over would spend its steps on unlearning noise. Small weights in w2 would do that, too, but learn far less
    std::vector<float> w1 = random(n_embd * n_hidden, n_embd);
    std::vector<float> w2 = random(n_hidden, n_hidden);
    for (int64_t i = 1; i < n_hidden; i += 2) {
        std::copy_n(w1.data() + (i - 1) * n_embd, n_embd, w1.data() + i * n_embd);
        w2[i] = -w2[i - 1];
    }
    if (n_hidden % 2 != 0) {
        w2.back() = 0.0f;
    }

    set(weights[0], std::vector<float>(n_embd, 1.0f));
    set(weights[1], std::vector<float>(n_embd, 0.0f));
    set(weights[2], w1);
    set(weights[3], std::vector<float>(n_hidden, 0.0f));
    set(weights[4], w2);
    set(weights[5], {0.0f});

    ggml_opt_params opt_params = ggml_opt_default_params(sched.get(), GGML_OPT_LOSS_TYPE_MEAN_SQUARED_ERROR);

    opt_params.ctx_compute     = ctx;
    opt_params.inputs          = inp;
    opt_params.outputs         = out;
    opt_params.optimizer       = GGML_OPT_OPTIMIZER_TYPE_ADAMW;
    opt_params.get_opt_pars    = ggml_opt_get_constant_optimizer_params;
    opt_params.get_opt_pars_ud = &opt_pars;

    opt_ctx.reset(ggml_opt_init(opt_params));
    result.reset(ggml_opt_result_init());

    buf_x.resize(n_embd * n_batch);
    buf_y.resize(n_batch);
}

void skim_network::set_batch(const int64_t * samples) {
    for (int64_t i = 0; i < n_batch; ++i) {
        normalize(data.x + samples[i] * data.n_embd, data.n_embd, buf_x.data() + i * data.n_embd);
        buf_y[i] = data.y[samples[i]];
    }

    ggml_backend_tensor_set(inp, buf_x.data(), 0, ggml_nbytes(inp));
    ggml_backend_tensor_set(ggml_opt_labels(opt_ctx.get()), buf_y.data(), 0, n_batch * sizeof(float));
}

double skim_network::train(const int64_t * samples, float learning_rate) {
    opt_pars.adamw.alpha = learning_rate;

    ggml_opt_result_reset(result.get());
    ggml_opt_alloc(opt_ctx.get(), true);
    set_batch(samples);
    ggml_opt_eval(opt_ctx.get(), result.get());

    double loss = 0.0;
    ggml_opt_result_loss(result.get(), &loss, nullptr);

    return loss;
}

double skim_network::evaluate(int64_t i0, int64_t i1) {
    std::vector<int64_t> samples(n_batch);
    std::vector<float>   predicted(n_batch);

    double sum = 0.0;
    for (int64_t first = i0; first < i1; first += n_batch) {
        const int64_t n = std::min(n_batch, i1 - first);

        // the last batch is filled up with a sample that is not counted
        for (int64_t i = 0; i < n_batch; ++i) {
            samples[i] = first + std::min(i, n - 1);
        }

        ggml_opt_alloc(opt_ctx.get(), false);
        set_batch(samples.data());
        ggml_opt_eval(opt_ctx.get(), nullptr);

        ggml_backend_tensor_get(out, predicted.data(), 0, ggml_nbytes(out));

        for (int64_t i = 0; i < n; ++i) {
            const double error = (double) predicted[i] - data.y[samples[i]];
            sum += error * error;
        }
    }

    return sum / (i1 - i0);
}

void skim_network::get_weights(float * dst) const {
    for (auto * w : weights) {
        ggml_backend_tensor_get(w, dst, 0, ggml_nbytes(w));
        dst += ggml_nelements(w);
    }
}

static void require_finite(const float * values, int64_t n, int64_t n_row, const char * name) {
    for (int64_t i = 0; i < n; ++i) {
        if (!std::isfinite(values[i])) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'%s' of sample %" PRId64 " is not a finite number", name, i / n_row);
        }
    }
}

ftk_status ftk_skim_fit(const float * x, const float * y, int64_t n_samples, int64_t n_validation, int32_t n_embd, int32_t n_hidden,
        const char * config_json, ftk_skim_progress progress, void * user, ftk_cancel * cancel,
        float * weights, int64_t capacity, int64_t * n_needed, double * loss_train, double * loss_validation) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_needed);
        *n_needed = 0;
        FTK_REQUIRE_NOT_NULL(x);
        FTK_REQUIRE_NOT_NULL(y);
        FTK_REQUIRE_NOT_NULL(loss_train);
        FTK_REQUIRE_NOT_NULL(loss_validation);

        // widths that are no model's would only end in a failed allocation inside ggml
        const int32_t n_embd_max   = 1 << 16;
        const int32_t n_hidden_max = 1 << 12;

        if (n_embd < 1 || n_embd > n_embd_max || n_hidden < 1 || n_hidden > n_hidden_max) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_embd' and 'n_hidden' lie in [1, %d] and [1, %d], got %d and %d", n_embd_max, n_hidden_max, n_embd, n_hidden);
        }
        if (n_samples < 1 || n_samples > INT64_MAX / (int64_t) sizeof(float) / n_embd) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_samples' is %" PRId64, n_samples);
        }
        if (n_validation < 0 || n_validation >= n_samples) {
            ftk_fail(FTK_INVALID_ARGUMENT, "%" PRId64 " of %" PRId64 " samples cannot be held out: at least one is needed to train on", n_validation, n_samples);
        }

        const ftk_config config(config_json, "skim config", {"epochs", "batch_size", "learning_rate", "weight_decay", "seed", "n_threads"});

        const int64_t n_train = n_samples - n_validation;

        skim_params params;
        params.n_epochs      = config.get_int("epochs", 8, 1, 100000);
        params.n_batch       = std::min(n_train, config.get_int("batch_size", 256, 1, 1 << 14));
        params.learning_rate = (float) config.get_float("learning_rate", 3e-4, 1e-7, 1.0);
        params.weight_decay  = (float) config.get_float("weight_decay", 0.01, 0.0, 1.0);
        params.seed          = (uint32_t) config.get_int("seed", 0, 0, UINT32_MAX);
        params.n_threads     = ftk_n_threads((int32_t) config.get_int("n_threads", 0, 0, GGML_MAX_N_THREADS));

        const int64_t n_weights = 2 * (int64_t) n_embd + (int64_t) n_hidden * n_embd + 2 * (int64_t) n_hidden + 1;

        *n_needed = n_weights;
        if (capacity < n_weights) {
            ftk_fail(FTK_BUFFER_TOO_SMALL, "the predictor has %" PRId64 " weights, the buffer holds %" PRId64, n_weights, capacity);
        }
        FTK_REQUIRE_NOT_NULL(weights);

        require_finite(x, n_samples * n_embd, n_embd, "x");
        require_finite(y, n_samples, 1, "y");

        const auto check_cancelled = [&]() {
            if (cancel != nullptr && cancel->flag.load(std::memory_order_relaxed)) {
                ftk_fail(FTK_CANCELLED, "cancelled; nothing was learned");
            }
        };

        check_cancelled();

        skim_network network({x, y, n_embd}, n_hidden, params);

        std::vector<int64_t> order(n_train);
        for (int64_t i = 0; i < n_train; ++i) {
            order[i] = i;
        }

        // not the numbers that the starting values were made of
        std::mt19937_64 rng(params.seed + 0x9e3779b97f4a7c15ull);

        // what does not fill a batch waits for another epoch
        const int64_t n_batches = n_train / params.n_batch;
        const int64_t n_steps   = n_batches * params.n_epochs;

        double train      = 0.0;
        double validation = NAN;

        for (int64_t epoch = 0; epoch < params.n_epochs; ++epoch) {
            for (int64_t i = n_train - 1; i > 0; --i) {
                std::swap(order[i], order[(int64_t) (rng() % (uint64_t) (i + 1))]);
            }

            train = 0.0;
            for (int64_t ib = 0; ib < n_batches; ++ib) {
                check_cancelled();

                // a cosine from the learning rate down to a hundredth of it
                const double done = (double) (epoch * n_batches + ib) / n_steps;
                const double rate = params.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + std::cos(done * 3.14159265358979323846)));

                train += network.train(order.data() + ib * params.n_batch, (float) rate) / n_batches;
            }

            if (n_validation > 0) {
                check_cancelled();
                validation = network.evaluate(n_train, n_samples);
            }

            if (!std::isfinite(train) || (n_validation > 0 && !std::isfinite(validation))) {
                ftk_fail(FTK_COMPUTE_FAILED, "the training diverged in epoch %" PRId64 "; a learning rate below %g may help", epoch, params.learning_rate);
            }

            if (progress != nullptr && progress(user, (int32_t) epoch, (int32_t) params.n_epochs, train, validation) != 0) {
                ftk_fail(FTK_CANCELLED, "cancelled; nothing was learned");
            }
        }

        std::vector<float> trained(n_weights);
        network.get_weights(trained.data());
        for (const float w : trained) {
            if (!std::isfinite(w)) {
                ftk_fail(FTK_COMPUTE_FAILED, "the training diverged; a learning rate below %g may help", params.learning_rate);
            }
        }

        std::copy(trained.begin(), trained.end(), weights);
        *loss_train      = train;
        *loss_validation = validation;
    });
}

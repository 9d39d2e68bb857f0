// skim predictors: what is learned, that it is learned the same way again, and what is refused

#include "foretoken.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

static int n_failed = 0;
static int n_checks = 0;

#define CHECK(cond)                                                                                   \
    do {                                                                                              \
        ++n_checks;                                                                                   \
        if (!(cond)) {                                                                                \
            ++n_failed;                                                                               \
            fprintf(stderr, "%s:%d: failed: %s (%s)\n", __FILE__, __LINE__, #cond, ftk_last_error()); \
        }                                                                                             \
    } while (0)

static const int64_t N        = 3000;
static const int64_t N_VAL    = 500;
static const int32_t N_EMBD   = 12;
static const int32_t N_HIDDEN = 24;

struct problem {
    std::vector<float> x;
    std::vector<float> y;
    double             variance; // of the y that are held out, around their mean
};

// an importance that no linear predictor finds: the product of two directions. The scale of a row must not matter
static problem make_problem() {
    std::mt19937 rng(5);

    auto uniform = [&]() {
        return (float) (rng() >> 8) / (1 << 23) - 1.0f;
    };

    problem res;
    for (int64_t i = 0; i < N; ++i) {
        std::vector<float> row(N_EMBD);
        double             mean = 0.0;
        double             sum2 = 0.0;
        for (auto & v : row) {
            v = uniform();
            mean += v / N_EMBD;
        }
        for (auto & v : row) {
            v -= mean;
            sum2 += v * v / N_EMBD;
        }
        const double scale = 1.0 / std::sqrt(sum2);
        res.y.push_back((float) (3.0 + row[0] * row[1] * scale * scale + 0.3 * row[2] * scale));

        const float size = 1.0f + 50.0f * (uniform() + 1.0f);
        for (const float v : row) {
            res.x.push_back(size * v + 0.5f);
        }
    }

    double mean = 0.0;
    for (int64_t i = N - N_VAL; i < N; ++i) {
        mean += res.y[i] / N_VAL;
    }
    res.variance = 0.0;
    for (int64_t i = N - N_VAL; i < N; ++i) {
        res.variance += (res.y[i] - mean) * (res.y[i] - mean) / N_VAL;
    }

    return res;
}

struct fit {
    ftk_status         status;
    std::vector<float> weights;
    int64_t            n_needed   = 0;
    double             train      = -1.0;
    double             validation = -1.0;
};

struct progress_log {
    std::vector<double> train;
    int32_t             stop_at = -1;
    ftk_cancel *        cancel  = nullptr; // set after the first epoch
};

static int32_t on_progress(void * user, int32_t epoch, int32_t n_epochs, double train, double validation) {
    auto & log = *(progress_log *) user;

    CHECK(epoch == (int32_t) log.train.size() && epoch < n_epochs);
    CHECK(validation >= 0.0);
    log.train.push_back(train);

    ftk_cancel_set(log.cancel); // nothing happens to nullptr

    return epoch == log.stop_at;
}

static fit run(const problem & p, const std::string & config, progress_log * log = nullptr, int64_t n_val = N_VAL, int32_t n_embd = N_EMBD, int32_t n_hidden = N_HIDDEN) {
    fit res;
    res.weights.assign(2 * N_EMBD + N_HIDDEN * N_EMBD + 2 * N_HIDDEN + 1, -7.0f);
    res.status = ftk_skim_fit(p.x.data(), p.y.data(), N, n_val, n_embd, n_hidden, config.c_str(), log ? on_progress : nullptr, log,
            log ? log->cancel : nullptr, res.weights.data(), res.weights.size(), &res.n_needed, &res.train, &res.validation);
    return res;
}

// the formula in foretoken.h, written down once more
static double predict(const std::vector<float> & w, const float * x) {
    double mean = 0.0;
    double var  = 0.0;
    for (int i = 0; i < N_EMBD; ++i) {
        mean += x[i] / (double) N_EMBD;
    }
    for (int i = 0; i < N_EMBD; ++i) {
        var += (x[i] - mean) * (x[i] - mean) / N_EMBD;
    }

    const float * gain = w.data();
    const float * bias = gain + N_EMBD;
    const float * w1   = bias + N_EMBD;
    const float * b1   = w1 + N_HIDDEN * N_EMBD;
    const float * w2   = b1 + N_HIDDEN;

    double res = w2[N_HIDDEN];
    for (int h = 0; h < N_HIDDEN; ++h) {
        double z = b1[h];
        for (int i = 0; i < N_EMBD; ++i) {
            z += w1[h * N_EMBD + i] * (gain[i] * (x[i] - mean) / std::sqrt(var + 1e-5) + bias[i]);
        }
        res += w2[h] * z / (1.0 + std::exp(-1.702 * z));
    }
    return res;
}

#define FAILS(expected, text, result)                                         \
    do {                                                                      \
        const fit res_ = (result);                                            \
        CHECK(res_.status == (expected));                                     \
        CHECK(std::string(ftk_last_error()).find(text) != std::string::npos); \
        CHECK(res_.weights.front() == -7.0f && res_.weights.back() == -7.0f); \
    } while (0)

int main() {
    CHECK(ftk_backend_init(nullptr) == FTK_OK);

    const problem p = make_problem();

    const std::string config = R"({"epochs": 40, "batch_size": 64, "learning_rate": 0.01, "seed": 7, "n_threads": 1})";

    // a product of inputs is learned, and the held-out loss is that of the formula
    progress_log log;
    const fit    learned = run(p, config, &log);
    CHECK(learned.status == FTK_OK);
    CHECK(learned.n_needed == (int64_t) learned.weights.size());
    CHECK(log.train.size() == 40 && log.train.back() < 0.1 * log.train.front());
    CHECK(learned.train == log.train.back());
    CHECK(learned.validation < 0.1 * p.variance);

    double loss = 0.0;
    for (int64_t i = N - N_VAL; i < N; ++i) {
        const double error = predict(learned.weights, p.x.data() + i * N_EMBD) - p.y[i];
        loss += error * error / N_VAL;
    }
    CHECK(std::abs(loss - learned.validation) < 1e-4 * (1e-3 + loss));
    printf("variance %.4f, loss of training %.4f, held out %.4f\n", p.variance, learned.train, learned.validation);

    // the same again is the same, another seed is another predictor
    CHECK(run(p, config).weights == learned.weights);
    CHECK(run(p, R"({"epochs": 40, "batch_size": 64, "learning_rate": 0.01, "seed": 8, "n_threads": 1})").weights != learned.weights);

    // what has hardly been trained predicts next to nothing, so that it does no harm beside another predictor
    const fit untrained = run(p, R"({"epochs": 1, "learning_rate": 1e-7, "n_threads": 1})");
    CHECK(untrained.status == FTK_OK);

    double largest = 0.0;
    for (int64_t i = N - N_VAL; i < N; ++i) {
        largest = std::max(largest, std::abs(predict(untrained.weights, p.x.data() + i * N_EMBD)));
    }
    CHECK(largest < 0.01);

    // fewer samples than a batch, none held out, and everything by default
    const fit plain = run(p, R"({"epochs": 1, "batch_size": 10000})", nullptr, 0);
    CHECK(plain.status == FTK_OK && std::isnan(plain.validation) && std::isfinite(plain.train));
    CHECK(run(p, "").status == FTK_OK);

    // cancelled: by the flag, before and meanwhile, and by the host
    progress_log stopped;
    CHECK(ftk_cancel_create(&stopped.cancel) == FTK_OK);
    FAILS(FTK_CANCELLED, "cancelled", run(p, config, &stopped));
    CHECK(stopped.train.size() == 1);
    FAILS(FTK_CANCELLED, "cancelled", run(p, config, &stopped));
    CHECK(stopped.train.size() == 1);
    ftk_cancel_free(stopped.cancel);

    progress_log by_host;
    by_host.stop_at = 2;
    FAILS(FTK_CANCELLED, "cancelled", run(p, config, &by_host));
    CHECK(by_host.train.size() == 3);

    // refused
    FAILS(FTK_INVALID_ARGUMENT, "held out", run(p, config, nullptr, N));
    FAILS(FTK_INVALID_ARGUMENT, "held out", run(p, config, nullptr, -1));
    FAILS(FTK_INVALID_ARGUMENT, "n_hidden", run(p, config, nullptr, 0, N_EMBD, 0));
    FAILS(FTK_INVALID_ARGUMENT, "n_embd", run(p, config, nullptr, 0, 1 << 20));
    FAILS(FTK_BUFFER_TOO_SMALL, "weights", run(p, config, nullptr, 0, N_EMBD, N_HIDDEN + 1));
    FAILS(FTK_INVALID_ARGUMENT, "epochs", run(p, R"({"epochs": 0})"));
    FAILS(FTK_INVALID_ARGUMENT, "learning_rate", run(p, R"({"learning_rate": 0})"));
    FAILS(FTK_INVALID_ARGUMENT, "momentum", run(p, R"({"momentum": 1})"));

    problem bad = p;
    bad.x[77]   = std::numeric_limits<float>::infinity();
    FAILS(FTK_INVALID_ARGUMENT, "sample 6", run(bad, config));
    bad      = p;
    bad.y[9] = std::numeric_limits<float>::quiet_NaN();
    FAILS(FTK_INVALID_ARGUMENT, "sample 9", run(bad, config));

    // numbers that overflow on the way
    problem large = p;
    for (auto & v : large.y) {
        v *= 1e30f;
    }
    FAILS(FTK_COMPUTE_FAILED, "diverged", run(large, config));

    printf("%d checks, %d failed\n", n_checks, n_failed);

    return n_failed == 0 ? 0 : 1;
}

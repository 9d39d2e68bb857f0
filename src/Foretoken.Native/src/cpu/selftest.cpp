// Whether ggml's CPU kernels compute what they should on this machine: run by the build on what it has just compiled.
//
//   foretoken-selftest                  every kernel family, each in a process of its own
//   foretoken-selftest FAMILY           one of them, in this process
//   foretoken-selftest --libraries      what was compiled for which features, and what this machine offers
//
// A family is a type of weights, multiplied with 1, 2, 17 and 64 rows of activations by every kernel that a model would use
// here (the plain one, and those of the buffer types that repack weights), or attention, fused or not. The results are compared
// with a product in double precision of the weights as ggml's plain C code dequantizes them.
//
// Standard output has a line for each family. Ends with 0 when all is right, with 1 when something is not: then the last line
// says what.

#include "foretoken-cpu.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

// Activations are quantized to 8 bits for the product, which costs 2e-5 of the energy of a row of results; one wrong element of
// N_OUT costs more than this.
static const double MAX_ERROR = 2e-4;

static const int N_ROWS[]  = {1, 2, 17, 64};
static const int N_IN      = 512;
static const int N_OUT     = 192;
static const int N_THREADS = 2;

static const struct {
    const char * name;
    ggml_type    type;
} families[] = {
        {"f16", GGML_TYPE_F16},
        {"q8_0", GGML_TYPE_Q8_0},
        {"q4_0", GGML_TYPE_Q4_0},
        {"q4_1", GGML_TYPE_Q4_1},
        {"q4_K", GGML_TYPE_Q4_K},
        {"q6_K", GGML_TYPE_Q6_K},
};

static const char * const attention_families[] = {"attention", "flash-attention"};

// where this process is, for the parent, which cannot ask any more when a signal has ended it; -1: there is none
static int progress_fd = -1;

static void progress(const std::string & what) {
    const std::string line = what + "\n";
    if (progress_fd >= 0 && write(progress_fd, line.data(), line.size()) < 0) {
        // the parent is gone; nobody asks
        progress_fd = -1;
    }
}

[[noreturn]] static void fail(const std::string & what) {
    printf("%s\n", what.c_str());
    fflush(stdout);
    exit(1);
}

// numbers between -1 and 1 that are the same everywhere
struct random_numbers {
    uint64_t state;

    float next() {
        state += 0x9e3779b97f4a7c15;
        uint64_t z = state;
        z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z          = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return (float) ((double) (z >> 11) / (1ull << 52) - 1.0);
    }

    std::vector<float> take(size_t n) {
        std::vector<float> res(n);
        for (float & value : res) {
            value = next();
        }
        return res;
    }
};

// share of the expected energy that the difference has, of the worst row: one wrong row must not drown in the others
static double worst_error(const std::vector<float> & got, const std::vector<double> & expected, int n_row) {
    double res = 0;
    for (size_t begin = 0; begin < expected.size(); begin += n_row) {
        double difference = 0;
        double energy     = 0;
        for (size_t i = begin; i < begin + n_row; ++i) {
            difference += (got[i] - expected[i]) * (got[i] - expected[i]);
            energy += expected[i] * expected[i];
        }
        // written so that not-a-number is the worst
        const double error = energy > 0 ? difference / energy : INFINITY;
        if (!(error <= res)) {
            res = error;
        }
    }
    return res;
}

static ggml_context_ptr make_context() {
    ggml_context_ptr res(ggml_init({ggml_tensor_overhead() * 64 + ggml_graph_overhead(), nullptr, /*no_alloc =*/true}));
    if (res == nullptr) {
        fail("ggml has no memory for a context");
    }
    return res;
}

// the processor's buffer types that a model's weights may go to, in llama.cpp's order
static std::vector<ggml_backend_buffer_type_t> weight_buffer_types(ggml_backend_dev_t cpu) {
    std::vector<ggml_backend_buffer_type_t> res;

    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(cpu);

    auto get_extra = (ggml_backend_dev_get_extra_bufts_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_dev_get_extra_bufts");
    for (ggml_backend_buffer_type_t * extra = get_extra ? get_extra(cpu) : nullptr; extra && *extra; ++extra) {
        res.push_back(*extra);
    }

    res.push_back(ggml_backend_dev_buffer_type(cpu));
    return res;
}

struct cpu_backend {
    ggml_backend_dev_t dev;
    ggml_backend_ptr   backend;

    cpu_backend() {
        if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
            // backends that are not linked lie beside this program
            ggml_backend_load_all();
        }
        dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
        if (dev == nullptr) {
            fail("there is no CPU backend that this machine can run");
        }
        backend.reset(ggml_backend_dev_init(dev, nullptr));
        if (backend == nullptr) {
            fail("the CPU backend does not start");
        }

        // kernels keep state per thread
        auto set_threads = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(
                ggml_backend_dev_backend_reg(dev), "ggml_backend_set_n_threads");
        if (set_threads != nullptr) {
            set_threads(backend.get(), N_THREADS);
        }
    }
};

//
// products
//

// what a tensor in `buft` would be multiplied by; whether that kernel exists
static bool supports(ggml_backend_dev_t dev, ggml_backend_buffer_type_t buft, ggml_tensor * weights, ggml_tensor * product) {
    ggml_backend_buffer_ptr empty(ggml_backend_buft_alloc_buffer(buft, 0));
    weights->buffer = empty.get();
    const bool res  = ggml_backend_dev_supports_op(dev, product);
    weights->buffer = nullptr;
    return res;
}

static void check_product(const cpu_backend & cpu, ggml_type type, ggml_backend_buffer_type_t buft, int n_rows, double & worst) {
    ggml_context_ptr ctx_weights = make_context();
    ggml_context_ptr ctx_rows    = make_context();
    ggml_context_ptr ctx_graph   = make_context();

    ggml_tensor * weights = ggml_new_tensor_2d(ctx_weights.get(), type, N_IN, N_OUT);
    ggml_tensor * rows    = ggml_new_tensor_2d(ctx_rows.get(), GGML_TYPE_F32, N_IN, n_rows);
    ggml_tensor * product = ggml_mul_mat(ctx_graph.get(), weights, rows);

    if (!supports(cpu.dev, buft, weights, product)) {
        return;
    }

    random_numbers           random{(uint64_t) type * 1000 + n_rows};
    const std::vector<float> values = random.take((size_t) N_IN * N_OUT);
    const std::vector<float> inputs = random.take((size_t) N_IN * n_rows);

    std::vector<uint8_t> quantized(ggml_nbytes(weights));
    ggml_quantize_chunk(type, values.data(), quantized.data(), 0, N_OUT, N_IN, nullptr);

    std::vector<float> dequantized(values.size());
    ggml_get_type_traits(type)->to_float(quantized.data(), dequantized.data(), (int64_t) dequantized.size());

    std::vector<double> expected((size_t) N_OUT * n_rows);
    for (int row = 0; row < n_rows; ++row) {
        for (int out = 0; out < N_OUT; ++out) {
            double sum = 0;
            for (int i = 0; i < N_IN; ++i) {
                sum += (double) dequantized[(size_t) out * N_IN + i] * inputs[(size_t) row * N_IN + i];
            }
            expected[(size_t) row * N_OUT + out] = sum;
        }
    }

    ggml_backend_buffer_ptr weights_buffer(ggml_backend_alloc_ctx_tensors_from_buft(ctx_weights.get(), buft));
    ggml_backend_buffer_ptr rows_buffer(ggml_backend_alloc_ctx_tensors(ctx_rows.get(), cpu.backend.get()));
    ggml_backend_buffer_ptr graph_buffer(ggml_backend_alloc_ctx_tensors(ctx_graph.get(), cpu.backend.get()));
    ggml_backend_buffer_set_usage(weights_buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_backend_tensor_set(weights, quantized.data(), 0, quantized.size());
    ggml_backend_tensor_set(rows, inputs.data(), 0, ggml_nbytes(rows));

    ggml_cgraph * graph = ggml_new_graph(ctx_graph.get());
    ggml_build_forward_expand(graph, product);

    // twice: the second time finds what the threads kept of the first
    for (int run = 0; run < 2; ++run) {
        std::vector<float> got(expected.size(), NAN);
        ggml_backend_tensor_set(product, got.data(), 0, ggml_nbytes(product));
        if (ggml_backend_graph_compute(cpu.backend.get(), graph) != GGML_STATUS_SUCCESS) {
            fail(std::string(ggml_type_name(type)) + " times " + std::to_string(n_rows) + " rows is not computed");
        }
        ggml_backend_tensor_get(product, got.data(), 0, ggml_nbytes(product));

        const double error = worst_error(got, expected, N_OUT);
        if (!(error <= MAX_ERROR)) {
            fail(std::string(ggml_type_name(type)) + " weights in " + ggml_backend_buft_name(buft) + " times " + std::to_string(n_rows) +
                    " rows: wrong result, relative error " + std::to_string(error));
        }
        worst = std::max(worst, error);
    }
}

static void run_products(const char * name, ggml_type type) {
    const cpu_backend cpu;
    std::string       kernels;
    double            worst = 0;

    for (ggml_backend_buffer_type_t buft : weight_buffer_types(cpu.dev)) {
        ggml_context_ptr ctx       = make_context();
        ggml_tensor *    weights   = ggml_new_tensor_2d(ctx.get(), type, N_IN, N_OUT);
        ggml_tensor *    rows      = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, N_IN, 1);
        const bool       supported = supports(cpu.dev, buft, weights, ggml_mul_mat(ctx.get(), weights, rows));
        if (!supported) {
            continue;
        }
        kernels += std::string(kernels.empty() ? "" : ", ") + ggml_backend_buft_name(buft);
        for (const int n_rows : N_ROWS) {
            progress(std::string(name) + " weights in " + ggml_backend_buft_name(buft) + " times " + std::to_string(n_rows) + " rows");
            check_product(cpu, type, buft, n_rows, worst);
        }
    }
    printf("%s: right (%s), relative error %.1e\n", name, kernels.c_str(), worst);
}

//
// attention
//

static std::vector<ggml_fp16_t> to_f16(const std::vector<float> & values) {
    std::vector<ggml_fp16_t> res(values.size());
    ggml_fp32_to_fp16_row(values.data(), res.data(), (int64_t) values.size());
    return res;
}

static void check_attention(const cpu_backend & cpu, bool flash, int n_rows, double & worst) {
    const int n_embd    = 64; // of a head
    const int n_head    = 4;
    const int n_head_kv = 2;
    const int n_kv      = 96; // keys; the rows are the last of them
    const int n_past    = n_kv - n_rows;

    const float scale = 1.0f / sqrtf((float) n_embd);

    random_numbers           random{(uint64_t) n_rows};
    const std::vector<float> q_values = random.take((size_t) n_embd * n_rows * n_head);
    const std::vector<float> k_values = random.take((size_t) n_embd * n_kv * n_head_kv);
    const std::vector<float> v_values = random.take((size_t) n_embd * n_kv * n_head_kv);

    const std::vector<ggml_fp16_t> k_data = to_f16(k_values);
    std::vector<ggml_fp16_t>       v_data = to_f16(v_values);

    std::vector<ggml_fp16_t> mask_f16((size_t) n_kv * GGML_PAD(n_rows, 64), ggml_fp32_to_fp16(-INFINITY));
    std::vector<float>       mask_f32((size_t) n_kv * n_rows, -INFINITY);
    for (int row = 0; row < n_rows; ++row) {
        for (int key = 0; key <= n_past + row; ++key) {
            mask_f16[(size_t) row * n_kv + key] = ggml_fp32_to_fp16(0);
            mask_f32[(size_t) row * n_kv + key] = 0;
        }
    }

    // row, head, value of the head: the order in which both graphs give it
    std::vector<double> expected((size_t) n_embd * n_head * n_rows);
    for (int row = 0; row < n_rows; ++row) {
        for (int head = 0; head < n_head; ++head) {
            const int     head_kv = head / (n_head / n_head_kv);
            const float * q       = &q_values[((size_t) head * n_rows + row) * n_embd];

            std::vector<double> weight(n_kv, 0.0);
            double              sum = 0;
            for (int key = 0; key <= n_past + row; ++key) {
                double dot = 0;
                for (int i = 0; i < n_embd; ++i) {
                    dot += (double) q[i] * ggml_fp16_to_fp32(k_data[((size_t) head_kv * n_kv + key) * n_embd + i]);
                }
                weight[key] = exp(dot * scale);
                sum += weight[key];
            }
            for (int i = 0; i < n_embd; ++i) {
                double value = 0;
                for (int key = 0; key <= n_past + row; ++key) {
                    value += weight[key] / sum * ggml_fp16_to_fp32(v_data[((size_t) head_kv * n_kv + key) * n_embd + i]);
                }
                expected[((size_t) row * n_head + head) * n_embd + i] = value;
            }
        }
    }

    ggml_context_ptr ctx = make_context();

    ggml_tensor * q = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F32, n_embd, n_rows, n_head);
    ggml_tensor * k = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F16, n_embd, n_kv, n_head_kv);
    ggml_tensor * v;
    ggml_tensor * mask;
    ggml_tensor * result;

    if (flash) {
        v      = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F16, n_embd, n_kv, n_head_kv);
        mask   = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F16, n_kv, GGML_PAD(n_rows, 64));
        result = ggml_flash_attn_ext(ctx.get(), q, k, v, mask, scale, 0.0f, 0.0f);
        ggml_prec_set_acc(result, GGML_PREC_F32);
    } else {
        // the values are kept transposed
        v = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F16, n_kv, n_embd, n_head_kv);
        for (int head = 0; head < n_head_kv; ++head) {
            for (int key = 0; key < n_kv; ++key) {
                for (int i = 0; i < n_embd; ++i) {
                    v_data[((size_t) head * n_embd + i) * n_kv + key] =
                            ggml_fp32_to_fp16(v_values[((size_t) head * n_kv + key) * n_embd + i]);
                }
            }
        }
        mask   = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_kv, n_rows);
        result = ggml_mul_mat(ctx.get(), k, q);
        ggml_prec_set_acc(result, GGML_PREC_F32);
        result = ggml_soft_max_ext(ctx.get(), result, mask, scale, 0.0f);
        result = ggml_mul_mat(ctx.get(), v, result);
        result = ggml_cont(ctx.get(), ggml_permute(ctx.get(), result, 0, 2, 1, 3));
    }

    ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(ctx.get(), cpu.backend.get()));
    ggml_backend_tensor_set(q, q_values.data(), 0, ggml_nbytes(q));
    ggml_backend_tensor_set(k, k_data.data(), 0, ggml_nbytes(k));
    ggml_backend_tensor_set(v, v_data.data(), 0, ggml_nbytes(v));
    ggml_backend_tensor_set(mask, flash ? (const void *) mask_f16.data() : mask_f32.data(), 0, ggml_nbytes(mask));

    ggml_cgraph * graph = ggml_new_graph(ctx.get());
    ggml_build_forward_expand(graph, result);

    const std::string what = std::string(flash ? "fused attention of " : "attention of ") + std::to_string(n_rows) + " rows";
    if (ggml_backend_graph_compute(cpu.backend.get(), graph) != GGML_STATUS_SUCCESS) {
        fail(what + " is not computed");
    }
    std::vector<float> got(expected.size(), NAN);
    ggml_backend_tensor_get(result, got.data(), 0, ggml_nbytes(result));

    const double error = worst_error(got, expected, n_embd);
    if (!(error <= MAX_ERROR)) {
        fail(what + ": wrong result, relative error " + std::to_string(error));
    }
    worst = std::max(worst, error);
}

static void run_attention(const char * name, bool flash) {
    const cpu_backend cpu;
    double            worst = 0;

    for (const int n_rows : N_ROWS) {
        progress(std::string(name) + " of " + std::to_string(n_rows) + " rows");
        check_attention(cpu, flash, n_rows, worst);
    }
    printf("%s: right, relative error %.1e\n", name, worst);
}

//
// all of them
//

static int run_family(const std::string & name) {
    // a kernel that never ends is a wrong one, too
    alarm(300);

    for (const auto & family : families) {
        if (name == family.name) {
            run_products(family.name, family.type);
            return 0;
        }
    }
    for (const char * family : attention_families) {
        if (name == family) {
            run_attention(family, name == attention_families[1]);
            return 0;
        }
    }
    fprintf(stderr, "there is no kernel family '%s'\n", name.c_str());
    return 2;
}

// runs one family in a child process; says where it was when a signal ends it
static bool run_child(const char * name) {
    int fds[2];
    if (pipe(fds) != 0) {
        fail(std::string("no pipe: ") + strerror(errno));
    }

    fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0) {
        fail(std::string("no child process: ") + strerror(errno));
    }
    if (pid == 0) {
        close(fds[0]);
        progress_fd = fds[1];
        exit(run_family(name));
    }
    close(fds[1]);

    std::string told;
    char        buf[4096];
    ssize_t     n;
    while ((n = read(fds[0], buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
        told.append(buf, n > 0 ? n : 0);
    }
    close(fds[0]);

    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (WIFSIGNALED(status)) {
        while (!told.empty() && told.back() == '\n') {
            told.pop_back();
        }
        const size_t line = told.rfind('\n');
        printf("%s: %s (signal %d)\n", told.empty() ? name : told.substr(line == std::string::npos ? 0 : line + 1).c_str(),
                WTERMSIG(status) == SIGALRM ? "does not end" : strsignal(WTERMSIG(status)), WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 1) {
        printf("%s: the child process ended with status %d\n", name, WEXITSTATUS(status));
    }
    return false;
}

int main(int argc, char ** argv) {
    if (argc == 2 && strcmp(argv[1], "--libraries") == 0) {
        for (int32_t i = 0; ftk_cpu_compiled_for(i) != nullptr; ++i) {
            printf("%s\n", ftk_cpu_compiled_for(i));
        }
        printf("found: %s\n", ftk_cpu_found());
        return 0;
    }
    if (argc == 2) {
        return run_family(argv[1]);
    }

    std::vector<const char *> names;
    for (const auto & family : families) {
        names.push_back(family.name);
    }
    names.insert(names.end(), std::begin(attention_families), std::end(attention_families));

    for (const char * name : names) {
        if (!run_child(name)) {
            return 1;
        }
    }
    return 0;
}

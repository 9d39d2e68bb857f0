// The baseline of every speed measurement: stock llama.cpp, linked to the unpatched libllama and to the same ggml as the
// patched one, driven over stdin so that its runs can be interleaved with ours.
//
//   foretoken-baseline --model FILE --threads N [options]
//
//     --ctx N           context size, 0 = the model's             (default 0)
//     --batch N         tokens per llama_decode                   (default 2048)
//     --ubatch N        tokens per graph                          (default 512)
//     --threads N       threads of decode; no default, so that both sides of a comparison state the same
//     --threads-batch N threads of prefill                        (default: as --threads)
//     --gpu-layers N    layers on devices, -1 = all               (default 0, with --rpc or --device -1)
//     --rpc A:P,...     RPC servers that take layers              (default none)
//     --device NAME,... devices that take layers                  (default those of --rpc, then the GPUs)
//     --type-k T        type of the K cache: f32, f16, bf16, q8_0, q4_0, ... (default f16)
//     --type-v T        type of the V cache                       (default f16)
//     --flash-attn F    auto, on or off                           (default auto)
//     --no-mmap         read the weights instead of mapping them
//     --verbose         llama.cpp's log on stderr
//
// The defaults are those of ftk_context_create (foretoken.h), except that there is one sequence only.
//
// The first line on stdout is the answer to `info`, or an error. Then one command per line, each answered by one line of
// JSON; a failed command answers {"error": "..."} and the next one works. The end of stdin ends the program.
//
//   info                     the model, the context, the machine, the peak of the process's memory
//   prefill N SEED           clears the memory and runs N random tokens: token i is splitmix64(SEED + i) % n_vocab
//   prefill-tokens T0 T1 ... clears the memory and runs these tokens
//   append-tokens T0 T1 ...  runs these tokens after the ones in the memory
//   decode N                 decodes N tokens greedily
//   logits FILE              writes the last logits to FILE: n_vocab floats of 32 bits in this machine's byte order
//   quit
//
// prefill: wall_us and cpu_us (of all threads) from the call to the logits being there, argmax, and logits_fnv1a64, the
// FNV-1a hash of the logits' bytes. decode: tokens[i], the most likely token after all before it, and us[i], the time from
// handing tokens[i] to llama_decode to the logits that follow it.

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <sys/resource.h>
#include <time.h>

struct baseline_args {
    std::string model;

    int32_t n_ctx           = 0;
    int32_t n_batch         = 2048;
    int32_t n_ubatch        = 512;
    int32_t n_threads       = 0;
    int32_t n_threads_batch = 0;
    int32_t n_gpu_layers    = 0;

    std::vector<std::string> rpc_servers;
    std::vector<std::string> devices;

    ggml_type type_k = GGML_TYPE_F16;
    ggml_type type_v = GGML_TYPE_F16;

    llama_flash_attn_type flash_attn = LLAMA_FLASH_ATTN_TYPE_AUTO;

    bool use_mmap = true;
    bool verbose  = false;
};

//
// log: what llama.cpp reports as an error is part of the answer
//

static bool        log_verbose = false;
static std::string log_errors;

static void log_callback(ggml_log_level level, const char * text, void * /*user_data*/) {
    if (level == GGML_LOG_LEVEL_ERROR) {
        log_errors += log_errors.empty() ? text : std::string("; ") + text;
        while (!log_errors.empty() && log_errors.back() == '\n') {
            log_errors.pop_back();
        }
    }
    if (log_verbose) {
        fputs(text, stderr);
    }
}

static std::runtime_error failure(const std::string & what) {
    return std::runtime_error(log_errors.empty() ? what : what + ": " + log_errors);
}

//
// JSON
//

static std::string json_string(const std::string & text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if ((unsigned char) c < 0x20) {
            char buf[8];
            snprintf(buf, sizeof(buf), "\\u%04x", c);
            out += buf;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

template <typename T>
static std::string json_array(const std::vector<T> & values) {
    std::ostringstream out;
    out << "[";
    for (size_t i = 0; i < values.size(); i++) {
        out << (i == 0 ? "" : ", ") << values[i];
    }
    out << "]";
    return out.str();
}

static void answer(const std::string & json) {
    // the reader waits for the line
    fprintf(stdout, "%s\n", json.c_str());
    fflush(stdout);
}

//
// arguments
//

static int32_t parse_int(const std::string & name, const std::string & text, int32_t min) {
    char * end       = nullptr;
    errno            = 0;
    const long value = strtol(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || errno != 0 || value < min || value > INT32_MAX) {
        throw std::invalid_argument(name + " must be an integer of at least " + std::to_string(min) + ", not '" + text + "'");
    }
    return (int32_t) value;
}

static ggml_type parse_type(const std::string & name, const std::string & text) {
    std::string known;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const ggml_type type      = (ggml_type) i;
        const char *    type_name = ggml_type_name(type);
        if (type_name == nullptr || ggml_blck_size(type) == 0) {
            continue; // removed from ggml
        }
        if (text == type_name) {
            return type;
        }
        known += known.empty() ? type_name : std::string(", ") + type_name;
    }
    throw std::invalid_argument(name + ": no type '" + text + "'; ggml knows " + known);
}

static std::vector<std::string> parse_list(const std::string & text) {
    std::vector<std::string> res;
    std::istringstream       in(text);
    for (std::string part; std::getline(in, part, ',');) {
        res.push_back(part);
    }
    return res;
}

static baseline_args parse_args(int argc, char ** argv) {
    baseline_args args;
    bool          has_gpu_layers = false;

    for (int i = 1; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--no-mmap") {
            args.use_mmap = false;
            continue;
        }
        if (name == "--verbose") {
            args.verbose = true;
            continue;
        }
        if (i + 1 == argc) {
            throw std::invalid_argument(name + " needs a value, or is no option; the options are listed at the top of baseline.cpp");
        }
        const std::string value = argv[++i];
        if (name == "--model") {
            args.model = value;
        } else if (name == "--ctx") {
            args.n_ctx = parse_int(name, value, 0);
        } else if (name == "--batch") {
            args.n_batch = parse_int(name, value, 1);
        } else if (name == "--ubatch") {
            args.n_ubatch = parse_int(name, value, 1);
        } else if (name == "--threads") {
            args.n_threads = parse_int(name, value, 1);
        } else if (name == "--threads-batch") {
            args.n_threads_batch = parse_int(name, value, 1);
        } else if (name == "--gpu-layers") {
            args.n_gpu_layers = parse_int(name, value, -1);
            has_gpu_layers    = true;
        } else if (name == "--rpc") {
            args.rpc_servers = parse_list(value);
        } else if (name == "--device") {
            args.devices = parse_list(value);
        } else if (name == "--type-k") {
            args.type_k = parse_type(name, value);
        } else if (name == "--type-v") {
            args.type_v = parse_type(name, value);
        } else if (name == "--flash-attn") {
            if (value == "auto") {
                args.flash_attn = LLAMA_FLASH_ATTN_TYPE_AUTO;
            } else if (value == "on") {
                args.flash_attn = LLAMA_FLASH_ATTN_TYPE_ENABLED;
            } else if (value == "off") {
                args.flash_attn = LLAMA_FLASH_ATTN_TYPE_DISABLED;
            } else {
                throw std::invalid_argument("--flash-attn is auto, on or off, not '" + value + "'");
            }
        } else {
            throw std::invalid_argument("no option " + name + "; the options are listed at the top of baseline.cpp");
        }
    }

    if (args.model.empty()) {
        throw std::invalid_argument("--model is missing");
    }
    if (args.n_threads == 0) {
        throw std::invalid_argument("--threads is missing");
    }
    if (args.n_threads_batch == 0) {
        args.n_threads_batch = args.n_threads;
    }
    if (!has_gpu_layers && !(args.rpc_servers.empty() && args.devices.empty())) {
        args.n_gpu_layers = -1;
    }
    return args;
}

//
// devices
//

// null-terminated; empty for llama.cpp's own choice
static std::vector<ggml_backend_dev_t> find_devices(const baseline_args & args) {
    std::vector<ggml_backend_dev_t> res;

    for (const std::string & server : args.rpc_servers) {
        ggml_backend_reg_t reg = ggml_backend_reg_by_name("RPC");
        if (reg == nullptr) {
            throw std::invalid_argument("--rpc: this build has no RPC backend");
        }

        typedef ggml_backend_reg_t (*add_server_t)(const char * endpoint);
        auto add_server = (add_server_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_rpc_add_server");

        ggml_backend_reg_t server_reg = add_server(server.c_str());
        if (server_reg == nullptr) {
            throw failure("--rpc: no server answers at '" + server + "'");
        }
        ggml_backend_register(server_reg);
    }

    for (const std::string & name : args.devices) {
        ggml_backend_dev_t dev = ggml_backend_dev_by_name(name.c_str());
        if (dev == nullptr) {
            throw std::invalid_argument("--device: there is no device '" + name + "'");
        }
        res.push_back(dev);
    }
    if (!res.empty()) {
        res.push_back(nullptr);
    }
    return res;
}

//
// the commands
//

static int64_t cpu_time_us() {
    timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t peak_memory_bytes() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return usage.ru_maxrss;
#else
    return (int64_t) usage.ru_maxrss * 1024;
#endif
}

// Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014)
static uint64_t splitmix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t fnv1a64(const void * data, size_t n_bytes) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n_bytes; i++) {
        hash = (hash ^ ((const uint8_t *) data)[i]) * 0x100000001b3u;
    }
    return hash;
}

class baseline {
public:
    explicit baseline(const baseline_args & args) :
        args(args) {
        llama_model_params mparams = llama_model_default_params();
        mparams.n_gpu_layers       = args.n_gpu_layers;
        mparams.load_mode          = args.use_mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;

        std::vector<ggml_backend_dev_t> devices = find_devices(args);
        if (!devices.empty()) {
            mparams.devices = devices.data();
        }

        model = llama_model_load_from_file(args.model.c_str(), mparams);
        if (model == nullptr) {
            throw failure("the model cannot be loaded from " + args.model);
        }

        llama_context_params cparams = llama_context_default_params();
        cparams.n_ctx                = args.n_ctx;
        cparams.n_batch              = args.n_batch;
        cparams.n_ubatch             = args.n_ubatch;
        cparams.n_seq_max            = 1;
        cparams.n_threads            = args.n_threads;
        cparams.n_threads_batch      = args.n_threads_batch;
        cparams.type_k               = args.type_k;
        cparams.type_v               = args.type_v;
        cparams.flash_attn_type      = args.flash_attn;
        cparams.offload_kqv          = true;
        cparams.op_offload           = true;
        cparams.no_perf              = true;

        ctx = llama_init_from_model(model, cparams);
        if (ctx == nullptr) {
            const auto error = failure("the context cannot be created");
            llama_model_free(model);
            throw error;
        }

        n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    }

    ~baseline() {
        llama_free(ctx);
        llama_model_free(model);
    }

    baseline(const baseline &)             = delete;
    baseline & operator=(const baseline &) = delete;

    std::string info() const {
        char desc[256];
        llama_model_desc(model, desc, sizeof(desc));

        std::ostringstream out;
        out << "{\"model\": " << json_string(args.model)
            << ", \"description\": " << json_string(desc)
            << ", \"n_layer\": " << llama_model_n_layer(model)
            << ", \"n_embd\": " << llama_model_n_embd(model)
            << ", \"n_vocab\": " << n_vocab
            << ", \"n_ctx\": " << llama_n_ctx(ctx)
            << ", \"n_batch\": " << llama_n_batch(ctx)
            << ", \"n_ubatch\": " << llama_n_ubatch(ctx)
            << ", \"n_threads\": " << llama_n_threads(ctx)
            << ", \"n_threads_batch\": " << llama_n_threads_batch(ctx)
            << ", \"n_gpu_layers\": " << args.n_gpu_layers
            << ", \"type_k\": " << json_string(ggml_type_name(args.type_k))
            << ", \"type_v\": " << json_string(ggml_type_name(args.type_v))
            << ", \"flash_attn\": " << json_string(llama_flash_attn_type_name(args.flash_attn))
            << ", \"system_info\": " << json_string(llama_print_system_info())
            << ", \"peak_memory_bytes\": " << peak_memory_bytes()
            << "}";
        return out.str();
    }

    std::string prefill_random(int32_t n_tokens, uint64_t seed) {
        std::vector<llama_token> tokens(n_tokens);
        for (int32_t i = 0; i < n_tokens; i++) {
            tokens[i] = (llama_token) (splitmix64(seed + i) % n_vocab);
        }
        return prefill(tokens, true);
    }

    std::string prefill(const std::vector<llama_token> & tokens, bool clear) {
        if (tokens.empty()) {
            throw std::invalid_argument("no tokens");
        }
        for (const llama_token token : tokens) {
            if (token < 0 || token >= n_vocab) {
                throw std::invalid_argument("token " + std::to_string(token) + " is outside of the vocabulary of " + std::to_string(n_vocab));
            }
        }

        if (clear) {
            llama_memory_clear(llama_get_memory(ctx), /*data =*/false);
        }
        const int64_t n_past = llama_memory_seq_pos_max(llama_get_memory(ctx), 0) + 1;
        require_room(n_past, tokens.size());

        const int64_t cpu_begin = cpu_time_us();
        const int64_t begin     = ggml_time_us();

        run(tokens.data(), (int64_t) tokens.size(), n_past);

        const int64_t wall_us = ggml_time_us() - begin;
        const int64_t cpu_us  = cpu_time_us() - cpu_begin;

        char hash[17];
        snprintf(hash, sizeof(hash), "%016" PRIx64, fnv1a64(logits(), n_vocab * sizeof(float)));

        std::ostringstream out;
        out << "{\"n_tokens\": " << tokens.size()
            << ", \"n_past\": " << n_past
            << ", \"wall_us\": " << wall_us
            << ", \"cpu_us\": " << cpu_us
            << ", \"argmax\": " << argmax()
            << ", \"logits_fnv1a64\": " << json_string(hash) << "}";
        return out.str();
    }

    std::string decode(int32_t n_tokens) {
        logits(); // there must be some
        const int64_t n_past = llama_memory_seq_pos_max(llama_get_memory(ctx), 0) + 1;
        require_room(n_past, n_tokens);

        std::vector<llama_token> tokens;
        std::vector<int64_t>     us;
        for (int32_t i = 0; i < n_tokens; i++) {
            tokens.push_back(argmax());

            const int64_t begin = ggml_time_us();
            run(&tokens.back(), 1, n_past + i);
            us.push_back(ggml_time_us() - begin);
        }
        return "{\"tokens\": " + json_array(tokens) + ", \"us\": " + json_array(us) + "}";
    }

    std::string write_logits(const std::string & path) {
        std::ofstream file(path, std::ios::binary);
        file.write((const char *) logits(), (std::streamsize)(n_vocab * sizeof(float)));
        file.close();
        if (!file) {
            throw std::runtime_error("the logits cannot be written to '" + path + "'");
        }
        return "{\"n_vocab\": " + std::to_string(n_vocab) + "}";
    }

private:
    const baseline_args args;

    llama_model *   model = nullptr;
    llama_context * ctx   = nullptr;

    int32_t n_vocab    = 0;
    bool    has_logits = false;

    void require_room(int64_t n_past, int64_t n_tokens) const {
        if (n_past + n_tokens > (int64_t) llama_n_ctx_seq(ctx)) {
            throw std::invalid_argument(std::to_string(n_tokens) + " tokens after " + std::to_string(n_past) +
                                        " do not fit the context of " + std::to_string(llama_n_ctx_seq(ctx)) + "; start with a larger --ctx");
        }
    }

    // decodes the tokens in chunks of n_batch; only the last one has logits
    void run(const llama_token * tokens, int64_t n_tokens, int64_t n_past) {
        has_logits = false;

        const int64_t n_batch = std::min<int64_t>(llama_n_batch(ctx), n_tokens);

        llama_batch batch = llama_batch_init((int32_t) n_batch, 0, 1);
        for (int64_t first = 0; first < n_tokens; first += n_batch) {
            batch.n_tokens = (int32_t) std::min(n_batch, n_tokens - first);
            for (int32_t i = 0; i < batch.n_tokens; i++) {
                batch.token[i]     = tokens[first + i];
                batch.pos[i]       = (llama_pos) (n_past + first + i);
                batch.n_seq_id[i]  = 1;
                batch.seq_id[i][0] = 0;
                batch.logits[i]    = first + i == n_tokens - 1;
            }

            log_errors.clear();
            const int32_t status = llama_decode(ctx, batch);
            if (status != 0) {
                llama_batch_free(batch);
                throw failure("llama_decode gave " + std::to_string(status));
            }
        }
        llama_batch_free(batch);

        llama_synchronize(ctx);
        has_logits = true;
    }

    const float * logits() const {
        if (!has_logits) {
            throw std::runtime_error("there are no logits; run a prefill first");
        }
        return llama_get_logits_ith(ctx, -1);
    }

    llama_token argmax() const {
        const float * data = logits();
        return (llama_token) (std::max_element(data, data + n_vocab) - data);
    }
};

static std::string execute(baseline & server, const std::string & line) {
    std::istringstream in(line);
    std::string        command;
    in >> command;

    if (command == "info") {
        return server.info();
    }

    if (command == "prefill") {
        std::string n_tokens;
        std::string seed;
        in >> n_tokens >> seed;
        return server.prefill_random(parse_int("the number of tokens", n_tokens, 1), parse_int("the seed", seed, 0));
    }

    if (command == "prefill-tokens" || command == "append-tokens") {
        std::vector<llama_token> tokens;
        std::string              token;
        while (in >> token) {
            tokens.push_back(parse_int("a token", token, 0));
        }
        return server.prefill(tokens, command == "prefill-tokens");
    }

    if (command == "decode") {
        std::string n_tokens;
        in >> n_tokens;
        return server.decode(parse_int("the number of tokens", n_tokens, 1));
    }

    if (command == "logits") {
        std::string path;
        std::getline(in >> std::ws, path);
        return server.write_logits(path);
    }

    throw std::invalid_argument("no command '" + command + "'; there are info, prefill, prefill-tokens, append-tokens, decode, logits, quit");
}

// of a build for many processors, the backends lie in the folder of ggml and are loaded when a program asks for them
static void load_backends() {
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != nullptr) {
        return;
    }
    Dl_info info;
    if (dladdr((const void *) &ggml_backend_load_all_from_path, &info) != 0 && info.dli_fname != nullptr) {
        const std::string path = info.dli_fname;
        ggml_backend_load_all_from_path(path.substr(0, path.find_last_of('/')).c_str());
    }
}

int main(int argc, char ** argv) {
    llama_log_set(log_callback, nullptr);

    try {
        const baseline_args args = parse_args(argc, argv);
        log_verbose              = args.verbose;

        load_backends();
        llama_backend_init();
        {
            baseline server(args);
            answer(server.info());

            std::string line;
            while (std::getline(std::cin, line) && line != "quit") {
                try {
                    answer(execute(server, line));
                } catch (const std::exception & error) {
                    answer("{\"error\": " + json_string(error.what()) + "}");
                }
            }
        }
        llama_backend_free();
    } catch (const std::exception & error) {
        answer("{\"error\": " + json_string(error.what()) + "}");
        return 1;
    }

    return 0;
}

#include "foretoken-impl.h"

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "gguf.h"
#include "llama-model.h"

#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_set>

ftk_model::~ftk_model() {
    if (owned && model != nullptr) {
        llama_model_free(model);
    }
}

static std::unique_ptr<ftk_model> wrap_model(llama_model * model, bool owned) {
    auto res = std::make_unique<ftk_model>();

    res->model   = model;
    res->vocab   = llama_model_get_vocab(model);
    res->n_vocab = llama_vocab_n_tokens(res->vocab);
    res->owned   = owned;

    return res;
}

//
// loading
//

// the cheap checks, so that the common mistakes get a clear answer
static void check_gguf(const char * path) {
    const std::filesystem::path fs_path = std::filesystem::u8path(path);

    std::error_code ec;
    const auto      status = std::filesystem::status(fs_path, ec);

    if (!std::filesystem::exists(status)) {
        ftk_fail(FTK_FILE_NOT_FOUND, "no such file: '%s'", path);
    }
    if (std::filesystem::is_directory(status)) {
        ftk_fail(FTK_FILE_NOT_FOUND, "'%s' is a directory: name the GGUF file in it (of a split model, the first shard)", path);
    }

    struct closer {
        void operator()(FILE * file) const { fclose(file); }
    };

    const std::unique_ptr<FILE, closer> file(ggml_fopen(path, "rb"));
    if (!file) {
        ftk_fail(FTK_FILE_NOT_FOUND, "cannot open '%s': %s", path, strerror(errno));
    }

    uint8_t      header[24]; // magic, version, number of tensors, number of key-value pairs
    const size_t n_read = fread(header, 1, sizeof(header), file.get());

    if (n_read < 4 || memcmp(header, "GGUF", 4) != 0) {
        ftk_fail(FTK_BAD_MODEL, "'%s' is not a GGUF file: it does not begin with the bytes 'GGUF'", path);
    }
    if (n_read < sizeof(header)) {
        ftk_fail(FTK_BAD_MODEL, "'%s' ends inside of its header (%zu bytes): the file is truncated", path, n_read);
    }

    uint32_t version;
    memcpy(&version, header + 4, sizeof(version));

    if (version != 2 && version != 3) {
        const bool swapped = (version & 0xFFFF) == 0;
        ftk_fail(FTK_BAD_MODEL, "'%s' has GGUF version %" PRIu32 "%s; versions 2 and 3 are supported", path, version,
                swapped ? " (a file of the other byte order)" : "");
    }
}

// llama.cpp aborts the process, or reads behind the end of an array, when one of these keys is not what it expects
class gguf_checker {
public:
    gguf_checker(const gguf_context * gguf, const char * path) :
        gguf(gguf),
        path(path) {
        const int64_t id = gguf_find_key(gguf, "general.architecture");
        if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_STRING) {
            fail("general.architecture", "must be a text");
        }

        arch = gguf_get_val_str(gguf, id);
    }

    void check_tokenizer() const {
        const int64_t n_tokens = check_array("tokenizer.ggml.tokens", {GGUF_TYPE_STRING}, 0);

        check_array("tokenizer.ggml.scores", {GGUF_TYPE_FLOAT32}, std::max<int64_t>(0, n_tokens));
        check_array("tokenizer.ggml.token_type", {GGUF_TYPE_INT32, GGUF_TYPE_UINT32}, std::max<int64_t>(0, n_tokens));
        check_array("tokenizer.ggml.merges", {GGUF_TYPE_STRING}, 0);
        check_array("tokenizer.ggml.precompiled_charsmap", {GGUF_TYPE_INT8, GGUF_TYPE_UINT8}, 0);

        const int64_t id = gguf_find_key(gguf, "tokenizer.ggml.tokens");

        std::unordered_set<std::string_view> texts;
        for (int64_t i = 0; i < n_tokens; ++i) {
            const std::string_view text = gguf_get_arr_str(gguf, id, i);
            if (!text.empty() && !texts.insert(text).second) {
                fail("tokenizer.ggml.tokens", ("has the token " + ftk_quote(text) + " twice").c_str());
            }
        }
    }

    void check_hparams() const {
        for (const char * key : {"feed_forward_length", "attention.head_count", "attention.head_count_kv"}) {
            const std::string name = arch + "." + key;
            const int64_t     id   = gguf_find_key(gguf, name.c_str());
            if (id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_ARRAY) {
                check_array(name, {GGUF_TYPE_INT32, GGUF_TYPE_UINT32}, 0);
            }
        }

        const int64_t id = gguf_find_key(gguf, (arch + ".rope.scaling.type").c_str());
        if (id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_STRING) {
            const std::string type = gguf_get_val_str(gguf, id);
            if (type != "none" && type != "linear" && type != "yarn" && type != "longrope") {
                fail(arch + ".rope.scaling.type", ("is " + ftk_quote(type) + "; known: none, linear, yarn, longrope").c_str());
            }
        }

        const uint32_t n_expert      = get_u32("expert_count");
        const uint32_t n_expert_used = get_u32("expert_used_count");
        const uint32_t n_group       = get_u32("expert_group_count");
        const uint32_t n_group_used  = get_u32("expert_group_used_count");

        const bool experts_ok = n_expert == 0 ? n_expert_used == 0 && n_group == 0 : n_expert <= LLAMA_MAX_EXPERTS && n_expert_used > 0 && n_expert_used <= n_expert && n_group < n_expert;
        const bool groups_ok  = n_group <= 1 || (n_expert % n_group == 0 && n_group_used > 0 && n_group_used < n_group);
        if (!experts_ok || !groups_ok) {
            fail(arch + ".expert_count", "and the other numbers of experts contradict each other");
        }
    }

private:
    [[noreturn]] void fail(const std::string & key, const char * what) const {
        ftk_fail(FTK_BAD_MODEL, "'%s' is inconsistent: its metadata key '%s' %s", path, key.c_str(), what);
    }

    // the length, -1 when there is no such key
    int64_t check_array(const std::string & key, std::initializer_list<gguf_type> types, int64_t n_min) const {
        const int64_t id = gguf_find_key(gguf, key.c_str());
        if (id < 0) {
            return -1;
        }
        if (gguf_get_kv_type(gguf, id) != GGUF_TYPE_ARRAY || std::find(types.begin(), types.end(), gguf_get_arr_type(gguf, id)) == types.end()) {
            fail(key, "has the wrong type");
        }

        const int64_t n = (int64_t) gguf_get_arr_n(gguf, id);
        if (n < n_min) {
            fail(key, ("has " + std::to_string(n) + " entries, but there are " + std::to_string(n_min) + " tokens").c_str());
        }

        return n;
    }

    uint32_t get_u32(const char * key) const {
        const int64_t id = gguf_find_key(gguf, (arch + "." + key).c_str());

        return id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_UINT32 ? gguf_get_val_u32(gguf, id) : 0;
    }

    const gguf_context * gguf;
    const char *         path;
    std::string          arch;
};

static void check_metadata(const char * path) {
    gguf_init_params params = {
            /*.no_alloc =*/true,
            /*.ctx      =*/nullptr,
    };

    const gguf_context_ptr gguf{gguf_init_from_file(path, params)};
    if (!gguf) {
        const std::string errors = ftk_logged_errors();
        ftk_fail(FTK_BAD_MODEL, "the header of '%s' is damaged or truncated: %s", path, errors.empty() ? "no reason given" : errors.c_str());
    }

    const gguf_checker checker(gguf.get(), path);

    checker.check_tokenizer();
    checker.check_hparams();
}

static std::vector<std::string> device_names() {
    std::vector<std::string> res;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        res.push_back(ggml_backend_dev_name(ggml_backend_dev_get(i)));
    }

    return res;
}

static bool is_rpc_device(ggml_backend_dev_t dev) {
    return std::string(ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev))).rfind("RPC", 0) == 0;
}

// a server may have gone, or come back, since it was added
static bool answers(ggml_backend_dev_t dev) {
    ggml_backend_buffer_type_t buft = ggml_backend_dev_buffer_type(dev);

    const ggml_backend_buffer_ptr buf{ggml_backend_buft_alloc_buffer(buft, 256)};

    return buf != nullptr;
}

static void check_rpc_server(const std::string & server) {
    const size_t colon = server.find(':');

    const std::string port = colon == std::string::npos ? "" : server.substr(colon + 1);

    const bool is_number = !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (colon == 0 || !is_number || std::stoi(port) < 1 || std::stoi(port) > 65535) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'rpc_servers' must hold strings of the form \"host:port\" (a name or an IPv4 address), not %s", ftk_quote(server).c_str());
    }
}

// the devices of the servers, in the order of the servers
static std::vector<ggml_backend_dev_t> add_rpc_servers(const ftk_json & servers) {
    std::vector<ggml_backend_dev_t> res;

    if (servers.empty()) {
        return res;
    }

    for (const auto & item : servers) {
        check_rpc_server(item.is_string() ? item.get<std::string>() : item.dump());
    }

    ggml_backend_reg_t reg = ggml_backend_reg_by_name("RPC");
    if (reg == nullptr) {
        ftk_fail(FTK_DEVICE_MISSING, "'rpc_servers': this build has no RPC backend; build the native library without --no-rpc");
    }

    typedef ggml_backend_reg_t (*add_server_t)(const char * endpoint);
    auto add_server = (add_server_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_rpc_add_server");
    if (add_server == nullptr) {
        ftk_fail(FTK_DEVICE_MISSING, "'rpc_servers': the RPC backend cannot add servers");
    }

    static std::mutex            mutex;
    static std::set<std::string> added;

    std::lock_guard<std::mutex> lock(mutex);

    for (const auto & item : servers) {
        const std::string server = item.get<std::string>();

        ggml_backend_reg_t server_reg = add_server(server.c_str());

        if (server_reg == nullptr || !answers(ggml_backend_reg_dev_get(server_reg, 0))) {
            ftk_fail(FTK_DEVICE_MISSING, "no RPC server answers at '%s' (%s). Start one there with: ggml-rpc-server -H ADDRESS -p PORT, of the same release of llama.cpp; one that was in use here and was started again can be used once the models that were on it are freed",
                    server.c_str(), ftk_logged_errors().c_str());
        }

        if (added.insert(server).second) {
            ggml_backend_register(server_reg);
        }

        for (size_t i = 0; i < ggml_backend_reg_dev_count(server_reg); ++i) {
            ggml_backend_dev_t dev = ggml_backend_reg_dev_get(server_reg, i);
            if (std::find(res.begin(), res.end(), dev) == res.end()) {
                res.push_back(dev);
            }
        }
    }

    return res;
}

// the CPU takes part anyway and is left out; layers are not offloaded to it
static std::vector<ggml_backend_dev_t> find_devices(const ftk_json & names) {
    std::vector<ggml_backend_dev_t> res;

    for (const auto & name : names) {
        if (!name.is_string()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'devices' must hold strings, not %s", ftk_quote(name.dump()).c_str());
        }

        ggml_backend_dev_t dev = ggml_backend_dev_by_name(name.get<std::string>().c_str());
        if (dev == nullptr) {
            ftk_fail(FTK_DEVICE_MISSING, "there is no device %s; this machine and build have: %s. Other backends are options of the native build (--cuda, --vulkan, --metal), other machines are named as 'rpc_servers'",
                    ftk_quote(name.get<std::string>()).c_str(), ftk_join(device_names(), ", ").c_str());
        }
        if (ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_CPU) {
            res.push_back(dev);
        }
    }

    return res;
}

// as llama.cpp chooses when it is not told, except that a server which another model has named is not taken
static std::vector<ggml_backend_dev_t> default_devices(const std::vector<ggml_backend_dev_t> & servers) {
    std::vector<ggml_backend_dev_t> res = servers;
    std::vector<ggml_backend_dev_t> igpus;

    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);

        if (ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            igpus.push_back(dev);
        }
        if (ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_GPU || is_rpc_device(dev)) {
            continue;
        }

        ggml_backend_dev_props props;
        ggml_backend_dev_get_props(dev, &props);

        // one card under two backends
        const bool known = std::any_of(res.begin(), res.end(), [&](ggml_backend_dev_t other) {
            ggml_backend_dev_props props_other;
            ggml_backend_dev_get_props(other, &props_other);
            return props.device_id != nullptr && props_other.device_id != nullptr && strcmp(props.device_id, props_other.device_id) == 0;
        });
        if (!known) {
            res.push_back(dev);
        }
    }

    return res.empty() ? igpus : res;
}

static ftk_status classify_load_error(const std::string & errors) {
    const auto has = [&](const char * text) { return errors.find(text) != std::string::npos; };

    if (has("unknown model architecture") || has("unknown pre-tokenizer") || has("cannot be used as main model") || has("unsupported model")) {
        return FTK_UNSUPPORTED;
    }
    if (has("unable to allocate") || has("failed to allocate") || has("out of memory") || has("bad_alloc")) {
        return FTK_OUT_OF_MEMORY;
    }

    return FTK_BAD_MODEL;
}

struct load_state {
    ftk_load_progress progress;
    void *            user;
    bool              cancelled;
};

static llama_load_mode get_load_mode(bool use_mmap, bool use_mlock) {
    if (use_mlock) {
        return use_mmap ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MLOCK;
    }

    return use_mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
}

ftk_status ftk_model_load(const char * path, const char * config_json, ftk_load_progress progress, void * user, ftk_model ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(path);

        const ftk_config config(config_json, "model config",
                {"n_gpu_layers", "use_mmap", "use_mlock", "vocab_only", "devices", "rpc_servers"});

        llama_model_params params = llama_model_default_params();

        params.n_gpu_layers = (int32_t) config.get_int("n_gpu_layers", 0, -1, 1 << 20);
        params.load_mode    = get_load_mode(config.get_bool("use_mmap", true), config.get_bool("use_mlock", false));
        params.vocab_only   = config.get_bool("vocab_only", false);

        check_gguf(path);
        check_metadata(path);

        if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
            ftk_fail(FTK_UNSUPPORTED, "no backends are loaded: call ftk_backend_init first");
        }

        const auto servers = add_rpc_servers(config.get_array("rpc_servers"));

        std::vector<ggml_backend_dev_t> devices = config.has("devices") ? find_devices(config.get_array("devices")) : default_devices(servers);

        // naming devices is asking for them
        const bool named = !servers.empty() || (config.has("devices") && !devices.empty());
        if (!config.has("n_gpu_layers")) {
            params.n_gpu_layers = named ? -1 : 0;
        }

        if (params.n_gpu_layers == 0 && named) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_gpu_layers' is 0, so that nothing would be computed on the devices that are named; leave it out, or use -1 for all layers");
        }
        if (params.n_gpu_layers != 0 && devices.empty() && !params.vocab_only) {
            ftk_fail(FTK_DEVICE_MISSING, "'n_gpu_layers' is %d, but there is no device for the layers (devices: %s). Build the native library for the GPU (--cuda, --vulkan, --metal), name other machines as 'rpc_servers', or use 0 to compute on the CPU",
                    params.n_gpu_layers, ftk_join(device_names(), ", ").c_str());
        }

        devices.push_back(nullptr);
        params.devices = devices.data();

        load_state state = {progress, user, false};

        params.progress_callback_user_data = &state;
        params.progress_callback           = [](float value, void * data) {
            auto * state = (load_state *) data;
            if (state->progress != nullptr && state->progress(state->user, std::clamp(value, 0.0f, 1.0f)) != 0) {
                state->cancelled = true;
            }
            return !state->cancelled;
        };

        llama_model * model = llama_model_load_from_file(path, params);

        if (state.cancelled) {
            if (model != nullptr) {
                llama_model_free(model);
            }
            ftk_fail(FTK_CANCELLED, "loading '%s' was cancelled", path);
        }

        if (model == nullptr) {
            const std::string errors = ftk_logged_errors();
            ftk_fail(classify_load_error(errors), "cannot load '%s': %s", path, errors.empty() ? "no reason given" : errors.c_str());
        }

        std::unique_ptr<llama_model, decltype(&llama_model_free)> guard(model, llama_model_free);

        *out = wrap_model(model, true).release();
        guard.release();
    });
}

ftk_status ftk_model_attach(void * model, ftk_model ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(model);

        *out = wrap_model((llama_model *) model, false).release();
    });
}

void ftk_model_free(ftk_model * model) {
    ftk_guard(__func__, [&]() { delete model; });
}

//
// looking into the model
//

// false: no such key
static bool get_metadata(const llama_model * model, const char * key, std::string & value) {
    const int32_t n = llama_model_meta_val_str(model, key, nullptr, 0);
    if (n < 0) {
        return false;
    }

    value.resize(n + 1);
    llama_model_meta_val_str(model, key, &value[0], value.size());
    value.resize(n);

    return true;
}

ftk_status ftk_model_info(const ftk_model * model, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(model);

        const auto & hparams = model->model->hparams;

        char description[256];
        llama_model_desc(model->model, description, sizeof(description));

        // "<architecture> <size> <file type>"
        const std::string desc      = description;
        const size_t      arch_end  = desc.find(' ');
        const size_t      size_end  = arch_end == std::string::npos ? arch_end : desc.find(' ', arch_end + 1);
        const std::string file_type = size_end == std::string::npos ? "" : desc.substr(size_end + 1);

        const bool has_layers = !hparams.vocab_only && hparams.n_layer() > 0;

        ftk_write_json({
                               {"arch", model->model->arch_name()},
                               {"description", desc},
                               {"n_layer", llama_model_n_layer(model->model)},
                               {"n_embd", llama_model_n_embd(model->model)},
                               {"n_head", has_layers ? (int64_t) hparams.n_head() : 0},
                               {"n_head_kv", has_layers ? (int64_t) hparams.n_head_kv() : 0},
                               {"n_ff", has_layers ? (int64_t) hparams.n_ff() : 0},
                               {"n_vocab", model->n_vocab},
                               {"n_ctx_train", llama_model_n_ctx_train(model->model)},
                               {"n_params", llama_model_n_params(model->model)},
                               {"size_bytes", llama_model_size(model->model)},
                               {"bos", llama_vocab_bos(model->vocab)},
                               {"eos", llama_vocab_eos(model->vocab)},
                               {"eot", llama_vocab_eot(model->vocab)},
                               {"add_bos", llama_vocab_get_add_bos(model->vocab)},
                               {"has_chat_template", llama_model_chat_template(model->model, nullptr) != nullptr},
                               {"file_type", file_type},
                       },
                buf, capacity, n_needed);
    });
}

ftk_status ftk_model_metadata(const ftk_model * model, const char * key, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(model);
        FTK_REQUIRE_NOT_NULL(key);

        std::string value;
        if (!get_metadata(model->model, key, value)) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the model has no metadata key %s", ftk_quote(key).c_str());
        }

        ftk_write_text(value, buf, capacity, n_needed);
    });
}

//
// tokens
//

void ftk_require_tokenizer(const ftk_model & model) {
    if (llama_vocab_type(model.vocab) == LLAMA_VOCAB_TYPE_NONE) {
        ftk_fail(FTK_UNSUPPORTED, "the model has no tokenizer");
    }
}

void ftk_require_token(int32_t token, int32_t n_vocab, const char * what, int64_t index) {
    if (token < 0 || token >= n_vocab) {
        if (index >= 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "%s[%" PRId64 "] is %d, but the vocabulary has the tokens 0 to %d", what, index, token, n_vocab - 1);
        }
        ftk_fail(FTK_INVALID_ARGUMENT, "%s is %d, but the vocabulary has the tokens 0 to %d", what, token, n_vocab - 1);
    }
}

std::vector<llama_token> ftk_tokenize_text(const llama_vocab * vocab, std::string_view text, bool add_special, bool parse_special) {
    if (text.size() > INT_MAX / 2) {
        ftk_fail(FTK_INVALID_ARGUMENT, "the text has %zu bytes; at most %d can be tokenized in one piece", text.size(), INT_MAX / 2);
    }

    if (add_special) {
        // llama.cpp asserts that they exist
        if (llama_vocab_get_add_bos(vocab) && llama_vocab_bos(vocab) == LLAMA_TOKEN_NULL) {
            ftk_fail(FTK_BAD_MODEL, "the model asks for a BOS token in front of every text, but has none");
        }
        if (llama_vocab_get_add_eos(vocab) && llama_vocab_eos(vocab) == LLAMA_TOKEN_NULL) {
            ftk_fail(FTK_BAD_MODEL, "the model asks for an EOS token behind every text, but has none");
        }
    }

    // a token has at least one byte in all but pathological vocabularies
    std::vector<llama_token> tokens(text.size() + 8);

    int32_t n = llama_tokenize(vocab, text.data(), (int32_t) text.size(), tokens.data(), (int32_t) tokens.size(), add_special, parse_special);
    if (n == INT_MIN) {
        ftk_fail(FTK_INVALID_ARGUMENT, "the text has more tokens than can be counted");
    }
    if (n < 0) {
        tokens.resize(-n);
        n = llama_tokenize(vocab, text.data(), (int32_t) text.size(), tokens.data(), (int32_t) tokens.size(), add_special, parse_special);
    }

    tokens.resize(std::max(0, n));

    return tokens;
}

std::string ftk_token_to_bytes(const llama_vocab * vocab, llama_token token, bool special) {
    std::string res(32, '\0');

    int32_t n = llama_token_to_piece(vocab, token, &res[0], (int32_t) res.size(), 0, special);
    if (n < 0) {
        res.resize(-n);
        n = llama_token_to_piece(vocab, token, &res[0], (int32_t) res.size(), 0, special);
    }

    res.resize(std::max(0, n));

    return res;
}

ftk_status ftk_tokenize(const ftk_model * model, const char * text, int64_t n_bytes, int32_t add_special, int32_t parse_special,
        int32_t * tokens, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(n_needed);
        *n_needed = 0;
        FTK_REQUIRE_NOT_NULL(model);

        if (n_bytes < 0 || capacity < 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_bytes' and 'capacity' must not be negative, got %" PRId64 " and %" PRId64, n_bytes, capacity);
        }
        if (n_bytes > 0) {
            FTK_REQUIRE_NOT_NULL(text);
        }

        const std::string_view view(text != nullptr ? text : "", n_bytes);

        const size_t i_invalid = ftk_utf8_find_invalid(view);
        if (i_invalid != std::string::npos) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the text is not UTF-8: byte 0x%02x at offset %zu", (uint8_t) view[i_invalid], i_invalid);
        }

        ftk_require_tokenizer(*model);

        const auto res = ftk_tokenize_text(model->vocab, view, add_special != 0, parse_special != 0);

        *n_needed = (int64_t) res.size();

        if ((int64_t) res.size() > capacity) {
            ftk_fail(FTK_BUFFER_TOO_SMALL, "the text has %zu tokens, the buffer holds %" PRId64, res.size(), capacity);
        }
        if (!res.empty()) {
            FTK_REQUIRE_NOT_NULL(tokens);
            std::copy(res.begin(), res.end(), tokens);
        }
    });
}

ftk_status ftk_token_bytes(const ftk_model * model, int32_t token, int32_t special, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(model);
        ftk_require_tokenizer(*model);
        ftk_require_token(token, model->n_vocab, "'token'");

        ftk_write_text(ftk_token_to_bytes(model->vocab, token, special != 0), buf, capacity, n_needed);
    });
}

int32_t ftk_token_is_eog(const ftk_model * model, int32_t token) {
    return ftk_guard_value<int32_t>(__func__, 0, [&]() {
        FTK_REQUIRE_NOT_NULL(model);
        ftk_require_token(token, model->n_vocab, "'token'");

        return llama_vocab_is_eog(model->vocab, token) ? 1 : 0;
    });
}

int32_t ftk_token_is_control(const ftk_model * model, int32_t token) {
    return ftk_guard_value<int32_t>(__func__, 0, [&]() {
        FTK_REQUIRE_NOT_NULL(model);
        ftk_require_tokenizer(*model);
        ftk_require_token(token, model->n_vocab, "'token'");

        return llama_vocab_is_control(model->vocab, token) ? 1 : 0;
    });
}

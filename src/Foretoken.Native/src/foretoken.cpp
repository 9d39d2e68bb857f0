#include "foretoken-impl.h"

#include "ggml-backend.h"
#include "json.h"
#include "log.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>
#include <set>
#include <shared_mutex>

#ifdef _WIN32
#    define WIN32_LEAN_AND_MEAN
#    ifndef NOMINMAX
#        define NOMINMAX
#    endif
#    include <windows.h>
#else
#    include <dlfcn.h>
#endif

#ifndef FTK_LLAMA_RELEASE
#    define FTK_LLAMA_RELEASE ""
#endif
#ifndef FTK_PATCH_HASH
#    define FTK_PATCH_HASH ""
#endif
#ifndef FTK_BUILD_TYPE
#    define FTK_BUILD_TYPE ""
#endif
#ifndef FTK_BUILD_COMPILER
#    define FTK_BUILD_COMPILER ""
#endif
#ifndef FTK_BUILD_TARGET
#    define FTK_BUILD_TARGET ""
#endif
#ifndef FTK_BUILD_OPTIONS
#    define FTK_BUILD_OPTIONS ""
#endif

//
// errors
//

static thread_local std::string  t_error;
static thread_local const char * t_error_static = nullptr; // when there is no memory for a text

void ftk_fail(ftk_status status, const char * fmt, ...) {
    va_list args;
    va_start(args, fmt);
    va_list args_copy;
    va_copy(args_copy, args);

    const int n = vsnprintf(nullptr, 0, fmt, args);
    va_end(args);

    std::string text(std::max(0, n), '\0');
    vsnprintf(&text[0], text.size() + 1, fmt, args_copy);
    va_end(args_copy);

    throw ftk_error(status, std::move(text));
}

static void set_error(const char * func, const char * text) {
    t_error = std::string(func) + ": " + text;

    // the text may quote what was passed in, and is read as UTF-8
    for (size_t i = ftk_utf8_find_invalid(t_error); i != std::string::npos; i = ftk_utf8_find_invalid(t_error)) {
        t_error[i] = '?';
    }
}

// as patch 0004 begins what it throws and logs
static bool is_lost_server(const char * text) {
    return strstr(text, "RPC server lost: ") != nullptr;
}

ftk_status ftk_handle_exception(const char * func) noexcept {
    try {
        try {
            throw;
        } catch (const ftk_error & err) {
            set_error(func, err.what());
            return err.status != FTK_DEVICE_MISSING && is_lost_server(err.what()) ? FTK_DEVICE_LOST : err.status;
        } catch (const std::bad_alloc &) {
            set_error(func, "out of memory");
            return FTK_OUT_OF_MEMORY;
        } catch (const nlohmann::json::exception & err) {
            set_error(func, err.what());
            return FTK_INVALID_ARGUMENT;
        } catch (const std::exception & err) {
            set_error(func, err.what());
            return is_lost_server(err.what()) ? FTK_DEVICE_LOST : FTK_INTERNAL;
        } catch (...) {
            set_error(func, "unknown exception");
            return FTK_INTERNAL;
        }
    } catch (...) {
        t_error_static = "out of memory";
        return FTK_OUT_OF_MEMORY;
    }
}

const char * ftk_last_error(void) {
    return t_error_static != nullptr ? t_error_static : t_error.c_str();
}

//
// log
//

struct ftk_logger {
    std::shared_mutex mutex;

    ftk_log_callback callback = nullptr;
    void *           user     = nullptr;

    // of a host that had set one before it called us
    ggml_log_callback host      = nullptr;
    void *            host_user = nullptr;
};

static ftk_logger g_logger;

static thread_local bool        t_in_callback = false;
static thread_local int32_t     t_line_level  = GGML_LOG_LEVEL_INFO;
static thread_local std::string t_line;
static thread_local std::string t_errors;

static void emit_line() {
    std::string line;
    line.swap(t_line);

    if (line.empty()) {
        return;
    }

    if (t_line_level >= GGML_LOG_LEVEL_ERROR && t_errors.size() < 4096) {
        if (!t_errors.empty()) {
            t_errors += "; ";
        }
        t_errors += line;
    }

    // a callback that makes llama.cpp log would wait for itself
    if (t_in_callback) {
        return;
    }

    std::shared_lock<std::shared_mutex> lock(g_logger.mutex);

    if (g_logger.callback != nullptr) {
        t_in_callback = true;
        g_logger.callback(g_logger.user, t_line_level, line.c_str());
        t_in_callback = false;
    }
}

void ftk_log(int32_t level, const std::string & text) {
    emit_line();
    t_line_level = level;
    t_line       = text;
    emit_line();
}

static void on_log(ggml_log_level level, const char * text, void * /* user */) {
    if (g_logger.host != nullptr) {
        g_logger.host(level, text, g_logger.host_user);
    }

    try {
        if (level != GGML_LOG_LEVEL_CONT) {
            // whatever was begun has not been continued
            emit_line();
            t_line_level = level == GGML_LOG_LEVEL_NONE ? GGML_LOG_LEVEL_INFO : level;
        }

        for (const char * p = text; *p != '\0';) {
            const char * end = strchr(p, '\n');
            if (end == nullptr) {
                t_line += p;
                break;
            }

            t_line.append(p, end - p);
            emit_line();
            p = end + 1;
        }
    } catch (...) {
        // no memory for a log line: C code is waiting for us to return
        t_in_callback = false;
    }
}

std::string ftk_logged_errors() {
    emit_line();

    return t_errors;
}

static void setup() {
    ggml_log_get(&g_logger.host, &g_logger.host_user);

    // setting none brings back the default one, which writes to stderr: not a host's
    ggml_log_callback callback;
    void *            user;
    ggml_log_set(nullptr, nullptr);
    ggml_log_get(&callback, &user);

    if (g_logger.host == callback) {
        g_logger.host = nullptr;
    }

    llama_log_set(on_log, nullptr);

    // the logger of common/ writes to stderr from a thread of its own; it never comes to life below this threshold
    common_log_set_verbosity_thold(-1);

    llama_backend_init();
}

void ftk_enter() {
    static std::once_flag once;
    std::call_once(once, setup);

    t_error.clear();
    t_error_static = nullptr;
    t_errors.clear();
}

void ftk_log_set(ftk_log_callback callback, void * user) {
    ftk_guard(__func__, [&]() {
        if (t_in_callback) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the log callback cannot be changed from inside of it");
        }

        std::unique_lock<std::shared_mutex> lock(g_logger.mutex);

        g_logger.callback = callback;
        g_logger.user     = user;
    });
}

//
// library
//

int32_t ftk_abi_version(void) {
    return FTK_ABI_VERSION;
}

const char * ftk_llama_release(void) {
    return FTK_LLAMA_RELEASE;
}

const char * ftk_patch_hash(void) {
    return FTK_PATCH_HASH;
}

static std::string make_build_info() {
    ftk_json backends = ftk_json::array();
    for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
        backends.push_back(ggml_backend_reg_name(ggml_backend_reg_get(i)));
    }

    return ftk_dump_json({
            {"release", FTK_LLAMA_RELEASE},
            {"patch_hash", FTK_PATCH_HASH},
            {"compiler", FTK_BUILD_COMPILER},
            {"target", FTK_BUILD_TARGET},
            {"build_type", FTK_BUILD_TYPE},
            {"options", FTK_BUILD_OPTIONS},
            {"backends", backends},
    });
}

const char * ftk_build_info(void) {
    // per thread: backends may be loaded between two calls, and the text must not change under a reader
    static thread_local std::string info;

    ftk_guard(__func__, [&]() { info = make_build_info(); });

    return info.c_str();
}

//
// backends and devices
//

// folder of this library, empty when it cannot be found out
static std::string get_library_dir() {
#ifdef _WIN32
    HMODULE module = nullptr;
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                (LPCWSTR) &ftk_abi_version, &module)) {
        return "";
    }

    std::vector<wchar_t> path(32768);
    const DWORD          n = GetModuleFileNameW(module, path.data(), (DWORD) path.size());

    const int   n_utf8 = WideCharToMultiByte(CP_UTF8, 0, path.data(), (int) n, nullptr, 0, nullptr, nullptr);
    std::string res(n_utf8, '\0');
    WideCharToMultiByte(CP_UTF8, 0, path.data(), (int) n, &res[0], n_utf8, nullptr, nullptr);
#else
    Dl_info info;
    if (dladdr((const void *) &ftk_abi_version, &info) == 0 || info.dli_fname == nullptr) {
        return "";
    }

    std::string res = info.dli_fname;
#endif

    const size_t slash = res.find_last_of("/\\");

    return slash == std::string::npos ? "" : res.substr(0, slash);
}

ftk_status ftk_backend_init(const char * dir) {
    return ftk_guard(__func__, [&]() {
        static std::mutex            mutex;
        static std::set<std::string> loaded;

        const std::string path = dir != nullptr ? std::string(dir) : get_library_dir();

        std::lock_guard<std::mutex> lock(mutex);

        // a second call would register the backends of the folder a second time
        if (loaded.insert(path).second) {
            // backends that are linked in are registered already; looking for them again would load them twice
            if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
                ggml_backend_load_all_from_path(path.empty() ? nullptr : path.c_str());
            }
        }

        if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
            loaded.erase(path);
            ftk_fail(FTK_UNSUPPORTED, "no CPU backend in '%s': the ggml-cpu library must lie there", path.c_str());
        }
    });
}

static const char * device_type_name(ggml_backend_dev_t dev) {
    switch (ggml_backend_dev_type(dev)) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:
            return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:
            return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return "igpu";
        case GGML_BACKEND_DEVICE_TYPE_ACCEL:
            return "accel";
        case GGML_BACKEND_DEVICE_TYPE_META:
            // stands for several others and is never listed
            break;
    }

    return "unknown";
}

ftk_status ftk_devices(char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        ftk_json devices = ftk_json::array();

        for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
            ggml_backend_dev_t dev = ggml_backend_dev_get(i);

            size_t n_free  = 0;
            size_t n_total = 0;
            ggml_backend_dev_memory(dev, &n_free, &n_total);

            devices.push_back({
                    {"name", ggml_backend_dev_name(dev)},
                    {"description", ggml_backend_dev_description(dev)},
                    {"type", device_type_name(dev)},
                    {"memory_free", (uint64_t) n_free},
                    {"memory_total", (uint64_t) n_total},
            });
        }

        ftk_write_json(devices, buf, capacity, n_needed);
    });
}

//
// cancellation
//

ftk_status ftk_cancel_create(ftk_cancel ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        *out = new ftk_cancel();
    });
}

// these two do not touch the state of the calling thread: they may interrupt anything
void ftk_cancel_set(ftk_cancel * cancel) {
    if (cancel != nullptr) {
        cancel->flag.store(true);
    }
}

void ftk_cancel_reset(ftk_cancel * cancel) {
    if (cancel != nullptr) {
        cancel->flag.store(false);
    }
}

void ftk_cancel_free(ftk_cancel * cancel) {
    delete cancel;
}

//
// arguments
//

size_t ftk_utf8_find_invalid(std::string_view text) {
    const auto * p = (const uint8_t *) text.data();
    const size_t n = text.size();

    for (size_t i = 0; i < n;) {
        const uint8_t c = p[i];

        if (c < 0x80) {
            ++i;
            continue;
        }

        // bounds of the second byte leave out overlong forms, surrogates and what lies above U+10FFFF
        size_t  len = 0;
        uint8_t lo  = 0x80;
        uint8_t hi  = 0xBF;

        if (c >= 0xC2 && c <= 0xDF) {
            len = 2;
        } else if (c >= 0xE0 && c <= 0xEF) {
            len = 3;
            lo  = c == 0xE0 ? 0xA0 : lo;
            hi  = c == 0xED ? 0x9F : hi;
        } else if (c >= 0xF0 && c <= 0xF4) {
            len = 4;
            lo  = c == 0xF0 ? 0x90 : lo;
            hi  = c == 0xF4 ? 0x8F : hi;
        } else {
            return i;
        }

        if (i + len > n || p[i + 1] < lo || p[i + 1] > hi) {
            return i;
        }

        for (size_t j = 2; j < len; ++j) {
            if ((p[i + j] & 0xC0) != 0x80) {
                return i;
            }
        }

        i += len;
    }

    return std::string::npos;
}

std::string ftk_quote(std::string_view text) {
    const size_t n_max = 80;

    std::string res = "'";
    res += text.substr(0, n_max);
    res += text.size() > n_max ? "...'" : "'";

    return res;
}

std::string ftk_join(const std::vector<std::string> & parts, const char * separator) {
    std::string res;

    for (size_t i = 0; i < parts.size(); ++i) {
        res += i > 0 ? separator : "";
        res += parts[i];
    }

    return res;
}

ftk_json ftk_parse_json(const char * text, const char * what, bool optional) {
    if (text == nullptr || text[0] == '\0') {
        if (!optional) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the %s must be JSON, not %s", what, text == nullptr ? "NULL" : "empty");
        }
        return ftk_json::object();
    }

    // what works on the parsed value is recursive
    const int depth_max = 128;

    const auto check_depth = [&](int depth, ftk_json::parse_event_t, ftk_json &) {
        if (depth > depth_max) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the %s is nested deeper than %d levels", what, depth_max);
        }
        return true;
    };

    try {
        return ftk_json::parse(text, check_depth);
    } catch (const ftk_json::exception & err) {
        ftk_fail(FTK_INVALID_ARGUMENT, "the %s is not valid JSON: %s", what, err.what());
    }
}

std::string ftk_dump_json(const ftk_json & json) {
    // a generated text may end inside of a character
    return json.dump(-1, ' ', false, ftk_json::error_handler_t::replace);
}

common_json ftk_to_common_json(const ftk_json & json) {
    return common_json::parse(json.dump());
}

ftk_config::ftk_config(const char * text, const char * what, std::initializer_list<const char *> keys, bool optional) :
    json(ftk_parse_json(text, what, optional)),
    what(what) {
    check_keys(keys);
}

ftk_config::ftk_config(ftk_json json, const char * what, std::initializer_list<const char *> keys) :
    json(std::move(json)),
    what(what) {
    check_keys(keys);
}

void ftk_config::check_keys(std::initializer_list<const char *> keys) const {
    if (!json.is_object()) {
        ftk_fail(FTK_INVALID_ARGUMENT, "the %s must be a JSON object, not %s", what.c_str(), json.type_name());
    }

    for (const auto & item : json.items()) {
        const bool known = std::any_of(keys.begin(), keys.end(), [&](const char * key) { return item.key() == key; });
        if (!known) {
            const std::vector<std::string> names(keys.begin(), keys.end());
            ftk_fail(FTK_INVALID_ARGUMENT, "unknown key %s in the %s; known keys: %s",
                    ftk_quote(item.key()).c_str(), what.c_str(), ftk_join(names, ", ").c_str());
        }
    }
}

void ftk_config::fail_type(const char * key, const char * expected) const {
    ftk_fail(FTK_INVALID_ARGUMENT, "'%s' in the %s must be %s, not %s", key, what.c_str(), expected,
            ftk_quote(ftk_dump_json(json.at(key))).c_str());
}

bool ftk_config::has(const char * key) const {
    return json.contains(key) && !json.at(key).is_null();
}

int64_t ftk_config::get_int(const char * key, int64_t def, int64_t min, int64_t max) const {
    if (!has(key)) {
        return def;
    }

    const auto & value = json.at(key);

    // an unsigned value above the signed range is out of any range that we have
    if (!value.is_number_integer() ||
            (value.is_number_unsigned() && value.get<uint64_t>() > (uint64_t) INT64_MAX) ||
            value.get<int64_t>() < min || value.get<int64_t>() > max) {
        fail_type(key, ("an integer in [" + std::to_string(min) + ", " + std::to_string(max) + "]").c_str());
    }

    return value.get<int64_t>();
}

double ftk_config::get_float(const char * key, double def, double min, double max) const {
    if (!has(key)) {
        return def;
    }

    const auto & value = json.at(key);

    if (!value.is_number() || !(value.get<double>() >= min && value.get<double>() <= max)) {
        char range[64];
        snprintf(range, sizeof(range), "a number in [%g, %g]", min, max);
        fail_type(key, range);
    }

    return value.get<double>();
}

bool ftk_config::get_bool(const char * key, bool def) const {
    if (!has(key)) {
        return def;
    }
    if (!json.at(key).is_boolean()) {
        fail_type(key, "true or false");
    }

    return json.at(key).get<bool>();
}

std::string ftk_config::get_string(const char * key, const std::string & def) const {
    if (!has(key)) {
        return def;
    }
    if (!json.at(key).is_string()) {
        fail_type(key, "a string");
    }

    return json.at(key).get<std::string>();
}

const ftk_json & ftk_config::at(const char * key) const {
    if (!json.contains(key)) {
        ftk_fail(FTK_INVALID_ARGUMENT, "the %s needs the key '%s'", what.c_str(), key);
    }

    return json.at(key);
}

ftk_json ftk_config::get_array(const char * key) const {
    if (!has(key)) {
        return ftk_json::array();
    }
    if (!json.at(key).is_array()) {
        fail_type(key, "an array");
    }

    return json.at(key);
}

ftk_json ftk_config::get_object(const char * key) const {
    if (!has(key)) {
        return ftk_json::object();
    }
    if (!json.at(key).is_object()) {
        fail_type(key, "an object");
    }

    return json.at(key);
}

//
// results
//

void ftk_write_bytes(const void * data, size_t size, void * buf, int64_t capacity, int64_t * n_needed) {
    FTK_REQUIRE_NOT_NULL(n_needed);

    *n_needed = (int64_t) size;

    if (capacity < 0) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'capacity' must not be negative, got %" PRId64, capacity);
    }
    if ((int64_t) size > capacity) {
        ftk_fail(FTK_BUFFER_TOO_SMALL, "%zu bytes are needed, the buffer holds %" PRId64, size, capacity);
    }
    if (size > 0) {
        FTK_REQUIRE_NOT_NULL(buf);
        memcpy(buf, data, size);
    }
}

void ftk_write_text(const std::string & text, char * buf, int64_t capacity, int64_t * n_needed) {
    ftk_write_bytes(text.data(), text.size(), buf, capacity, n_needed);
}

void ftk_write_json(const ftk_json & json, char * buf, int64_t capacity, int64_t * n_needed) {
    ftk_write_text(ftk_dump_json(json), buf, capacity, n_needed);
}

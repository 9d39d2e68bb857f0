#pragma once

// what the files of the C API share: errors, the log, JSON configs, text results and the handles

#include "foretoken.h"

#include "llama-staged.h"
#include "llama.h"

#include <nlohmann/json.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

// key order matters to templates and schemas
using ftk_json = nlohmann::ordered_json;

//
// errors
//

struct ftk_error : public std::exception {
    ftk_error(ftk_status status, std::string text) :
        status(status),
        text(std::move(text)) {}

    const char * what() const noexcept override {
        return text.c_str();
    }

    ftk_status  status;
    std::string text;
};

#ifdef __GNUC__
#    define FTK_ATTRIBUTE_FORMAT(...) __attribute__((format(printf, __VA_ARGS__)))
#else
#    define FTK_ATTRIBUTE_FORMAT(...)
#endif

// throws an ftk_error with a printf-like text
[[noreturn]] void ftk_fail(ftk_status status, const char * fmt, ...) FTK_ATTRIBUTE_FORMAT(2, 3);

// every function of the C API begins and ends here: logging is set up, the last error is forgotten, and an exception
// becomes a status and an error text
void       ftk_enter();
ftk_status ftk_handle_exception(const char * func) noexcept;

template <typename F>
ftk_status ftk_guard(const char * func, F && body) noexcept {
    try {
        ftk_enter();
        body();
        return FTK_OK;
    } catch (...) {
        return ftk_handle_exception(func);
    }
}

// for functions that return a value instead of a status
template <typename T, typename F>
T ftk_guard_value(const char * func, T on_error, F && body) noexcept {
    T res = on_error;

    ftk_guard(func, [&]() { res = body(); });

    return res;
}

// what llama.cpp logged as errors on this thread since the current call began, as one line; empty when nothing
std::string ftk_logged_errors();

void ftk_log(int32_t level, const std::string & text);

//
// arguments
//

#define FTK_REQUIRE_NOT_NULL(arg)                                          \
    do {                                                                   \
        if ((arg) == nullptr) {                                            \
            ftk_fail(FTK_INVALID_ARGUMENT, "'%s' must not be NULL", #arg); \
        }                                                                  \
    } while (0)

// 0: the machine's cores
int32_t ftk_n_threads(int32_t n_threads);

// offset of the first byte that is not valid UTF-8, npos when there is none
size_t ftk_utf8_find_invalid(std::string_view text);

// text, quoted and shortened for an error message
std::string ftk_quote(std::string_view text);

std::string ftk_join(const std::vector<std::string> & parts, const char * separator);

// NULL and "" are an empty object when `optional`
ftk_json ftk_parse_json(const char * text, const char * what, bool optional);

std::string ftk_dump_json(const ftk_json & json);

// for the functions of llama.cpp's common code, which has a JSON type of its own
class common_json;

common_json ftk_to_common_json(const ftk_json & json);

// a JSON object of which only the listed keys are known
class ftk_config {
public:
    // throws when the JSON is malformed, is not an object, or has a key that is not listed
    ftk_config(const char * text, const char * what, std::initializer_list<const char *> keys, bool optional = true);
    ftk_config(ftk_json json, const char * what, std::initializer_list<const char *> keys);

    // a key with the value null is an absent one
    bool has(const char * key) const;

    int64_t     get_int(const char * key, int64_t def, int64_t min, int64_t max) const;
    double      get_float(const char * key, double def, double min, double max) const;
    bool        get_bool(const char * key, bool def) const;
    std::string get_string(const char * key, const std::string & def) const;

    const ftk_json & at(const char * key) const;

    // the value must be of that kind; `def` for an absent key
    ftk_json get_array(const char * key) const;
    ftk_json get_object(const char * key) const;

private:
    void check_keys(std::initializer_list<const char *> keys) const;

    [[noreturn]] void fail_type(const char * key, const char * expected) const;

    ftk_json    json;
    std::string what;
};

//
// results
//

// writes `size` bytes, or none and throws FTK_BUFFER_TOO_SMALL; always stores the size
void ftk_write_bytes(const void * data, size_t size, void * buf, int64_t capacity, int64_t * n_needed);
void ftk_write_text(const std::string & text, char * buf, int64_t capacity, int64_t * n_needed);
void ftk_write_json(const ftk_json & json, char * buf, int64_t capacity, int64_t * n_needed);

//
// handles
//

struct ftk_cancel {
    std::atomic<bool> flag{false};
};

struct ftk_model {
    llama_model *       model = nullptr;
    const llama_vocab * vocab = nullptr;

    int32_t n_vocab = 0;
    bool    owned   = false;

    ~ftk_model();
};

// throws when the model has no tokenizer
void ftk_require_tokenizer(const ftk_model & model);

// throws when the token is not in the vocabulary
void ftk_require_token(int32_t token, int32_t n_vocab, const char * what, int64_t index = -1);

// text -> tokens; text need not be valid UTF-8
std::vector<llama_token> ftk_tokenize_text(const llama_vocab * vocab, std::string_view text, bool add_special, bool parse_special);

std::string ftk_token_to_bytes(const llama_vocab * vocab, llama_token token, bool special);

struct ftk_context {
    llama_context *     ctx   = nullptr;
    const llama_model * model = nullptr;
    const llama_vocab * vocab = nullptr;

    int32_t n_vocab   = 0;
    int32_t n_layer   = 0;
    int32_t n_seq_max = 0;
    bool    owned     = false;

    // attached contexts may have logits that a decode of the host has left
    bool has_logits = false;

    bool                has_report = false;
    llama_staged_report report;

    ~ftk_context();
};

void ftk_require_seq_id(const ftk_context & ctx, int32_t seq_id, const char * what);

// checks the tokens and that they fit behind what the sequence holds
void ftk_require_room(const ftk_context & ctx, int32_t seq_id, const int32_t * tokens, int64_t n_tokens);

// [n_vocab], throws when there are none
const float * ftk_get_logits(const ftk_context & ctx);

// checks a grammar before llama.cpp sees it: llama.cpp prints what is wrong to stderr, and does not find every grammar
// that makes it recurse without end. Throws FTK_GRAMMAR_FAILED
void ftk_check_grammar(const llama_vocab * vocab, const std::string & grammar);

// checks a JSON schema before llama.cpp turns it into a grammar, which is recursive, and takes time and memory without an end for
// some of a few bytes. Throws FTK_GRAMMAR_FAILED with what is too much, or contradicts itself
void ftk_check_schema(const ftk_json & schema);

std::string ftk_schema_to_grammar(const ftk_json & schema);

// in a grammar made by llama.cpp's conversion of schemas
void ftk_narrow_char_rule(std::string & grammar);

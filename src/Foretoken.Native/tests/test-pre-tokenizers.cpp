// Text of any kind and length is cut into tokens in time linear in it, by every pre-tokenizer and tokenizer of llama.cpp, and
// without a deep stack; the words are those of std::regex.
//
//   FORETOKEN_FUZZ_COUNT  how many random texts are compared, per pre-tokenizer (300)
//   FORETOKEN_FUZZ_SEED   the first seed (1)
//   FORETOKEN_TEXT_LENGTH characters of the long texts (30000)
//   FORETOKEN_PRE_TOKENIZER one pre-tokenizer or tokenizer alone
//   FORETOKEN_SLOWEST     how many of the slowest long texts are named (1)

#include "unicode.h"

#include "foretoken-regex.cpp" // no library exports it

#include "ggml.h"
#include "gguf.h"
#include "llama.h"

#include "llama-vocab-source.h" // LLAMA_VOCAB_SOURCE: the text of llama-vocab.cpp, in pieces

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

// the reference: llama.cpp's own unicode.cpp, with std::regex again
#define unicode_regex_split reference_regex_split
#define ftk_regex_split     unicode_regex_split_stl
#if defined(__GNUC__)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wunused-function"
#    pragma GCC diagnostic ignored "-Wunused-parameter"
#    pragma GCC diagnostic ignored "-Wunused-variable"
#    pragma GCC diagnostic ignored "-Wsign-compare"
#endif
#include "unicode.cpp"
#if defined(__GNUC__)
#    pragma GCC diagnostic pop
#endif
#undef unicode_regex_split
#undef ftk_regex_split

static int n_failed = 0;
static int n_checks = 0;

static void check(bool ok, const std::string & what) {
    ++n_checks;
    if (!ok) {
        ++n_failed;
        fprintf(stderr, "failed: %s\n", what.c_str());
    }
}

static int64_t get_env(const char * name, int64_t otherwise) {
    const char * text = getenv(name);

    return text != nullptr && *text != '\0' ? atoll(text) : otherwise;
}

//
// what llama-vocab.cpp holds
//

static std::string get_source() {
    std::string res;
    for (const char * piece : LLAMA_VOCAB_SOURCE) {
        res += piece;
    }

    return res;
}

// the string literals of a piece of source, without those in comments
static std::vector<std::string> get_literals(const std::string & source) {
    std::vector<std::string> res;

    for (size_t i = 0; i < source.size(); ++i) {
        if (source.compare(i, 2, "//") == 0) {
            i = std::min(source.find('\n', i), source.size());
            continue;
        }
        if (source[i] != '"') {
            continue;
        }

        std::string literal;
        for (++i; i < source.size() && source[i] != '"'; ++i) {
            if (source[i] == '\\') {
                ++i;
                literal += source[i] == 'r' ? '\r' : source[i] == 'n' ? '\n' :
                                             source[i] == 't'         ? '\t' :
                                                                        source[i];
            } else {
                literal += source[i];
            }
        }
        res.push_back(literal);
    }

    return res;
}

static std::vector<std::vector<std::string>> get_expressions(const std::string & source) {
    std::vector<std::vector<std::string>> res;

    const std::string begin = "regex_exprs = {";
    for (size_t i = source.find(begin); i != std::string::npos; i = source.find(begin, i + 1)) {
        res.push_back(get_literals(source.substr(i + begin.size(), source.find("};", i) - i - begin.size())));
    }

    return res;
}

static std::vector<std::string> get_pre_tokenizers(const std::string & source) {
    std::set<std::string> res;

    const std::string begin = "tokenizer_pre == \"";
    for (size_t i = source.find(begin); i != std::string::npos; i = source.find(begin, i + 1)) {
        const size_t from = i + begin.size();
        res.insert(source.substr(from, source.find('"', from) - from));
    }

    return {res.begin(), res.end()};
}

//
// texts
//

// characters of each kind that an expression may tell apart
static const std::vector<uint32_t> CHARACTERS = {
        ' ',
        ' ',
        '\n',
        '\r',
        '\t',
        0x0B,
        0x00A0,
        0x0085,
        0x2028,
        0x3000,
        'a',
        'b',
        'Z',
        'Q',
        's',
        't',
        'r',
        'e',
        'v',
        'l',
        'm',
        'd',
        'S',
        'E',
        '\'',
        '\'',
        '0',
        '1',
        '9',
        0x0663,
        0x00BD,
        '-',
        '.',
        ',',
        '!',
        '?',
        '/',
        '(',
        '|',
        '<',
        '>',
        '$',
        '+',
        '=',
        '^',
        '~',
        '`',
        '_',
        '{',
        '[',
        ']',
        '\\',
        '"',
        0x00E9,
        0x00C9,
        0x00DF,
        0x0416,
        0x0436,
        0x01C5,
        0x02B0,
        0x4E2D,
        0x9FA5,
        0x3042,
        0x30AB,
        0xAC00,
        0x3131,
        0x0E01,
        0x0E34,
        0x0301,
        0x0300,
        0x0903,
        0x1F600,
        0x20AC,
        0x2026,
        0x201C,
        0xFF0C,
        0x3001,
        0x200B,
        0x200D,
        0xE000,
        0x0000,
        0x007F,
        0x0001,
        0x10400,
        0x20000,
        0xFFFD,
};

static std::string random_text(uint32_t seed) {
    std::mt19937 rng(seed);

    const auto pick = [&]() { return CHARACTERS[rng() % CHARACTERS.size()]; };

    std::string res;

    const size_t n_runs = 1 + rng() % 12;
    for (size_t i = 0; i < n_runs; ++i) {
        // runs of one, and of two that take turns: what is repeated and what is tried again
        const uint32_t a = pick();
        const uint32_t b = rng() % 2 == 0 ? a : pick();
        const size_t   n = rng() % 8 == 0 ? rng() % 40 : 1 + rng() % 4;
        for (size_t j = 0; j < n; ++j) {
            res += unicode_cpt_to_utf8(j % 2 == 0 ? a : b);
        }
    }

    return res;
}

static std::string repeat(const std::vector<uint32_t> & characters, int64_t length) {
    std::string pattern;
    for (const uint32_t c : characters) {
        pattern += unicode_cpt_to_utf8(c);
    }

    std::string res;
    for (int64_t i = 0; i + (int64_t) characters.size() <= length; i += characters.size()) {
        res += pattern;
    }

    return res;
}

static const std::vector<std::pair<const char *, std::vector<uint32_t>>> RUNS = {
        {"dashes", {'-'}},
        {"newlines", {'\n'}},
        {"returns", {'\r', '\n'}},
        {"spaces", {' '}},
        {"tabs and spaces", {'\t', ' '}},
        {"wide spaces", {0x3000}},
        {"small letters", {'a'}},
        {"capital letters", {'A'}},
        {"mixed letters", {'A', 'b'}},
        {"digits", {'7'}},
        {"Arabic digits", {0x0663}},
        {"Chinese", {0x4E2D}},
        {"Japanese", {0x3042, 0x30AB}},
        {"Korean", {0xAC00}},
        {"Cyrillic", {0x0436}},
        {"emoji", {0x1F600}},
        {"joined emoji", {0x1F469, 0x200D}},
        {"combining marks", {0x0301}},
        {"letters with marks", {'e', 0x0301}},
        {"punctuation", {'!', '?'}},
        {"quotes", {'\''}},
        {"contractions", {'\'', 's'}},
        {"symbols", {0x20AC}},
        {"private use", {0xE000}},
        {"words", {'a', 'b', ' '}},
        {"letters and spaces", {'a', ' '}},
        {"letters and dashes", {'a', '-'}},
        {"digits and dots", {'1', '.'}},
        {"spaces and newlines", {' ', '\n'}},
        {"all kinds", {'a', 0x4E2D, '1', ' ', '!', 0x0301, '\n', 0x1F600}},
};

//
// vocabularies
//

struct vocabulary {
    std::string model;
    std::string pre;
};

static const char * PATH = "test-pre-tokenizers.gguf";

static std::vector<std::string> get_byte_texts() {
    std::vector<std::string> res;
    for (int i = 0; i < 256; ++i) {
        res.push_back(unicode_byte_to_utf8((uint8_t) i));
    }

    return res;
}

static void write_vocabulary(const vocabulary & v) {
    std::vector<std::string> texts;
    std::vector<float>       scores;
    std::vector<int32_t>     types;

    const auto add = [&](const std::string & text, float score, int32_t type) {
        texts.push_back(text);
        scores.push_back(score);
        types.push_back(type);
    };

    add("<unk>", 0.0f, LLAMA_TOKEN_TYPE_UNKNOWN);
    add("<s>", 0.0f, LLAMA_TOKEN_TYPE_CONTROL);
    add("</s>", 0.0f, LLAMA_TOKEN_TYPE_CONTROL);
    add("<br>", 0.0f, LLAMA_TOKEN_TYPE_USER_DEFINED);

    std::vector<std::string> merges;

    if (v.model != "bert" && v.model != "rwkv") {
        for (int i = 0; i < 256; ++i) {
            char text[8];
            snprintf(text, sizeof(text), "<0x%02X>", i);
            add(text, 0.0f, LLAMA_TOKEN_TYPE_BYTE);
        }
    }

    if (v.model == "gpt2") {
        for (const std::string & text : get_byte_texts()) {
            add(text, 0.0f, LLAMA_TOKEN_TYPE_NORMAL);
        }
    }

    if (v.model == "rwkv") {
        for (int i = 0; i < 256; ++i) {
            char text[8];
            snprintf(text, sizeof(text), "\\x%02x", i);
            add(text, 0.0f, LLAMA_TOKEN_TYPE_NORMAL);
        }
    }

    // what makes long tokens of long runs
    for (const char * c : {"a", "-", "A", "7", "\xE2\x96\x81"}) {
        std::string text = c;
        for (int i = 0; i < 4; ++i) {
            merges.push_back(text + " " + text);
            if (v.model != "gpt2" || i > 0) {
                add(text, -1.0f - i, LLAMA_TOKEN_TYPE_NORMAL);
            }
            text += text;
        }
        add(text, -8.0f, LLAMA_TOKEN_TYPE_NORMAL);
        if (v.model == "bert") {
            add("\xE2\x96\x81" + text, -8.0f, LLAMA_TOKEN_TYPE_NORMAL);
        }
    }

    gguf_context * gguf = gguf_init_empty();

    std::vector<const char *> pointers;
    for (const std::string & text : texts) {
        pointers.push_back(text.c_str());
    }

    gguf_set_val_str(gguf, "general.architecture", "llama");
    gguf_set_val_str(gguf, "tokenizer.ggml.model", v.model.c_str());
    if (!v.pre.empty()) {
        gguf_set_val_str(gguf, "tokenizer.ggml.pre", v.pre.c_str());
    }
    gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", pointers.data(), pointers.size());
    gguf_set_arr_data(gguf, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), scores.size());
    gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());

    std::vector<const char *> merge_pointers;
    for (const std::string & merge : merges) {
        merge_pointers.push_back(merge.c_str());
    }
    gguf_set_arr_str(gguf, "tokenizer.ggml.merges", merge_pointers.data(), merge_pointers.size());

    for (const char * key : {"bos", "eos", "eot", "unknown", "separator", "padding", "cls", "mask"}) {
        gguf_set_val_u32(gguf, (std::string("tokenizer.ggml.") + key + "_token_id").c_str(), key[0] == 'u' ? 0 : key[0] == 'b' ? 1 :
                                                                                                                                 2);
    }
    gguf_set_val_u32(gguf, "llama.vocab_size", texts.size());

    gguf_write_to_file(gguf, PATH, false);
    gguf_free(gguf);
}

static llama_model * load_vocabulary(const vocabulary & v) {
    write_vocabulary(v);

    llama_model_params params = llama_model_default_params();
    params.vocab_only         = true;

    llama_model * res = llama_model_load_from_file(PATH, params);
    remove(PATH);

    return res;
}

// how many tokens; negative where there was no room for them
static int32_t tokenize(const llama_vocab * vocab, const std::string & text, std::vector<llama_token> & tokens) {
    tokens.resize(4 * text.size() + 16);

    const int32_t n = llama_tokenize(vocab, text.data(), (int32_t) text.size(), tokens.data(), (int32_t) tokens.size(), false, true);
    tokens.resize(std::max(0, n));

    return n;
}

//
// tests
//

static void test_words(const std::vector<std::vector<std::string>> & expressions) {
    const int64_t count = get_env("FORETOKEN_FUZZ_COUNT", 300);
    const int64_t first = get_env("FORETOKEN_FUZZ_SEED", 1);

    int64_t n_texts = 0;
    for (const auto & exprs : expressions) {
        for (int64_t seed = first; seed < first + count; ++seed) {
            const std::string text = random_text((uint32_t) seed);

            const auto expected = reference_regex_split(text, exprs, true);
            const auto words    = unicode_regex_split(text, exprs, true);
            ++n_texts;

            if (words != expected) {
                check(false, "seed " + std::to_string(seed) + ": other words than std::regex for " + exprs.back() + " in '" + text + "'");
                break;
            }
        }
    }
    check(n_texts >= (int64_t) expressions.size(), "texts were compared");

    printf("%lld texts, cut by %zu pre-tokenizers: the words of std::regex\n", (long long) n_texts, expressions.size());
}

static void test_refusals() {
    for (const char * expression : {"a*?", "(a", "a)", "[a", "a{2", "a{3,2}", "\\w", "(?<=a)b", "a|*", "^a", ".", "\\", "a++"}) {
        bool refused = false;
        try {
            ftk_regex_split(std::string("aa"), std::string(expression), {2});
        } catch (const std::runtime_error & err) {
            refused = std::string(err.what()).find("expression of the pre-tokenizer") != std::string::npos;
        }
        check(refused, std::string("an expression that is not supported is refused: ") + expression);
    }
}

//
// searching, as for the triggers of a grammar
//

// where std::regex finds what llama.cpp looks for with it
static size_t reference_find(const std::string & pattern, const std::string & text) {
    const std::regex regex(pattern);
    std::smatch      match;

    const bool is_whole = pattern.front() == '^' && pattern.back() == '$' && std::regex_match(text, match, regex);
    if (!is_whole && !std::regex_search(text, match, regex)) {
        return std::string::npos;
    }

    for (size_t i = 1; i < match.size(); ++i) {
        if (match.length(i) > 0) {
            return match.position(i);
        }
    }

    return match.position(0);
}

// of llama.cpp's parsers, and what its samplers made of words
static const std::vector<std::string> TRIGGERS = {
        "<tool_call>",
        "\\[TOOL_CALLS\\]",
        "\\{\"type\": \"function\",",
        ">>>(?!all)",
        "^\\s+to$",
        "^<\\|channel\\|>(?:commentary|analysis)\\s+to=functions$",
        "<\\|start\\|>assistant(\\s+to)",
        "<\\|start\\|>assistant(<\\|channel\\|>(?:commentary|analysis)\\s+to)",
        "(?:^|<\\|start\\|>assistant)( to=(?!self<\\|message\\|>)(?!user<\\|message\\|>)[^<]*?<\\|message\\|>)",
        "[\\s\\S]*?(<tool_call>|<function)[\\s\\S]*",
        "^[\\s\\S]*?(\\w+ \\d.x)[\\s\\S]*$",
};

static const std::vector<std::string> TRIGGER_PIECES = {"<tool_call>", "<function", "[TOOL_CALLS]", "{\"type\": \"function\",", ">>>", "all", " to", " to=", "self", "user", "functions",
        "<|channel|>", "commentary", "analysis", "<|start|>", "assistant", "<|message|>", "<", "a", " ", "\n", "x7", "\xC3\xA9"};

static std::string random_pattern(std::mt19937 & rng) {
    // groups that are repeated hold a character: what std::regex remembers of empty ones is its own
    static const std::vector<std::string> atoms   = {"a", "b", "[^b]", "[ab]", "\\s", "\\S", "\\d", "\\w", "\\W", ".", "(a)", "(b|a)", "(?:a|bx)", "(a|ab)(x|bx)", "(?:(a)|b)", "(b+?)"};
    static const std::vector<std::string> places  = {"^", "$", "(?=a)", "(?!b)", "(?!ab)", "(?=.*x)", "(?:^|b)"};
    static const std::vector<std::string> repeats = {"", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{1,}"};

    std::string res = rng() % 5 == 0 ? "^" : "";
    for (size_t n = 1 + rng() % 5; n > 0; --n) {
        res += rng() % 5 == 0 ? places[rng() % places.size()] : atoms[rng() % atoms.size()] + repeats[rng() % repeats.size()];
        res += n > 1 && rng() % 8 == 0 ? "|" : "";
    }

    return res + (rng() % 5 == 0 ? "$" : "");
}

static void compare_search(const std::string & pattern, const std::string & text, int64_t & n_texts) {
    std::string why;
    const auto  regex = ftk_regex_compile(pattern, why);
    check(regex != nullptr, "an expression is read: " + pattern + " " + why);
    if (regex == nullptr) {
        return;
    }

    ++n_texts;
    if (ftk_regex_find(*regex, text) != reference_find(pattern, text)) {
        check(false, "std::regex finds " + pattern + " somewhere else in '" + text + "'");
    }
}

static void test_searches() {
    const int64_t count = 10 * get_env("FORETOKEN_FUZZ_COUNT", 300);
    const int64_t first = get_env("FORETOKEN_FUZZ_SEED", 1);

    int64_t n_texts = 0;
    for (int64_t seed = first; seed < first + count; ++seed) {
        std::mt19937 rng((uint32_t) seed);

        std::string text;
        for (size_t n = rng() % 8; n > 0; --n) {
            text += TRIGGER_PIECES[rng() % TRIGGER_PIECES.size()];
        }
        compare_search(TRIGGERS[seed % TRIGGERS.size()], text, n_texts);

        text.clear();
        for (size_t n = rng() % 9; n > 0; --n) {
            text += "abx 1\n"[rng() % 6];
        }
        compare_search(random_pattern(rng), text, n_texts);
    }
    check(n_texts == 2 * count, "texts were searched");

    for (const char * expression : {"(a", "a)", "[a", "a{2", "a{3,2}", "(?<=a)b", "a|*", "\\", "a++", "(a)\\1", "\\b"}) {
        std::string why;
        check(ftk_regex_compile(expression, why) == nullptr && !why.empty(), std::string("an expression that is not supported is refused: ") + expression);
    }

    // in a text where std::regex would call itself a million times, and where each place looks like a beginning
    const size_t length = 1000000;
    for (const std::string & pattern : TRIGGERS) {
        std::string why;
        const auto  regex = ftk_regex_compile(pattern, why);

        for (const char * piece : {" to=a", " ", "a", ">>>all", "<|start|>assistant ", "<|start|>assistant to="}) {
            std::string text;
            while (text.size() < length) {
                text += piece;
            }
            text += "<|start|>assistant to=x<|message|>";

            check(pattern.find("( to=") == std::string::npos || ftk_regex_find(*regex, text) != std::string::npos, "a trigger behind a long text is found: " + pattern);
        }
    }

    printf("%lld texts, searched for triggers: where std::regex finds them\n", (long long) n_texts);
}

// a stack that any thread has, and one that recursion per character exhausts at once
static void test_runs(const std::vector<vocabulary> & vocabularies) {
    const int64_t length = get_env("FORETOKEN_TEXT_LENGTH", 30000);

    std::vector<std::pair<double, std::string>> times;

    for (const vocabulary & v : vocabularies) {
        const std::string name = v.model + (v.pre.empty() ? "" : " " + v.pre);

        llama_model * model = load_vocabulary(v);
        check(model != nullptr, "a vocabulary is loaded: " + name);
        if (model == nullptr) {
            continue;
        }
        const llama_vocab * vocab = llama_model_get_vocab(model);

        std::vector<llama_token> tokens;
        for (const auto & [what, characters] : RUNS) {
            const std::string text = repeat(characters, length);

            const auto    start = std::chrono::steady_clock::now();
            const int32_t n     = tokenize(vocab, text, tokens);
            const double  took  = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

            // BERT drops what it counts as whitespace and as control characters
            check(v.model == "bert" ? n >= 0 : n > 0, name + " has no tokens for " + what);
            times.emplace_back(took, name + ", " + what);
        }

        // special tokens in any number
        std::string markers;
        while ((int64_t) markers.size() < length) {
            markers += "a<br>";
        }
        const auto start = std::chrono::steady_clock::now();
        check(tokenize(vocab, markers, tokens) > 0 && std::count(tokens.begin(), tokens.end(), 3) == (int64_t) markers.size() / 5, name + " finds each marker");
        const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        times.emplace_back(took, name + ", markers");

        llama_model_free(model);
    }

    std::sort(times.rbegin(), times.rend());
    printf("%zu vocabularies, %zu runs of %lld characters; the slowest:\n", vocabularies.size(), RUNS.size() + 1, (long long) length);
    for (size_t i = 0; i < std::min<size_t>(times.size(), get_env("FORETOKEN_SLOWEST", 1)); ++i) {
        printf("  %.3f s  %s\n", times[i].first, times[i].second.c_str());
    }
}

int main() {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);

    const std::string source      = get_source();
    const auto        expressions = get_expressions(source);
    const auto        names       = get_pre_tokenizers(source);
    check(expressions.size() > 30, "the expressions were found in llama-vocab.cpp");
    check(names.size() > 60, "the names were found in llama-vocab.cpp");

    test_words(expressions);
    test_refusals();
    test_searches();

    std::vector<vocabulary> vocabularies;
    for (const std::string & name : names) {
        vocabularies.push_back({"gpt2", name});
    }
    for (const char * model : {"llama", "bert", "t5", "rwkv", "plamo2"}) {
        vocabularies.push_back({model, ""});
    }

    if (const char * only = getenv("FORETOKEN_PRE_TOKENIZER")) {
        vocabularies.erase(std::remove_if(vocabularies.begin(), vocabularies.end(), [&](const vocabulary & v) { return v.pre != only && v.model != only; }), vocabularies.end());
    }
    test_runs(vocabularies);

    printf("%d checks, %d failed\n", n_checks, n_failed);

    return n_failed > 0;
}

#include "foretoken-impl.h"
#include "foretoken-template.h"

#include "chat-peg-parser.h"
#include "chat.h"
#include "common.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cinttypes>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string_view>

//
// markers: texts that the tokenizer turns into control tokens
//
// A chat template writes control tokens as text, and so can a user. To tell them apart, every such text inside of a
// message gets a guard character: a private-use code point that occurs nowhere else. The template carries it along, and
// when the rendered prompt is cut into tokens, a control token that has a guard inside of it did not come from the
// template.
//

struct marker {
    llama_token token;
    std::string text;

    bool user_defined; // llama.cpp finds these in any text, even when it is told not to parse special tokens
    bool lstrip;
    bool rstrip;
    bool is_protected; // must not come from the text of a message
};

// bytes of the first character
static size_t first_char(const std::string & text) {
    size_t n = 1;
    while (n < text.size() && ((uint8_t) text[n] & 0xC0) == 0x80) {
        ++n;
    }

    return n;
}

static bool is_space(char c) {
    return isspace((uint8_t) c) != 0;
}

class marker_set {
public:
    marker_set(const llama_vocab * vocab, const std::string & template_source) {
        const int32_t n_vocab = llama_vocab_n_tokens(vocab);

        for (llama_token token = 0; token < n_vocab; ++token) {
            const int32_t attr = llama_vocab_get_attr(vocab, token);

            if ((attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0) {
                continue;
            }

            marker m;
            m.token        = token;
            m.text         = llama_vocab_get_text(vocab, token);
            m.user_defined = (attr & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0;
            m.lstrip       = (attr & LLAMA_TOKEN_ATTR_LSTRIP) != 0;
            m.rstrip       = (attr & LLAMA_TOKEN_ATTR_RSTRIP) != 0;

            if (m.text.empty()) {
                continue;
            }

            // some vocabularies list ordinary text as user-defined: runs of spaces, HTML tags. What has the shape of a
            // control token, or is written by the template, is markup of the conversation
            const bool has_shape   = m.text.compare(0, 2, "<|") == 0 || m.text.compare(0, 4, "<\xEF\xBD\x9C") == 0;
            const bool in_template = (m.text[0] == '<' || m.text[0] == '[') && template_source.find(m.text) != std::string::npos;

            m.is_protected = !m.user_defined || has_shape || in_template;

            markers.push_back(m);
        }

        // the order in which llama.cpp looks for them
        std::stable_sort(markers.begin(), markers.end(), [](const marker & a, const marker & b) {
            return a.text.size() > b.text.size();
        });

        for (size_t i = 0; i < markers.size(); ++i) {
            by_first_byte[(uint8_t) markers[i].text[0]].push_back(i);
        }
    }

    // offsets where a text needs guards. Assistants write user-defined markers (<think>, <tool_call>) by themselves and
    // templates look for them there, so for assistants only control tokens are protected.
    //   embedded: the template may also put the whole text into the middle of a marker
    std::vector<size_t> find_guards(const std::string & text, bool is_assistant, bool embedded) const {
        std::vector<size_t> res;

        const auto skip = [&](const marker & m) { return !m.is_protected || (is_assistant && m.user_defined); };

        for (size_t i = 0; i < text.size(); ++i) {
            for (const size_t im : by_first_byte[(uint8_t) text[i]]) {
                const marker & m = markers[im];
                if (!skip(m) && text.compare(i, m.text.size(), m.text) == 0) {
                    res.push_back(guard_offset(i, m));
                }
            }
        }

        // templates join texts, after removing the space around them, with what may complete a marker
        size_t begin = 0;
        size_t end   = text.size();
        while (begin < end && is_space(text[begin])) {
            ++begin;
        }
        while (end > begin && is_space(text[end - 1])) {
            --end;
        }

        for (const marker & m : markers) {
            if (skip(m) || begin == end) {
                continue;
            }

            for (const size_t e : {end, text.size()}) {
                for (size_t n = 1; n < m.text.size() && n <= e; ++n) {
                    if (text.compare(e - n, n, m.text, 0, n) == 0) {
                        res.push_back(guard_offset(e - n, m));
                    }
                }
            }

            for (const size_t b : {(size_t) 0, begin}) {
                for (size_t n = 1; n < m.text.size() && b + n <= text.size(); ++n) {
                    if (text.compare(b, n, m.text, m.text.size() - n, n) == 0) {
                        res.push_back(b);
                    }
                }
            }

            if (embedded && end - begin < m.text.size() && m.text.find(text.data() + begin, 1, end - begin) != std::string::npos) {
                res.push_back(begin);
            }
        }

        std::sort(res.begin(), res.end());
        res.erase(std::unique(res.begin(), res.end()), res.end());

        // a prefix of a marker may end inside of a character
        const auto is_inside = [&](size_t i) { return i < text.size() && ((uint8_t) text[i] & 0xC0) == 0x80; };
        res.erase(std::remove_if(res.begin(), res.end(), is_inside), res.end());

        return res;
    }

    // cuts a text into control tokens and the text between them, exactly as llama.cpp does, except that markers with a
    // guard inside of them stay text
    struct fragment {
        llama_token token; // LLAMA_TOKEN_NULL: text
        size_t      begin;
        size_t      end;
    };

    std::vector<fragment> partition(const std::string & text, const std::vector<size_t> & guards) const {
        std::vector<bool> present(markers.size(), false);

        for (size_t i = 0; i < text.size(); ++i) {
            for (const size_t im : by_first_byte[(uint8_t) text[i]]) {
                if (!present[im] && text.compare(i, markers[im].text.size(), markers[im].text) == 0) {
                    present[im] = true;
                }
            }
        }

        std::vector<fragment> res;
        if (!text.empty()) {
            res.push_back({LLAMA_TOKEN_NULL, 0, text.size()});
        }

        // text with a user-defined marker that must stay text is cut at its guard, or the tokenizer would find it
        std::vector<size_t> cuts;

        for (size_t im = 0; im < markers.size(); ++im) {
            if (!present[im]) {
                continue;
            }

            const marker & m = markers[im];

            std::vector<fragment> next;

            for (const fragment & frag : res) {
                if (frag.token != LLAMA_TOKEN_NULL) {
                    next.push_back(frag);
                    continue;
                }

                size_t base = frag.begin;
                size_t from = frag.begin;

                while (base < frag.end) {
                    // the search ends with the fragment: each character is looked at once per marker
                    const size_t match = std::string_view(text).substr(0, frag.end).find(m.text, from);
                    if (match == std::string::npos) {
                        break;
                    }

                    const size_t guard = find_guard_inside(m, match, guards);
                    if (m.is_protected && guard != std::string::npos) {
                        if (m.user_defined) {
                            cuts.push_back(guard);
                        }
                        from = match + 1;
                        continue;
                    }

                    size_t left_end = match;
                    while (m.lstrip && left_end > base && is_space(text[left_end - 1])) {
                        --left_end;
                    }
                    if (left_end > base) {
                        next.push_back({LLAMA_TOKEN_NULL, base, left_end});
                    }

                    next.push_back({m.token, match, match + m.text.size()});

                    base = match + m.text.size();
                    while (m.rstrip && base < frag.end && is_space(text[base])) {
                        ++base;
                    }
                    from = base;
                }

                if (base < frag.end) {
                    next.push_back({LLAMA_TOKEN_NULL, base, frag.end});
                }
            }

            res = std::move(next);
        }

        std::sort(cuts.begin(), cuts.end());

        std::vector<fragment> pieces;

        auto cut = cuts.begin();
        for (fragment frag : res) {
            for (; cut != cuts.end() && *cut < frag.end; ++cut) {
                if (frag.token == LLAMA_TOKEN_NULL && frag.begin < *cut) {
                    pieces.push_back({LLAMA_TOKEN_NULL, frag.begin, *cut});
                    frag.begin = *cut;
                }
            }
            pieces.push_back(frag);
        }

        return pieces;
    }

private:
    // inside of the marker, so that only this marker is stopped by it. A marker of one character has no inside
    static size_t guard_offset(size_t match, const marker & m) {
        const size_t n = first_char(m.text);

        return n < m.text.size() ? match + n : match;
    }

    static size_t find_guard_inside(const marker & m, size_t match, const std::vector<size_t> & guards) {
        const bool has_inside = first_char(m.text) < m.text.size();

        const auto it = std::lower_bound(guards.begin(), guards.end(), has_inside ? match + 1 : match);

        return it != guards.end() && *it < match + m.text.size() ? *it : std::string::npos;
    }

    std::vector<marker> markers;

    std::array<std::vector<size_t>, 256> by_first_byte;
};

//
// chat
//

struct ftk_chat {
    const llama_model * model = nullptr;
    const llama_vocab * vocab = nullptr;

    int32_t n_vocab = 0;

    // rendering moves parts of the parsed template around
    mutable std::mutex mutex;

    common_chat_templates_ptr templates;

    std::string source;

    std::unique_ptr<marker_set> markers;
};

struct ftk_chat_prompt {
    std::string text;

    std::vector<llama_token> tokens;
    std::vector<uint8_t>     origins;

    common_chat_params        params;
    common_chat_parser_params parser;

    ftk_json grammar_triggers;

    // what the grammar expects in front of the answer: it begins with the end of the prompt
    std::string grammar_prefix;

    // texts at which the parser may go from one part of an answer to the next
    std::vector<std::string> markers;

    // the one of them that is a brace or bracket, with which templates without markers of their own begin calls; or 0
    char call_bracket = 0;
};

// templates are 1 to 30 KB; what is read of them takes time in proportion to the square of their size
static constexpr size_t TEMPLATE_SIZE_MAX = 256 * 1024;

static void check_template_size(const char * source) {
    if (source != nullptr && strlen(source) > TEMPLATE_SIZE_MAX) {
        ftk_fail(FTK_TEMPLATE_FAILED, "the chat template has %zu bytes; at most %zu are read", strlen(source), TEMPLATE_SIZE_MAX);
    }
}

// common/jinja and its callers catch exceptions in places, so what stopped a template is looked for behind them
static void check_budget(const ftk_template_budget & budget) {
    if (budget.is_cancelled()) {
        ftk_fail(FTK_CANCELLED, "rendering the conversation was cancelled");
    }
    if (!budget.reached().empty()) {
        ftk_fail(FTK_TEMPLATE_FAILED, "the chat template was stopped: %s", budget.reached().c_str());
    }
}

ftk_status ftk_chat_create(const ftk_model * model, const char * template_override, ftk_chat ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(model);
        ftk_require_tokenizer(*model);

        const std::string source = template_override != nullptr ? template_override : "";

        if (template_override != nullptr && source.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'template_override' is empty; pass NULL for the model's own template");
        }
        if (source.empty() && llama_model_chat_template(model->model, nullptr) == nullptr && llama_model_chat_template(model->model, "tool_use") == nullptr) {
            ftk_fail(FTK_UNSUPPORTED, "the model has no chat template; pass one as 'template_override'");
        }

        for (const char * text : {template_override, llama_model_chat_template(model->model, nullptr), llama_model_chat_template(model->model, "tool_use")}) {
            check_template_size(text);
        }

        auto res = std::make_unique<ftk_chat>();

        const ftk_template_budget budget;

        res->model   = model->model;
        res->vocab   = model->vocab;
        res->n_vocab = model->n_vocab;

        try {
            res->templates = common_chat_templates_init(model->model, source);
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & err) {
            check_budget(budget);

            std::string why = err.what();

            // the exception that arrives here has lost its text
            try {
                const char *      own = llama_model_chat_template(model->model, nullptr);
                const std::string own_source(own != nullptr ? own : "");

                const common_chat_template again(source.empty() ? own_source : source, "", "");
            } catch (const std::exception & err_again) {
                why = err_again.what();
            }

            ftk_fail(FTK_TEMPLATE_FAILED, "the chat template cannot be parsed: %s", why.c_str());
        }

        check_budget(budget);

        res->source  = common_chat_templates_source(res->templates.get()) + common_chat_templates_source(res->templates.get(), "tool_use");
        res->markers = std::make_unique<marker_set>(model->vocab, res->source);

        *out = res.release();
    });
}

void ftk_chat_free(ftk_chat * chat) {
    ftk_guard(__func__, [&]() { delete chat; });
}

//
// request
//

static const char * ROLES[] = {"system", "developer", "user", "assistant", "tool"};

static uint8_t get_origin(const std::string & role) {
    if (role == "user") {
        return FTK_ORIGIN_USER;
    }
    if (role == "assistant") {
        return FTK_ORIGIN_ASSISTANT;
    }
    if (role == "tool") {
        return FTK_ORIGIN_TOOL;
    }

    return FTK_ORIGIN_SYSTEM;
}

static void check_message(const ftk_json & json, size_t index) {
    const std::string what = "messages[" + std::to_string(index) + "]";

    const ftk_config message(json, what.c_str(), {"role", "content", "reasoning_content", "name", "tool_calls", "tool_call_id"});

    const std::string role = message.get_string("role", "");

    // templates put the role into the text as it is
    if (std::none_of(std::begin(ROLES), std::end(ROLES), [&](const char * known) { return role == known; })) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'role' in %s is %s; possible: system, developer, user, assistant, tool", what.c_str(), ftk_quote(role).c_str());
    }

    for (const char * key : {"reasoning_content", "name", "tool_call_id"}) {
        if (json.contains(key) && !json.at(key).is_string()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'%s' in %s must be a string", key, what.c_str());
        }
    }

    if (message.has("content")) {
        const auto & content = message.at("content");

        if (content.is_array()) {
            for (const auto & item : content) {
                const ftk_config part(item, ("content of " + what).c_str(), {"type", "text"});
                if (part.get_string("type", "") != "text") {
                    ftk_fail(FTK_INVALID_ARGUMENT, "the content of %s has a part that is not of the type \"text\": %s", what.c_str(), ftk_quote(item.dump()).c_str());
                }
                if (!part.has("text")) {
                    ftk_fail(FTK_INVALID_ARGUMENT, "the content of %s has a part without 'text'", what.c_str());
                }
                part.get_string("text", "");
            }
        } else if (!content.is_string()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'content' in %s must be a string or an array of parts", what.c_str());
        }
    }

    const ftk_json tool_calls = message.get_array("tool_calls");

    if (!tool_calls.empty() && role != "assistant") {
        ftk_fail(FTK_INVALID_ARGUMENT, "%s has 'tool_calls', but its role is '%s'; only the assistant calls tools", what.c_str(), role.c_str());
    }
    if (tool_calls.empty() && !message.has("content")) {
        ftk_fail(FTK_INVALID_ARGUMENT, "%s has neither 'content' nor 'tool_calls'", what.c_str());
    }

    for (const auto & item : tool_calls) {
        const ftk_config call(item, ("tool call of " + what).c_str(), {"id", "type", "function", "index"});
        if (call.get_string("type", "function") != "function") {
            ftk_fail(FTK_INVALID_ARGUMENT, "a tool call of %s is not of the type \"function\"", what.c_str());
        }
        call.get_string("id", "");

        const ftk_config function(call.get_object("function"), ("tool call of " + what).c_str(), {"name", "arguments"});
        if (function.get_string("name", "").empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "a tool call of %s has no function name", what.c_str());
        }
        if (function.has("arguments") && !function.at("arguments").is_string() && !function.at("arguments").is_object()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the arguments of a tool call of %s must be an object, or one as JSON text", what.c_str());
        }
    }
}

static void check_tools(const ftk_json & tools) {
    for (size_t i = 0; i < tools.size(); ++i) {
        const std::string what = "tools[" + std::to_string(i) + "]";

        const ftk_config tool(tools[i], what.c_str(), {"type", "function"});
        if (tool.get_string("type", "") != "function") {
            ftk_fail(FTK_INVALID_ARGUMENT, "'type' in %s must be \"function\"", what.c_str());
        }

        const ftk_config function(tool.get_object("function"), what.c_str(), {"name", "description", "parameters", "grammar_parameters", "strict"});
        if (function.get_string("name", "").empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "%s has no function name", what.c_str());
        }
        function.get_string("description", "");
        function.get_object("parameters");
        function.get_object("grammar_parameters");
    }
}

// the tools as the template shows them, or as the grammar and the parser of answers take them
static ftk_json select_parameters(const ftk_json & tools, bool for_grammar) {
    ftk_json res = tools;

    for (auto & tool : res) {
        auto & function = tool["function"];
        if (function.contains("grammar_parameters")) {
            if (for_grammar) {
                function["parameters"] = function["grammar_parameters"];
            }
            function.erase("grammar_parameters");
        }
    }

    return res;
}

// what begins or ends a part in the parser of answers: the delimiters that it reads up to, and its own markup
static void collect_markers(const ftk_json & json, std::vector<std::string> & markers) {
    if (json.is_object() && json.contains("delimiters") && json.at("delimiters").is_array()) {
        for (const auto & item : json.at("delimiters")) {
            if (item.is_string() && !item.get<std::string>().empty()) {
                markers.push_back(item.get<std::string>());
            }
        }
    }
    if (json.is_object() && json.contains("literal") && json.at("literal").is_string()) {
        const std::string literal = json.at("literal").get<std::string>();

        // names of functions and arguments occur in texts as well, and none of them begins a part
        const auto is_name = [](char c) { return isalnum((uint8_t) c) != 0 || c == '_' || is_space(c); };
        if (literal.size() > 1 && !std::all_of(literal.begin(), literal.end(), is_name)) {
            markers.push_back(literal);
        }
    }
    if (json.is_structured()) {
        for (const auto & item : json) {
            collect_markers(item, markers);
        }
    }
}

// puts guards into the texts of a request
class guarder {
public:
    guarder(const marker_set & markers, std::string guard) :
        markers(markers),
        guard(std::move(guard)) {}

    std::string text(const std::string & text, bool is_assistant, bool embedded) {
        const std::vector<size_t> offsets = markers.find_guards(text, is_assistant, embedded);

        std::string res;
        size_t      last = 0;

        for (const size_t offset : offsets) {
            res.append(text, last, offset - last);
            res += guard;
            last = offset;
        }
        res.append(text, last, std::string::npos);

        n_guards += offsets.size();

        return res;
    }

    // strings and keys of any JSON
    ftk_json tree(const ftk_json & json, bool is_assistant) {
        if (json.is_string()) {
            return text(json.get<std::string>(), is_assistant, false);
        }
        if (json.is_array()) {
            ftk_json res = ftk_json::array();
            for (const auto & item : json) {
                res.push_back(tree(item, is_assistant));
            }
            return res;
        }
        if (json.is_object()) {
            ftk_json res = ftk_json::object();
            for (const auto & item : json.items()) {
                res[text(item.key(), is_assistant, false)] = tree(item.value(), is_assistant);
            }
            return res;
        }

        return json;
    }

    // arguments of a tool call as JSON text: templates may parse them, and an escape can hide a marker from a search
    std::string arguments(const ftk_json & json) {
        if (!json.is_string()) {
            return tree(json, true).dump();
        }

        const std::string raw = json.get<std::string>();

        ftk_json parsed;
        try {
            parsed = ftk_parse_json(raw.c_str(), "arguments of a tool call", true);
        } catch (const ftk_error &) {
            if (ftk_json::accept(raw)) {
                throw; // nested too deep for what works on it later, which is recursive
            }
            // whatever it is, only its characters count
            return text(raw, true, true);
        }

        const size_t   n_before = n_guards;
        const ftk_json guarded  = tree(parsed, true);

        return n_guards > n_before ? guarded.dump() : text(raw, true, true);
    }

    ftk_json message(const ftk_json & json) {
        ftk_json res = json;

        const bool is_assistant = json.at("role") == "assistant";

        for (const char * key : {"content", "reasoning_content", "name", "tool_call_id"}) {
            if (!json.contains(key)) {
                continue;
            }

            const auto & value = json.at(key);
            if (value.is_string()) {
                res[key] = text(value.get<std::string>(), is_assistant, true);
            } else if (value.is_array()) {
                for (auto & part : res[key]) {
                    part["text"] = text(part.at("text").get<std::string>(), is_assistant, true);
                }
            }
        }

        if (res.contains("tool_calls") && res["tool_calls"].is_null()) {
            res.erase("tool_calls");
        }
        if (res.contains("tool_calls")) {
            for (auto & call : res["tool_calls"]) {
                call["type"] = "function";
                if (call.contains("id") && call["id"].is_null()) {
                    call.erase("id");
                }
                if (call.contains("id")) {
                    call["id"] = text(call["id"].get<std::string>(), true, true);
                }

                auto & function  = call["function"];
                function["name"] = text(function["name"].get<std::string>(), true, true);

                const bool has_arguments = function.contains("arguments") && !function["arguments"].is_null();
                function["arguments"]    = has_arguments ? arguments(function["arguments"]) : "{}";
            }
        }

        return res;
    }

    size_t n_guards = 0;

private:
    const marker_set & markers;
    const std::string  guard;
};

static void collect_texts(const ftk_json & json, std::string & texts) {
    if (json.is_string()) {
        texts += json.get<std::string>();
    } else if (json.is_array()) {
        for (const auto & item : json) {
            collect_texts(item, texts);
        }
    } else if (json.is_object()) {
        for (const auto & item : json.items()) {
            texts += item.key();
            collect_texts(item.value(), texts);
        }
    }
}

// a private-use character that occurs in none of the texts
static std::string choose_guard(const std::string & request, const std::string & source) {
    static thread_local std::mt19937 rng{std::random_device{}()};

    // planes 15 and 16, without their two noncharacters
    std::uniform_int_distribution<uint32_t> dist(0, 0xFFFD);

    for (int i = 0; i < 1000; ++i) {
        const uint32_t cpt = 0xF0000 + (rng() % 2) * 0x10000 + dist(rng);

        const std::string guard = {
                (char) (0xF0 | (cpt >> 18)),
                (char) (0x80 | ((cpt >> 12) & 0x3F)),
                (char) (0x80 | ((cpt >> 6) & 0x3F)),
                (char) (0x80 | (cpt & 0x3F)),
        };

        if (request.find(guard) == std::string::npos && source.find(guard) == std::string::npos) {
            return guard;
        }
    }

    ftk_fail(FTK_INVALID_ARGUMENT, "the messages hold too many different private-use characters");
}

// removes the guards and returns where they were
static std::vector<size_t> strip_guards(std::string & text, const std::string & guard) {
    std::vector<size_t> res;

    std::string stripped;
    size_t      last = 0;

    for (size_t i = text.find(guard); i != std::string::npos; i = text.find(guard, last)) {
        stripped.append(text, last, i - last);
        res.push_back(stripped.size());
        last = i + guard.size();
    }
    stripped.append(text, last, std::string::npos);

    text = std::move(stripped);

    return res;
}

//
// rendering
//

static common_chat_params apply_template(const ftk_chat & chat, const common_chat_templates_inputs & inputs, const ftk_template_budget & budget) {
    try {
        std::lock_guard<std::mutex> lock(chat.mutex);

        common_chat_params params = common_chat_templates_apply(chat.templates.get(), inputs);
        check_budget(budget);

        return params;
    } catch (const ftk_error &) {
        throw;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & err) {
        check_budget(budget);

        std::string why = err.what();

        const std::string wrapper = "Automatic parser generation failed: ";
        const size_t      i       = why.rfind(wrapper);
        if (i != std::string::npos) {
            why = why.substr(i + wrapper.size());
        }

        if (why.find("JSON schema conversion failed") != std::string::npos) {
            ftk_fail(FTK_GRAMMAR_FAILED, "a JSON schema of the request cannot be turned into a grammar: %s", why.c_str());
        }

        ftk_fail(FTK_TEMPLATE_FAILED, "the chat template rejects the conversation: %s", why.c_str());
    }
}

// std::string::find compares anew from each place, which takes minutes where a long content of equal characters is almost there
static size_t find_text(const std::string & text, std::string_view what, size_t from) {
    if (what.empty()) {
        return from <= text.size() ? from : std::string::npos;
    }

    // how much of 'what' is still there when the next character is not the one that follows (Knuth, Morris, Pratt)
    std::vector<size_t> shorter(what.size(), 0);
    for (size_t i = 1, n = 0; i < what.size(); ++i) {
        while (n > 0 && what[i] != what[n]) {
            n = shorter[n - 1];
        }
        n += what[i] == what[n] ? 1 : 0;
        shorter[i] = n;
    }

    for (size_t i = from, n = 0; i < text.size(); ++i) {
        while (n > 0 && text[i] != what[n]) {
            n = shorter[n - 1];
        }
        n += text[i] == what[n] ? 1 : 0;
        if (n == what.size()) {
            return i + 1 - n;
        }
    }

    return std::string::npos;
}

// origin of each byte: the messages' contents are looked for in order. What is not found in one piece (a template may
// change it) counts as the template's
static std::vector<uint8_t> find_origins(const std::string & text, const ftk_json & messages) {
    std::vector<uint8_t> res(text.size(), FTK_ORIGIN_TEMPLATE);

    size_t cursor = 0;

    const auto mark = [&](const std::string & content, uint8_t origin) {
        size_t begin = 0;
        size_t end   = content.size();

        size_t i = find_text(text, content, cursor);
        if (i == std::string::npos) {
            while (begin < end && is_space(content[begin])) {
                ++begin;
            }
            while (end > begin && is_space(content[end - 1])) {
                --end;
            }
            i = find_text(text, std::string_view(content).substr(begin, end - begin), cursor);
        }

        if (i == std::string::npos || begin == end) {
            return;
        }

        std::fill(res.begin() + i, res.begin() + i + (end - begin), origin);
        cursor = i + (end - begin);
    };

    for (const auto & message : messages) {
        const uint8_t origin = get_origin(message.at("role").get<std::string>());

        if (!message.contains("content")) {
            continue;
        }

        const auto & content = message.at("content");
        if (content.is_string()) {
            mark(content.get<std::string>(), origin);
        } else if (content.is_array()) {
            for (const auto & part : content) {
                mark(part.at("text").get<std::string>(), origin);
            }
        }
    }

    return res;
}

// the one origin of the bytes [begin, end), or the template's
static uint8_t get_range_origin(const std::vector<uint8_t> & origins, size_t begin, size_t end) {
    end = std::min(end, origins.size());
    if (begin >= end) {
        return FTK_ORIGIN_TEMPLATE;
    }

    const bool same = std::all_of(origins.begin() + begin, origins.begin() + end, [&](uint8_t origin) { return origin == origins[begin]; });

    return same ? origins[begin] : (uint8_t) FTK_ORIGIN_TEMPLATE;
}

static void tokenize_prompt(const ftk_chat & chat, const std::vector<size_t> & guards, const std::vector<uint8_t> & origins, ftk_chat_prompt & prompt) {
    for (const auto & frag : chat.markers->partition(prompt.text, guards)) {
        if (frag.token != LLAMA_TOKEN_NULL) {
            prompt.tokens.push_back(frag.token);
            prompt.origins.push_back(llama_vocab_is_control(chat.vocab, frag.token) ? (uint8_t) FTK_ORIGIN_TEMPLATE : get_range_origin(origins, frag.begin, frag.end));
            continue;
        }

        const std::string_view text(prompt.text.data() + frag.begin, frag.end - frag.begin);

        const std::vector<llama_token> tokens = ftk_tokenize_text(chat.vocab, text, false, false);

        std::vector<size_t> sizes;
        size_t              n_bytes = 0;
        for (const llama_token token : tokens) {
            sizes.push_back(ftk_token_to_bytes(chat.vocab, token, true).size());
            n_bytes += sizes.back();
        }

        // some tokenizers put a space in front. Others change the text; their tokens are spread over it evenly
        const size_t n_extra = n_bytes == text.size() + 1 ? 1 : 0;
        const bool   exact   = n_bytes == text.size() + n_extra;

        size_t n_done = 0;
        for (size_t i = 0; i < tokens.size(); ++i) {
            const size_t n_next = n_done + sizes[i];

            size_t begin = n_done - std::min(n_done, n_extra);
            size_t end   = n_next - std::min(n_next, n_extra);
            if (!exact) {
                begin = n_done * text.size() / std::max<size_t>(1, n_bytes);
                end   = n_next * text.size() / std::max<size_t>(1, n_bytes);
            }

            prompt.tokens.push_back(tokens[i]);
            prompt.origins.push_back(get_range_origin(origins, frag.begin + begin, frag.begin + std::max(end, begin + 1)));

            n_done = n_next;
        }
    }

    const llama_token bos = llama_vocab_bos(chat.vocab);
    if (llama_vocab_get_add_bos(chat.vocab) && bos != LLAMA_TOKEN_NULL && (prompt.tokens.empty() || prompt.tokens[0] != bos)) {
        prompt.tokens.insert(prompt.tokens.begin(), bos);
        prompt.origins.insert(prompt.origins.begin(), (uint8_t) FTK_ORIGIN_TEMPLATE);
    }
}

static ftk_json make_triggers(const ftk_chat & chat, const common_chat_params & params) {
    ftk_json res = ftk_json::array();

    for (const auto & trigger : params.grammar_triggers) {
        const char * type  = "word";
        llama_token  token = trigger.token;

        switch (trigger.type) {
            case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
                type = "token";
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
                type = "word";
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
                type = "pattern";
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
                type = "pattern_full";
                break;
        }

        // a word that is one token is best recognised as that token
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
            const auto tokens = ftk_tokenize_text(chat.vocab, trigger.value, false, true);
            if (tokens.size() == 1) {
                type  = "token";
                token = tokens[0];
            }
        }

        res.push_back({
                {"type", type},
                {"value", trigger.value},
                {"token", token},
        });
    }

    return res;
}

ftk_status ftk_chat_render(const ftk_chat * chat, const char * request_json, const ftk_cancel * cancel, ftk_chat_prompt ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(chat);

        const ftk_config request(request_json, "chat request", {"messages", "tools", "tool_choice", "parallel_tool_calls", "json_schema", "grammar", "add_generation_prompt", "enable_thinking", "template_kwargs", "continue_text"}, false);

        const ftk_json messages = request.get_array("messages");
        if (messages.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'messages' must hold at least one message");
        }
        for (size_t i = 0; i < messages.size(); ++i) {
            check_message(messages[i], i);
        }

        const ftk_json tools = request.get_array("tools");
        check_tools(tools);

        const std::string tool_choice = request.get_string("tool_choice", "auto");
        if (tool_choice != "auto" && tool_choice != "none" && tool_choice != "required") {
            ftk_fail(FTK_INVALID_ARGUMENT, "'tool_choice' is %s; possible: auto, none, required", ftk_quote(tool_choice).c_str());
        }
        if (tool_choice == "required" && tools.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'tool_choice' is \"required\", but there are no 'tools'");
        }

        const std::string grammar = request.get_string("grammar", "");
        if (!grammar.empty() && (request.has("json_schema") || (!tools.empty() && tool_choice != "none"))) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'grammar' excludes 'json_schema' and 'tools', which bring grammars of their own");
        }
        if (request.has("json_schema") && !request.at("json_schema").is_object()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'json_schema' must be an object, not %s", request.at("json_schema").type_name());
        }
        if (request.has("json_schema")) {
            ftk_check_schema(request.at("json_schema"));
        }

        const ftk_json    template_kwargs = request.get_object("template_kwargs");
        const std::string continue_text   = request.get_string("continue_text", "");

        // the texts as they are after all JSON escapes
        std::string all_texts = continue_text;
        collect_texts(messages, all_texts);
        collect_texts(tools, all_texts);
        collect_texts(template_kwargs, all_texts);

        const std::string guard = choose_guard(all_texts, chat->source);

        guarder guards(*chat->markers, guard);

        ftk_json guarded_messages = ftk_json::array();
        for (const auto & message : messages) {
            guarded_messages.push_back(guards.message(message));
        }

        const ftk_json guarded_tools = guards.tree(select_parameters(tools, false), false);

        common_chat_templates_inputs inputs;

        inputs.messages              = common_chat_msgs_parse_oaicompat(ftk_to_common_json(guarded_messages));
        inputs.tools                 = common_chat_tools_parse_oaicompat(ftk_to_common_json(guarded_tools));
        inputs.tool_choice           = common_chat_tool_choice_parse_oaicompat(tool_choice);
        inputs.parallel_tool_calls   = request.get_bool("parallel_tool_calls", false);
        inputs.add_generation_prompt = request.get_bool("add_generation_prompt", true);
        inputs.enable_thinking       = request.get_bool("enable_thinking", true);
        inputs.reasoning_format      = COMMON_REASONING_FORMAT_AUTO;
        inputs.grammar               = grammar;
        inputs.json_schema           = request.has("json_schema") ? request.at("json_schema").dump() : "";
        inputs.use_jinja             = true;

        for (const auto & item : template_kwargs.items()) {
            inputs.chat_template_kwargs[item.key()] = guards.tree(item.value(), false).dump();
        }

        auto prompt = std::make_unique<ftk_chat_prompt>();

        const ftk_template_budget budget(cancel != nullptr ? &cancel->flag : nullptr, messages.size() + tools.size(), strlen(request_json));

        // the template shows the tools as the request has them. The grammar and the parser are about their normalised schemas
        // and their names without guards, and with no choice of tools llama.cpp looks at no schema
        if (!tools.empty()) {
            inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
        }

        prompt->params = apply_template(*chat, inputs, budget);
        prompt->text   = prompt->params.prompt;

        if (!tools.empty() && tool_choice != "none") {
            for (const auto & tool : select_parameters(tools, true)) {
                ftk_check_schema(tool.at("function").value("parameters", ftk_json::object()));
            }

            inputs.tools       = common_chat_tools_parse_oaicompat(ftk_to_common_json(select_parameters(tools, true)));
            inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(tool_choice);
            prompt->params     = apply_template(*chat, inputs, budget);
        }

        ftk_narrow_char_rule(prompt->params.grammar);

        // a grammar of llama.cpp's describes the whole message, also the beginning that the template has written; one of the
        // request describes what is generated, and a lazy one begins at its trigger
        if (!prompt->params.grammar.empty() && grammar.empty() && !prompt->params.grammar_lazy) {
            prompt->grammar_prefix = prompt->params.generation_prompt;
        }

        // templates and their handlers do not all make use of a grammar of the request
        if (prompt->params.grammar.empty() && !grammar.empty()) {
            prompt->params.grammar      = grammar;
            prompt->params.grammar_lazy = false;
        }
        // nor of a schema that allows any JSON
        if (prompt->params.grammar.empty() && request.has("json_schema")) {
            prompt->params.grammar      = ftk_schema_to_grammar(request.at("json_schema"));
            prompt->params.grammar_lazy = false;
        }

        prompt->text += guards.text(continue_text, true, true);

        const std::vector<size_t> guard_offsets = strip_guards(prompt->text, guard);

        if (prompt->text.empty()) {
            ftk_fail(FTK_TEMPLATE_FAILED, "the chat template renders nothing");
        }

        std::vector<uint8_t> origins = find_origins(prompt->text, messages);
        std::fill(origins.end() - std::min(origins.size(), continue_text.size()), origins.end(), (uint8_t) FTK_ORIGIN_ASSISTANT);

        tokenize_prompt(*chat, guard_offsets, origins, *prompt);

        prompt->grammar_triggers = make_triggers(*chat, prompt->params);

        prompt->parser                  = common_chat_parser_params(prompt->params);
        prompt->parser.reasoning_format = inputs.reasoning_format;
        prompt->parser.parse_tool_calls = !tools.empty() && tool_choice != "none";
        if (!prompt->params.parser.empty()) {
            prompt->parser.parser.load(prompt->params.parser);

            collect_markers(ftk_json::parse(prompt->params.parser), prompt->markers);
            std::sort(prompt->markers.begin(), prompt->markers.end());
            prompt->markers.erase(std::unique(prompt->markers.begin(), prompt->markers.end()), prompt->markers.end());

            for (const auto & marker : prompt->markers) {
                if (marker == "{" || marker == "[") {
                    prompt->call_bracket = marker[0];
                }
            }
        }

        *out = prompt.release();
    });
}

void ftk_chat_prompt_free(ftk_chat_prompt * prompt) {
    ftk_guard(__func__, [&]() { delete prompt; });
}

int64_t ftk_chat_prompt_n_tokens(const ftk_chat_prompt * prompt) {
    return ftk_guard_value<int64_t>(__func__, 0, [&]() {
        FTK_REQUIRE_NOT_NULL(prompt);
        return (int64_t) prompt->tokens.size();
    });
}

ftk_status ftk_chat_prompt_tokens(const ftk_chat_prompt * prompt, int32_t * tokens, uint8_t * origins, int64_t capacity) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(prompt);

        if (capacity < (int64_t) prompt->tokens.size()) {
            ftk_fail(FTK_BUFFER_TOO_SMALL, "the prompt has %zu tokens, the buffer holds %" PRId64, prompt->tokens.size(), capacity);
        }
        FTK_REQUIRE_NOT_NULL(tokens);

        std::copy(prompt->tokens.begin(), prompt->tokens.end(), tokens);
        if (origins != nullptr) {
            std::copy(prompt->origins.begin(), prompt->origins.end(), origins);
        }
    });
}

ftk_status ftk_chat_prompt_info(const ftk_chat_prompt * prompt, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(prompt);

        ftk_write_json({
                               {"text", prompt->text},
                               {"grammar", prompt->params.grammar},
                               {"grammar_lazy", prompt->params.grammar_lazy},
                               {"grammar_triggers", prompt->grammar_triggers},
                               {"grammar_prefix", prompt->grammar_prefix},
                               {"preserved_tokens", prompt->params.preserved_tokens},
                               {"stops", prompt->params.additional_stops},
                               {"markers", prompt->markers},
                               {"format", common_chat_format_name(prompt->params.format)},
                               {"supports_thinking", prompt->params.supports_thinking},
                       },
                buf, capacity, n_needed);
    });
}

//
// parsing what was generated
//

// llama.cpp's parser of answers is recursive along nested JSON
static const int PARSE_DEPTH_MAX = 500;

static void check_nesting(std::string_view text) {
    int depth = 0;
    for (const char c : text) {
        if (c == '{' || c == '[') {
            if (++depth > PARSE_DEPTH_MAX) {
                ftk_fail(FTK_TEMPLATE_FAILED, "the generated text nests brackets deeper than %d", PARSE_DEPTH_MAX);
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        }
    }
}

struct parsed_answer {
    common_chat_msg message;

    struct call_place {
        size_t begin;     // in the text
        bool   is_closed; // its arguments do not go on
    };

    // of each call of the message
    std::vector<call_place> calls;

    // the last part that was read: "content", "reasoning", "call" or "", and where it ends in the text
    std::string last;
    size_t      last_end = 0;
};

// false when the text does not follow the format; then `out` is what comes before the place
static bool try_parse(const ftk_chat_prompt & prompt, const std::string & text, common_peg_parse_flags flags, parsed_answer & out) {
    const std::string & prefix = prompt.parser.generation_prompt;

    static const common_peg_arena content_only = build_chat_peg_parser([](common_chat_peg_builder & p) { return p.content(p.rest()) + p.end(); });

    const common_peg_arena & parser = prompt.parser.parser.empty() ? content_only : prompt.parser.parser;

    common_peg_parse_context ctx(prefix + text, flags);

    const auto result = parser.parse(ctx);

    out              = {};
    out.message.role = "assistant";

    std::unique_ptr<common_chat_peg_mapper> mapper;
    switch (prompt.parser.format) {
        case COMMON_CHAT_FORMAT_PEG_GEMMA4:
            mapper = std::make_unique<common_chat_peg_gemma4_mapper>(out.message);
            break;
        case COMMON_CHAT_FORMAT_PEG_MINIMAX_M3:
            mapper = std::make_unique<common_chat_peg_minimax_m3_mapper>(out.message);
            break;
        default:
            mapper = std::make_unique<common_chat_peg_mapper>(out.message);
            break;
    }
    mapper->from_ast(ctx.ast, result);

    const auto offset = [&](size_t i) { return i - std::min(i, prefix.size()); };

    bool tool_is_closed = false;
    bool has_name       = false;

    ctx.ast.visit(result, [&](const common_peg_ast_node & node) {
        if (node.tag == common_chat_peg_builder::CONTENT || node.tag == common_chat_peg_builder::REASONING) {
            const bool is_content = node.tag == common_chat_peg_builder::CONTENT;

            out.last     = is_content ? "content" : "reasoning";
            out.last_end = offset(node.end);

            // what the template has written is no part of the answer
            if (node.start < prefix.size()) {
                std::string & part = is_content ? out.message.content : out.message.reasoning_content;
                part.erase(0, std::min(part.size(), std::min(node.end, prefix.size()) - node.start));
            }
        } else if (node.tag == common_chat_peg_builder::TOOL) {
            tool_is_closed = !node.is_partial;
        } else if (node.tag == common_chat_peg_builder::TOOL_OPEN) {
            out.calls.push_back({offset(node.start), tool_is_closed});
            tool_is_closed = false;
            has_name       = false;
        } else if (node.tag == common_chat_peg_builder::TOOL_NAME) {
            out.last = "call";
            has_name = true;
        } else if (!out.calls.empty() && !node.is_partial) {
            // arguments that are JSON end by themselves, others with what closes the call
            const bool is_json = node.tag == common_chat_peg_builder::TOOL_ARGS && node.text.size() > 1 && node.text.front() == '{' && node.text.back() == '}';
            if (is_json || node.tag == common_chat_peg_builder::TOOL_CLOSE) {
                out.calls.back().is_closed = true;
            }
        }
        if (out.last == "call" && has_name) {
            out.last_end = std::max(out.last_end, offset(node.end));
        }
    });

    return !result.fail();
}

// a bracket in a text may begin a call or not. The parser of a template whose calls begin with nothing else takes every one for
// a call, so those that are none are hidden from it
static bool parse_with_brackets(const ftk_chat_prompt & prompt, std::string text, bool is_partial, parsed_answer & out) {
    const char bracket = prompt.call_bracket;

    // a byte that does not occur, of the same size
    char hidden = 0;
    for (char c = 1; c < 9 && hidden == 0; ++c) {
        hidden = text.find(c) == std::string::npos ? c : 0;
    }
    if (bracket == 0 || hidden == 0) {
        return try_parse(prompt, text, COMMON_PEG_PARSE_FLAG_LENIENT, out);
    }

    // each is tried from left to right, and a text with this many that only look like calls is read as text
    const int n_tries_max = 32;

    size_t from = 0;
    bool   ok   = false;

    for (int i = 0; i <= n_tries_max && !ok; ++i) {
        // a call goes on with a quoted name, or with the bracket of one
        while ((from = text.find(bracket, from)) != std::string::npos) {
            const size_t next = text.find_first_not_of(" \t\r\n", from + 1);
            if (i < n_tries_max && ((next == std::string::npos && is_partial) || (next != std::string::npos && (text[next] == '"' || (bracket == '[' && text[next] == '{'))))) {
                break;
            }
            text[from] = hidden;
        }

        ok = try_parse(prompt, text, COMMON_PEG_PARSE_FLAG_LENIENT, out);

        if (from == std::string::npos) {
            break;
        }
        if (!ok) {
            text[from] = hidden;
        }
    }

    const auto restore = [&](std::string & part) { std::replace(part.begin(), part.end(), hidden, bracket); };

    restore(out.message.content);
    restore(out.message.reasoning_content);
    for (auto & call : out.message.tool_calls) {
        restore(call.arguments);
    }

    return ok;
}

ftk_status ftk_chat_parse(const ftk_chat_prompt * prompt, const char * text, int64_t n_bytes, int32_t is_partial,
        char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(prompt);

        if (n_bytes < 0) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'n_bytes' must not be negative, got %" PRId64, n_bytes);
        }
        if (n_bytes > 0) {
            FTK_REQUIRE_NOT_NULL(text);
        }

        std::string_view view(text != nullptr ? text : "", n_bytes);

        const size_t i_invalid = ftk_utf8_find_invalid(view);
        if (i_invalid != std::string::npos) {
            // a text that still grows may end inside of a character
            if (is_partial == 0 || view.size() - i_invalid > 3) {
                ftk_fail(FTK_INVALID_ARGUMENT, "the text is not UTF-8: byte 0x%02x at offset %zu", (uint8_t) view[i_invalid], i_invalid);
            }
            view = view.substr(0, i_invalid);
        }

        check_nesting(view);

        parsed_answer answer;
        bool          complete = false;

        try {
            const std::string input(view);

            const bool ok = parse_with_brackets(*prompt, input, is_partial != 0, answer);

            // whether the text may end here. Where it may, reasoning that was not closed can turn out to hold calls
            parsed_answer strict;
            if (is_partial == 0 && try_parse(*prompt, input, COMMON_PEG_PARSE_FLAG_NONE, strict)) {
                complete = true;
                if (!ok || strict.message.tool_calls.size() > answer.message.tool_calls.size()) {
                    answer = std::move(strict);
                }
            } else if (!ok && (is_partial == 0 || answer.last.empty())) {
                ftk_fail(FTK_TEMPLATE_FAILED, "what was generated from offset %zu on does not follow the format of the chat template", answer.last_end);
            }
        } catch (const ftk_error &) {
            throw;
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & err) {
            ftk_fail(FTK_TEMPLATE_FAILED, "the generated text does not follow the format of the chat template: %s", err.what());
        }

        const common_chat_msg & message = answer.message;

        // a call of which not even the name was generated
        const bool    has_cut_call = answer.calls.size() > message.tool_calls.size();
        const int64_t cut_call     = has_cut_call ? (int64_t) answer.calls[message.tool_calls.size()].begin : -1;

        ftk_json tool_calls = ftk_json::array();
        for (size_t i = 0; i < message.tool_calls.size(); ++i) {
            const auto & call = message.tool_calls[i];
            tool_calls.push_back({
                    {"id", call.id},
                    {"name", call.name},
                    {"arguments", call.arguments},
                    {"begin", i < answer.calls.size() ? answer.calls[i].begin : answer.last_end},
                    {"closed", i < answer.calls.size() && answer.calls[i].is_closed},
            });
        }

        ftk_write_json({
                               {"content", message.content},
                               {"reasoning_content", message.reasoning_content},
                               {"tool_calls", tool_calls},
                               {"cut_call", cut_call},
                               {"complete", complete},
                               {"last", answer.last},
                               {"last_end", answer.last_end},
                       },
                buf, capacity, n_needed);
    });
}

#include "foretoken-impl.h"

#include "common.h"
#include "json-schema-to-grammar.h"
#include "llama-grammar.h"

#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

//
// grammars
//

// llama.cpp walks a grammar recursively: along parentheses when it parses, along leading rule references when it samples
static const int32_t GRAMMAR_DEPTH_MAX = 500;

static const char * skip_space(const char * p) {
    while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n' || *p == '#') {
        if (*p == '#') {
            while (*p != '\0' && *p != '\r' && *p != '\n') {
                ++p;
            }
        } else {
            ++p;
        }
    }

    return p;
}

// {m,n} with n below m makes llama.cpp count down from 0
static void check_counts(const char * p) {
    char *       end = nullptr;
    const double min = strtod(p, &end);
    while (*end == ' ') {
        ++end;
    }
    if (end == p || *end != ',') {
        return;
    }

    const char * second = end + 1;
    const double max    = strtod(second, &end);
    if (end != second && max < min) {
        ftk_fail(FTK_GRAMMAR_FAILED, "the grammar repeats something at least %.0f and at most %.0f times", min, max);
    }
}

static void check_parentheses(const std::string & grammar) {
    int32_t depth = 0;

    for (size_t i = 0; i < grammar.size(); ++i) {
        const char c = grammar[i];

        if (c == '"' || c == '[') {
            const char end = c == '"' ? '"' : ']';
            for (++i; i < grammar.size() && grammar[i] != end; ++i) {
                if (grammar[i] == '\\') {
                    ++i;
                }
            }
        } else if (c == '#') {
            while (i < grammar.size() && grammar[i] != '\n') {
                ++i;
            }
        } else if (c == '(') {
            if (++depth > GRAMMAR_DEPTH_MAX) {
                ftk_fail(FTK_GRAMMAR_FAILED, "the grammar nests parentheses deeper than %d", GRAMMAR_DEPTH_MAX);
            }
        } else if (c == ')') {
            depth = std::max(0, depth - 1);
        } else if (c == '{') {
            check_counts(grammar.c_str() + i + 1);
        }
    }
}

static bool is_end(const llama_grammar_element & elem) {
    return elem.type == LLAMA_GRETYPE_END || elem.type == LLAMA_GRETYPE_ALT;
}

// rules that can match nothing at all
static std::vector<bool> find_nullable(const llama_grammar_rules & rules) {
    std::vector<bool> nullable(rules.size(), false);

    for (bool changed = true; changed;) {
        changed = false;

        for (size_t ir = 0; ir < rules.size(); ++ir) {
            if (nullable[ir]) {
                continue;
            }

            bool alternate = true;
            for (const auto & elem : rules[ir]) {
                if (is_end(elem)) {
                    if (alternate) {
                        nullable[ir] = true;
                        changed      = true;
                        break;
                    }
                    alternate = true;
                } else if (elem.type != LLAMA_GRETYPE_RULE_REF || !nullable[elem.value]) {
                    alternate = false;
                }
            }
        }
    }

    return nullable;
}

// A rule that can reach itself before anything is consumed makes llama.cpp go on without end, unless the stack of what is
// still to come is the same again when it does: llama.cpp looks at every stack once. Rules that repeat what can be empty are
// of that harmless kind.
static void check_left_recursion(const llama_grammar_parser & parser) {
    const auto & rules = parser.rules;

    const std::vector<bool> nullable = find_nullable(rules);

    struct leading_rule {
        uint32_t rule;
        bool     grows; // something follows it, which the stack keeps
    };

    // rules that can begin a rule
    std::vector<std::vector<leading_rule>> leading(rules.size());
    for (size_t ir = 0; ir < rules.size(); ++ir) {
        bool at_start = true;
        for (size_t i = 0; i < rules[ir].size(); ++i) {
            const auto & elem = rules[ir][i];
            if (is_end(elem)) {
                at_start = true;
            } else if (elem.type == LLAMA_GRETYPE_RULE_REF) {
                if (at_start) {
                    leading[ir].push_back({elem.value, !is_end(rules[ir][i + 1])});
                }
                at_start = at_start && nullable[elem.value];
            } else {
                at_start = false;
            }
        }
    }

    // Tarjan's strongly connected components, those that are reached first
    const uint32_t NONE = UINT32_MAX;

    std::vector<uint32_t> index(rules.size(), NONE);
    std::vector<uint32_t> low(rules.size(), 0);
    std::vector<uint32_t> component(rules.size(), NONE);
    std::vector<uint32_t> open;
    std::vector<int32_t>  depth; // [n_components] rules on the longest way through it

    struct frame {
        uint32_t rule;
        size_t   i_next;
    };

    uint32_t n_index = 0;

    for (uint32_t root = 0; root < rules.size(); ++root) {
        if (index[root] != NONE) {
            continue;
        }

        std::vector<frame> stack;

        auto enter = [&](uint32_t rule) {
            index[rule] = low[rule] = n_index++;
            open.push_back(rule);
            stack.push_back({rule, 0});
        };

        enter(root);

        while (!stack.empty()) {
            const uint32_t rule = stack.back().rule;

            if (stack.back().i_next < leading[rule].size()) {
                const uint32_t next = leading[rule][stack.back().i_next++].rule;

                if (index[next] == NONE) {
                    enter(next);
                } else if (component[next] == NONE) {
                    low[rule] = std::min(low[rule], index[next]);
                }
                continue;
            }

            stack.pop_back();
            if (!stack.empty()) {
                low[stack.back().rule] = std::min(low[stack.back().rule], low[rule]);
            }
            if (low[rule] != index[rule]) {
                continue;
            }

            // the rules above `rule` on the list reach it and each other
            auto first = open.end();
            do {
                --first;
            } while (*first != rule);

            const uint32_t id = depth.size();
            for (auto it = first; it != open.end(); ++it) {
                component[*it] = id;
            }

            int32_t n_below = 0;
            for (auto it = first; it != open.end(); ++it) {
                for (const auto & next : leading[*it]) {
                    if (component[next.rule] != id) {
                        n_below = std::max(n_below, depth[component[next.rule]]);
                    } else if (next.grows) {
                        std::string name = "?";
                        for (const auto & symbol : parser.symbol_ids) {
                            if (symbol.second == next.rule) {
                                name = symbol.first;
                            }
                        }
                        ftk_fail(FTK_GRAMMAR_FAILED, "the grammar is left-recursive: the rule '%s' can begin with itself. Rewrite it as a repetition", name.c_str());
                    }
                }
            }

            depth.push_back(n_below + (int32_t) (open.end() - first));
            open.erase(first, open.end());

            if (depth.back() > GRAMMAR_DEPTH_MAX) {
                ftk_fail(FTK_GRAMMAR_FAILED, "the grammar nests rules deeper than %d", GRAMMAR_DEPTH_MAX);
            }
        }
    }
}

void ftk_check_grammar(const llama_vocab * vocab, const std::string & grammar) {
    if (grammar.find('\0') != std::string::npos) {
        ftk_fail(FTK_GRAMMAR_FAILED, "the grammar holds a zero byte");
    }

    check_parentheses(grammar);

    llama_grammar_parser parser(vocab);

    try {
        const char * p = skip_space(grammar.c_str());
        if (*p == '\0') {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar is empty");
        }
        while (*p != '\0') {
            p = parser.parse_rule(p);
        }
    } catch (const ftk_error &) {
        throw;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & err) {
        ftk_fail(FTK_GRAMMAR_FAILED, "the grammar cannot be parsed: %s", ftk_quote(err.what()).c_str());
    }

    for (const auto & symbol : parser.symbol_ids) {
        if (symbol.second >= parser.rules.size() || parser.rules[symbol.second].empty()) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar uses the rule '%s' but does not define it", symbol.first.c_str());
        }
    }

    if (parser.symbol_ids.count("root") == 0) {
        ftk_fail(FTK_GRAMMAR_FAILED, "the grammar has no rule 'root'");
    }

    check_left_recursion(parser);
}

//
// schemas
//

static constexpr size_t SCHEMA_SIZE_MAX = 8 * 1024 * 1024;

// llama.cpp converts schemas recursively, also along references, and cuts names with std::regex, which calls itself for each
// character
static constexpr int    SCHEMA_DEPTH_MAX   = 200;
static constexpr size_t SCHEMA_NAME_MAX    = 1000;
static constexpr size_t SCHEMA_PATH_MAX    = 10000;
static constexpr size_t SCHEMA_PATTERN_MAX = 200000;

// what its grammars can repeat
static constexpr int64_t SCHEMA_COUNT_MAX = 2000;

// about a second
static constexpr size_t SCHEMA_STEPS_MAX = 300000;

// Goes the way that llama.cpp goes through a schema, and counts what it would do. What would take too long, or too much of the
// stack, and what contradicts itself, ends here.
class schema_checker {
public:
    explicit schema_checker(const ftk_json & root) :
        root(root) {}

    void check() {
        walk(root, "", 0);
    }

private:
    void count(size_t n) {
        n_steps += n;
        if (n_steps > SCHEMA_STEPS_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema is too large: its grammar takes more than %zu steps to make", SCHEMA_STEPS_MAX);
        }
    }

    static void check_depth(int depth) {
        if (depth > SCHEMA_DEPTH_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema is nested deeper than %d levels, references included", SCHEMA_DEPTH_MAX);
        }
    }

    static void check_name(const std::string & name) {
        if (name.size() > SCHEMA_NAME_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema has a name of %zu bytes (%s); at most %zu are possible", name.size(), ftk_quote(name).c_str(), SCHEMA_NAME_MAX);
        }
    }

    // nullptr: llama.cpp says what is wrong with it
    const ftk_json * resolve(const std::string & ref) const {
        if (ref.compare(0, 2, "#/") != 0) {
            return nullptr;
        }

        const ftk_json * target = &root;
        for (size_t begin = 2; begin <= ref.size();) {
            const size_t      end = std::min(ref.find('/', begin), ref.size());
            const std::string key = ref.substr(begin, end - begin);

            if (target->is_object() && target->contains(key)) {
                target = &target->at(key);
            } else if (target->is_array()) {
                // as std::stoull() reads it
                const size_t index = strtoull(key.c_str(), nullptr, 10);
                if (index >= target->size()) {
                    return nullptr;
                }
                target = &target->at(index);
            } else {
                return nullptr;
            }
            begin = end + 1;
        }

        return target;
    }

    // rules of one name are told apart by trying one number after the other
    void add_rule(const std::string & path) {
        if (path.size() > SCHEMA_PATH_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the names of nested schemas have more than %zu bytes together (%s)", SCHEMA_PATH_MAX, ftk_quote(path).c_str());
        }

        std::string name;
        for (const char c : path) {
            const bool is_kept = isalnum((uint8_t) c) != 0 && (uint8_t) c < 128;
            if (is_kept || name.empty() || name.back() != '-') {
                name += is_kept ? c : '-';
            }
        }

        count(1 + path.size() / 128 + n_rules[name]++ / 4);
    }

    void walk(const ftk_json & schema, const std::string & path, int depth) {
        check_depth(depth);
        add_rule(path);

        if (!schema.is_object()) {
            return;
        }

        check_alternatives(schema, 0);
        check_bounds(schema);

        const auto prefix = path.empty() ? path : path + "-";

        if (schema.contains("$ref")) {
            if (schema.at("$ref").is_string()) {
                const std::string ref    = schema.at("$ref").get<std::string>();
                const ftk_json *  target = resolve(ref);

                // each is converted once
                if (target != nullptr && refs.insert(ref).second) {
                    walk(*target, "ref" + ref.substr(1), depth + 1);
                }
            }
            return;
        }

        for (const char * key : {"oneOf", "anyOf"}) {
            if (schema.contains(key)) {
                walk_list(schema.at(key), prefix, depth);
                return;
            }
        }

        const ftk_json & type = schema.contains("type") ? schema.at("type") : EMPTY;
        if (type.is_array()) {
            // the whole schema, once for each
            for (const auto & item : type) {
                walk_type(schema, item.is_string() ? item.get<std::string>() : "", prefix, depth + 1);
            }
            return;
        }
        if (schema.contains("const")) {
            return;
        }
        if (schema.contains("enum")) {
            count(schema.at("enum").size());
            return;
        }

        walk_type(schema, type.is_string() ? type.get<std::string>() : "", prefix, depth);
    }

    void walk_type(const ftk_json & schema, const std::string & type, const std::string & prefix, int depth) {
        count(1);

        if (type.empty() || type == "object") {
            walk_properties(schema, prefix, depth);
        }
        if ((type.empty() || type == "object" || type == "string") && schema.contains("allOf")) {
            walk_list(schema.at("allOf"), prefix, depth);
        }
        if (type.empty() || type == "array") {
            for (const char * key : {"items", "prefixItems"}) {
                if (!schema.contains(key)) {
                    continue;
                }
                if (schema.at(key).is_array()) {
                    walk_list(schema.at(key), prefix + "tuple-", depth);
                } else {
                    walk(schema.at(key), prefix + "item", depth + 1);
                }
                break;
            }
        }
    }

    void walk_list(const ftk_json & list, const std::string & prefix, int depth) {
        if (!list.is_array()) {
            return;
        }

        size_t i = 0;
        for (const auto & item : list) {
            walk(item, prefix + std::to_string(i++), depth + 1);
        }
    }

    void walk_properties(const ftk_json & schema, const std::string & prefix, int depth) {
        std::set<std::string> required;
        if (schema.contains("required") && schema.at("required").is_array()) {
            for (const auto & name : schema.at("required")) {
                if (name.is_string()) {
                    required.insert(name.get<std::string>());
                }
            }
        }

        size_t n_optional = 0;

        if (schema.contains("properties") && schema.at("properties").is_object()) {
            for (const auto & item : schema.at("properties").items()) {
                check_name(item.key());
                n_optional += required.count(item.key()) == 0 ? 1 : 0;
                walk(item.value(), prefix + item.key(), depth + 1);
            }
        }

        // each of them begins a list of those behind it, and lists are copied while they are written
        const size_t n = std::min<size_t>(n_optional, 10000);
        count(n * n * n / 1000);

        if (schema.contains("additionalProperties")) {
            walk(schema.at("additionalProperties"), prefix + "additional-value", depth + 1);
        }
    }

    // what a schema may be is looked for through references and alternatives each time that it is asked for
    void check_alternatives(const ftk_json & schema, int depth) {
        check_depth(depth);
        count(1);

        if (!schema.is_object()) {
            return;
        }

        if (schema.contains("$ref")) {
            if (!schema.at("$ref").is_string()) {
                return;
            }

            const std::string ref = schema.at("$ref").get<std::string>();
            check_name(ref);

            const ftk_json * target = resolve(ref);
            if (target == nullptr) {
                return;
            }
            if (std::find(open.begin(), open.end(), target) != open.end()) {
                ftk_fail(FTK_GRAMMAR_FAILED, "the reference %s of the JSON schema leads back to itself with no value in between", ftk_quote(ref).c_str());
            }

            open.push_back(target);
            check_alternatives(*target, depth + 1);
            open.pop_back();
            return;
        }

        for (const char * key : {"oneOf", "anyOf", "allOf"}) {
            if (schema.contains(key) && schema.at(key).is_array()) {
                for (const auto & item : schema.at(key)) {
                    check_alternatives(item, depth + 1);
                }
            }
        }
    }

    //
    // bounds
    //

    // -1: there is none, or one that llama.cpp refuses by its name
    static int64_t get_count(const ftk_json & schema, const char * key) {
        if (!schema.contains(key) || !schema.at(key).is_number()) {
            return -1;
        }

        const double value = schema.at(key).get<double>();
        if (value > (double) SCHEMA_COUNT_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "'%s' of the JSON schema is %.0f; a grammar can count to %" PRId64, key, value, SCHEMA_COUNT_MAX);
        }

        return value < 0.0 ? -1 : (int64_t) value;
    }

    static void check_counts(const ftk_json & schema, const char * key_min, const char * key_max) {
        const int64_t min = get_count(schema, key_min);
        const int64_t max = get_count(schema, key_max);

        if (max >= 0 && min > max) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema contradicts itself: '%s' is %" PRId64 " and '%s' is %" PRId64, key_min, min, key_max, max);
        }
    }

    // also when llama.cpp has negated it, or moved it by one
    static bool is_int64(const ftk_json & number) {
        if (number.is_number_unsigned()) {
            return number.get<uint64_t>() < (uint64_t) INT64_MAX;
        }
        if (number.is_number_integer()) {
            return number.get<int64_t>() > INT64_MIN + 1;
        }

        return std::fabs(number.get<double>()) < 9.2233720368547e18;
    }

    static bool has_number(const ftk_json & schema, const char * key) {
        return schema.contains(key) && schema.at(key).is_number();
    }

    static void check_bounds(const ftk_json & schema) {
        check_counts(schema, "minLength", "maxLength");
        check_counts(schema, "minItems", "maxItems");

        for (const char * key : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
            const bool is_integer = schema.contains("type") && schema.at("type") != "number";
            if (is_integer && has_number(schema, key) && !is_int64(schema.at(key))) {
                ftk_fail(FTK_GRAMMAR_FAILED, "'%s' of the JSON schema is %s; a grammar can follow integers of 64 bits only", key, schema.at(key).dump().c_str());
            }
        }

        for (const char * key_min : {"minimum", "exclusiveMinimum"}) {
            for (const char * key_max : {"maximum", "exclusiveMaximum"}) {
                if (has_number(schema, key_min) && has_number(schema, key_max) && schema.at(key_min).get<double>() > schema.at(key_max).get<double>()) {
                    ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema contradicts itself: '%s' is %s and '%s' is %s", key_min, schema.at(key_min).dump().c_str(),
                            key_max, schema.at(key_max).dump().c_str());
                }
            }
        }

        if (schema.contains("pattern") && schema.at("pattern").is_string()) {
            check_pattern(schema.at("pattern").get<std::string>());
        }
    }

    // llama.cpp takes any text for one that fits a pattern that it cannot read, and says so on stderr
    static void check_pattern(const std::string & pattern) {
        if (pattern.size() > SCHEMA_PATTERN_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "a pattern of the JSON schema has %zu bytes; at most %zu are possible", pattern.size(), SCHEMA_PATTERN_MAX);
        }

        const auto fail = [&](const char * why) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the pattern %s of the JSON schema cannot be turned into a grammar: %s", ftk_quote(pattern).c_str(), why);
        };

        if (pattern.size() < 2 || pattern.front() != '^' || pattern.back() != '$') {
            fail("it does not begin with ^ and end with $");
        }

        const std::string text = pattern.substr(1, pattern.size() - 2);

        // a backslash and what it may stand in front of
        const auto skip_escape = [&](size_t i, bool in_class) {
            const char   next  = i + 1 < text.size() ? text[i + 1] : '\0';
            const size_t n_hex = next == 'x' ? 2 : next == 'u' ? 4 :
                                           next == 'U'         ? 8 :
                                                                 0;

            const char * known = in_class ? "trn\\\"[]-" : "trn\\\"[]-^$.()|{}*+?";
            if (next == '\0' || (n_hex == 0 && strchr(known, next) == nullptr)) {
                fail("it has an escape that a grammar does not know");
            }
            for (size_t k = i + 2; k < i + 2 + n_hex; ++k) {
                if (k >= text.size() || !isxdigit((uint8_t) text[k])) {
                    fail("it has an escape that a grammar does not know");
                }
            }

            return i + 2 + n_hex;
        };

        int  depth      = 0;
        bool has_before = false; // something that can be repeated

        for (size_t i = 0; i < text.size();) {
            const char c = text[i];

            if (c == '\\') {
                i          = skip_escape(i, false);
                has_before = true;
            } else if (c == '[') {
                for (++i; i < text.size() && text[i] != ']';) {
                    i = text[i] == '\\' ? skip_escape(i, true) : i + 1;
                }
                if (i >= text.size()) {
                    fail("a class of characters is not closed");
                }
                ++i;
                has_before = true;
            } else if (c == '(') {
                if (i + 1 < text.size() && text[i + 1] == '?') {
                    if (i + 2 >= text.size() || text[i + 2] != ':') {
                        fail("it looks around, or names a group");
                    }
                    i += 2;
                }
                if (++depth > 100) {
                    fail("its groups are nested deeper than 100 levels");
                }
                ++i;
                has_before = false;
            } else if (c == ')') {
                if (--depth < 0) {
                    fail("a parenthesis closes nothing");
                }
                ++i;
                has_before = true;
            } else if (c == '|') {
                ++i;
                has_before = false;
            } else if (c == '*' || c == '+' || c == '?' || c == '{') {
                if (!has_before) {
                    fail("there is nothing in front of a repetition");
                }
                i = c == '{' ? skip_counts(text, i, fail) : i + 1;
            } else if (c == '^' || c == '$' || c == ']' || c == '}') {
                fail("it has a ^, $, ] or } in the middle");
            } else {
                ++i;
                has_before = true;
            }
        }

        if (depth > 0) {
            fail("a group is not closed");
        }
    }

    // behind {n}, {n,} or {n,m}
    template <typename F>
    static size_t skip_counts(const std::string & text, size_t i, const F & fail) {
        int64_t counts[2] = {-1, -1};
        int     n_counts  = 0;

        for (++i; i < text.size() && text[i] != '}'; ++i) {
            if (text[i] == ',' && n_counts == 0) {
                ++n_counts;
            } else if (isdigit((uint8_t) text[i])) {
                counts[n_counts] = std::max<int64_t>(counts[n_counts], 0) * 10 + (text[i] - '0');
            } else {
                fail("braces hold something else than one or two numbers");
            }
            if (counts[n_counts] > SCHEMA_COUNT_MAX) {
                fail("it repeats something more than 2000 times");
            }
        }
        if (i >= text.size() || counts[0] < 0) {
            fail("braces hold something else than one or two numbers");
        }
        if (counts[1] >= 0 && counts[1] < counts[0]) {
            fail("it repeats something at least more often than at most");
        }

        return i + 1;
    }

    static inline const ftk_json EMPTY = ftk_json();

    const ftk_json & root;

    size_t n_steps = 0;

    std::map<std::string, size_t> n_rules; // by name
    std::set<std::string>         refs;    // those that were walked
    std::vector<const ftk_json *> open;    // what the references lead to that are being followed
};

void ftk_check_schema(const ftk_json & schema) {
    schema_checker(schema).check();
}

// llama.cpp's rule of a character in a string allows escapes that are half of a surrogate pair, which no reader takes for text
void ftk_narrow_char_rule(std::string & grammar) {
    const std::string head = "char ::= ";

    size_t begin = 0;
    if (grammar.compare(0, head.size(), head) != 0) {
        begin = grammar.find("\n" + head);
        if (begin == std::string::npos) {
            return;
        }
        ++begin;
    }

    const size_t end = std::min(grammar.find('\n', begin), grammar.size());

    grammar.replace(begin, end - begin, head + R"([^"\\\x7F\x00-\x1F] | [\\] (["\\/bfnrt] | "u" ()"
                                               R"([0-9A-Ca-cEFef] [0-9a-fA-F]{3} | [Dd] [0-7] [0-9a-fA-F]{2} | )"
                                               R"([Dd] [89ABab] [0-9a-fA-F]{2} "\\u" [Dd] [C-Fc-f] [0-9a-fA-F]{2})))");
}

std::string ftk_schema_to_grammar(const ftk_json & schema) {
    if (!schema.is_object() && !schema.is_boolean()) {
        ftk_fail(FTK_INVALID_ARGUMENT, "a JSON schema must be an object, not %s", schema.type_name());
    }

    ftk_check_schema(schema);

    try {
        // true and {} allow everything
        std::string grammar = json_schema_to_grammar(ftk_to_common_json(schema.is_boolean() ? ftk_json::object() : schema));
        ftk_narrow_char_rule(grammar);
        return grammar;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & err) {
        ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema cannot be turned into a grammar: %s", err.what());
    }
}

ftk_status ftk_json_schema_to_grammar(const char * schema_json, char * buf, int64_t capacity, int64_t * n_needed) {
    return ftk_guard(__func__, [&]() {
        if (schema_json != nullptr && strlen(schema_json) > SCHEMA_SIZE_MAX) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the JSON schema has %zu bytes; at most %zu are read", strlen(schema_json), SCHEMA_SIZE_MAX);
        }

        const ftk_json schema = ftk_parse_json(schema_json, "JSON schema", false);

        ftk_write_text(ftk_schema_to_grammar(schema), buf, capacity, n_needed);
    });
}

#include "foretoken-impl.h"

#include "common.h"
#include "json-schema-to-grammar.h"
#include "llama-grammar.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <memory>
#include <regex>

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
        const ftk_json schema = ftk_parse_json(schema_json, "JSON schema", false);

        ftk_write_text(ftk_schema_to_grammar(schema), buf, capacity, n_needed);
    });
}

//
// sampler
//

struct sampler_deleter {
    void operator()(llama_sampler * smpl) const { llama_sampler_free(smpl); }
};

using sampler_ptr = std::unique_ptr<llama_sampler, sampler_deleter>;

struct ftk_sampler {
    int32_t n_vocab = 0;

    sampler_ptr chain;
    sampler_ptr grammar; // may be null

    // a token that the grammar does not allow leaves it without a state to go on from
    bool grammar_broken = false;

    std::vector<llama_token_data> candidates;
};

static std::string escape_regex(const std::string & text) {
    std::string res;
    for (const char c : text) {
        if (strchr(".^$|()*+?[]{}\\", c) != nullptr) {
            res += '\\';
        }
        res += c;
    }

    return res;
}

struct grammar_triggers {
    std::vector<std::string> patterns;
    std::vector<llama_token> tokens;
};

static grammar_triggers parse_triggers(const ftk_json & list, int32_t n_vocab) {
    grammar_triggers res;

    for (const auto & item : list) {
        const ftk_config trigger(item, "grammar trigger", {"type", "value", "token"});

        const std::string type  = trigger.get_string("type", "");
        const std::string value = trigger.get_string("value", "");

        if (type == "token") {
            const int64_t token = trigger.get_int("token", -1, -1, INT32_MAX);
            ftk_require_token((int32_t) token, n_vocab, "'token' of a grammar trigger");
            res.tokens.push_back((llama_token) token);
            continue;
        }

        if (type != "word" && type != "pattern" && type != "pattern_full") {
            ftk_fail(FTK_INVALID_ARGUMENT, "'type' of a grammar trigger must be \"word\", \"token\", \"pattern\" or \"pattern_full\", not %s", ftk_quote(type).c_str());
        }
        if (value.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "a grammar trigger of type \"%s\" needs a 'value'", type.c_str());
        }

        std::string pattern = type == "word" ? escape_regex(value) : value;
        if (type == "pattern_full") {
            // as llama.cpp wants a pattern that is matched against the whole output
            pattern = (value.front() != '^' ? "^" : "") + value + (value.back() != '$' ? "$" : "");
        }

        try {
            const std::regex regex(pattern);
        } catch (const std::regex_error & err) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar trigger %s is not a regular expression: %s", ftk_quote(pattern).c_str(), err.what());
        }

        res.patterns.push_back(pattern);
    }

    return res;
}

// the beginning of what the grammar describes that is in the prompt already
static void accept_prefix(const ftk_model & model, llama_sampler & grammar, const std::string & prefix) {
    const auto tokens = ftk_tokenize_text(model.vocab, prefix, false, true);

    for (size_t i = 0; i < tokens.size(); ++i) {
        const std::string piece = ftk_token_to_bytes(model.vocab, tokens[i], true);

        // some tokenizers put a space in front
        if (i == 0 && piece == " " && prefix[0] != ' ') {
            continue;
        }

        try {
            llama_sampler_accept(&grammar, tokens[i]);
        } catch (const std::exception & err) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar does not begin with 'grammar_prefix' (%s): %s", ftk_quote(prefix).c_str(), err.what());
        }
    }
}

static sampler_ptr create_grammar(const ftk_model & model, const ftk_config & config) {
    std::string grammar = config.get_string("grammar", "");

    if (config.has("json_schema")) {
        if (!grammar.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'grammar' and 'json_schema' exclude each other");
        }
        grammar = ftk_schema_to_grammar(config.at("json_schema"));
    }

    const bool             lazy     = config.get_bool("grammar_lazy", false);
    const std::string      prefix   = config.get_string("grammar_prefix", "");
    const grammar_triggers triggers = parse_triggers(config.get_array("grammar_triggers"), model.n_vocab);

    if (grammar.empty()) {
        if (lazy || !prefix.empty()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'%s' needs a 'grammar'", lazy ? "grammar_lazy" : "grammar_prefix");
        }
        return nullptr;
    }

    if (lazy && triggers.patterns.empty() && triggers.tokens.empty()) {
        ftk_fail(FTK_INVALID_ARGUMENT, "a lazy grammar needs 'grammar_triggers', or it would never begin");
    }

    if (lazy && !prefix.empty()) {
        ftk_fail(FTK_INVALID_ARGUMENT, "'grammar_lazy' and 'grammar_prefix' exclude each other: a lazy grammar begins at its trigger");
    }

    ftk_check_grammar(model.vocab, grammar);

    sampler_ptr res;

    if (lazy) {
        std::vector<const char *> patterns;
        for (const auto & pattern : triggers.patterns) {
            patterns.push_back(pattern.c_str());
        }

        res.reset(llama_sampler_init_grammar_lazy_patterns(model.vocab, grammar.c_str(), "root",
                patterns.data(), patterns.size(), triggers.tokens.data(), triggers.tokens.size()));
    } else {
        res.reset(llama_sampler_init_grammar(model.vocab, grammar.c_str(), "root"));
    }

    if (!res) {
        const std::string errors = ftk_logged_errors();

        // of the kind that would come to an end, and is refused all the same
        if (errors.find("left recursion") != std::string::npos) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar is left-recursive: a rule can begin with itself. Rewrite it as a repetition (llama.cpp: %s)", errors.c_str());
        }
        ftk_fail(FTK_GRAMMAR_FAILED, "llama.cpp does not accept the grammar: %s", errors.c_str());
    }

    if (!prefix.empty()) {
        accept_prefix(model, *res, prefix);
    }

    return res;
}

static void add_sampler(llama_sampler * chain, llama_sampler * smpl) {
    if (smpl == nullptr) {
        throw std::bad_alloc();
    }

    llama_sampler_chain_add(chain, smpl);
}

static sampler_ptr create_chain(const ftk_model & model, const ftk_config & config) {
    const float    temperature     = (float) config.get_float("temperature", 0.0, 0.0, 100.0);
    const int32_t  top_k           = (int32_t) config.get_int("top_k", 0, 0, INT32_MAX);
    const float    top_p           = (float) config.get_float("top_p", 1.0, 0.0, 1.0);
    const float    min_p           = (float) config.get_float("min_p", 0.0, 0.0, 1.0);
    const float    typical_p       = (float) config.get_float("typical_p", 1.0, 0.0, 1.0);
    const float    penalty_repeat  = (float) config.get_float("repeat_penalty", 1.0, 0.001, 100.0);
    const float    penalty_freq    = (float) config.get_float("frequency_penalty", 0.0, -100.0, 100.0);
    const float    penalty_present = (float) config.get_float("presence_penalty", 0.0, -100.0, 100.0);
    const uint32_t seed            = (uint32_t) config.get_int("seed", LLAMA_DEFAULT_SEED, 0, UINT32_MAX);

    int32_t penalty_last_n = (int32_t) config.get_int("repeat_last_n", 64, -1, 1 << 20);
    if (penalty_last_n == -1) {
        penalty_last_n = llama_model_n_ctx_train(model.model);
    }

    std::vector<llama_logit_bias> biases;
    for (const auto & item : config.get_array("logit_bias")) {
        if (!item.is_array() || item.size() != 2 || !item[0].is_number_integer() || !item[1].is_number()) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'logit_bias' must hold pairs [token, bias], not %s", ftk_quote(item.dump()).c_str());
        }

        const int64_t token = item[0].get<int64_t>();
        if (token < 0 || token >= model.n_vocab) {
            ftk_fail(FTK_INVALID_ARGUMENT, "'logit_bias' names the token %" PRId64 ", but the vocabulary has the tokens 0 to %d", token, model.n_vocab - 1);
        }

        biases.push_back({(llama_token) token, item[1].get<float>()});
    }

    llama_sampler_chain_params params = llama_sampler_chain_default_params();

    sampler_ptr chain(llama_sampler_chain_init(params));

    if (!biases.empty()) {
        add_sampler(chain.get(), llama_sampler_init_logit_bias(model.n_vocab, (int32_t) biases.size(), biases.data()));
    }

    if (penalty_last_n > 0 && (penalty_repeat != 1.0f || penalty_freq != 0.0f || penalty_present != 0.0f)) {
        add_sampler(chain.get(), llama_sampler_init_penalties(model.n_vocab, penalty_last_n, penalty_repeat, penalty_freq, penalty_present));
    }

    if (temperature <= 0.0f) {
        // what the filters keep always has the most likely token in it
        add_sampler(chain.get(), llama_sampler_init_greedy());
        return chain;
    }

    if (top_k > 0) {
        add_sampler(chain.get(), llama_sampler_init_top_k(top_k));
    }
    if (typical_p < 1.0f) {
        add_sampler(chain.get(), llama_sampler_init_typical(typical_p, 1));
    }
    if (top_p < 1.0f) {
        add_sampler(chain.get(), llama_sampler_init_top_p(top_p, 1));
    }
    if (min_p > 0.0f) {
        add_sampler(chain.get(), llama_sampler_init_min_p(min_p, 1));
    }

    add_sampler(chain.get(), llama_sampler_init_temp(temperature));
    add_sampler(chain.get(), llama_sampler_init_dist(seed));

    return chain;
}

ftk_status ftk_sampler_create(const ftk_model * model, const char * config_json, ftk_sampler ** out) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(out);
        *out = nullptr;
        FTK_REQUIRE_NOT_NULL(model);
        ftk_require_tokenizer(*model);

        const ftk_config config(config_json, "sampler config", {"temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "frequency_penalty", "presence_penalty", "seed", "grammar", "grammar_lazy", "grammar_triggers", "grammar_prefix", "json_schema", "logit_bias"});

        auto res = std::make_unique<ftk_sampler>();

        res->n_vocab = model->n_vocab;
        res->chain   = create_chain(*model, config);
        res->grammar = create_grammar(*model, config);

        *out = res.release();
    });
}

void ftk_sampler_free(ftk_sampler * sampler) {
    ftk_guard(__func__, [&]() { delete sampler; });
}

static void require_grammar(const ftk_sampler & sampler) {
    if (sampler.grammar_broken) {
        ftk_fail(FTK_GRAMMAR_FAILED, "an earlier token did not fit the grammar; create a new sampler");
    }
}

static bool grammar_allows(const ftk_sampler & sampler, llama_token token) {
    llama_token_data       data       = {token, 1.0f, 0.0f};
    llama_token_data_array data_array = {&data, 1, -1, false};

    llama_sampler_apply(sampler.grammar.get(), &data_array);

    return data.logit != -INFINITY;
}

static void accept(ftk_sampler & sampler, llama_token token, bool apply_grammar) {
    if (sampler.grammar && apply_grammar) {
        require_grammar(sampler);

        // llama.cpp aborts on an end of generation that does not fit, and has lost its state when it throws
        if (!grammar_allows(sampler, token)) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar does not allow the token %d here", token);
        }

        try {
            llama_sampler_accept(sampler.grammar.get(), token);
        } catch (const std::exception & err) {
            sampler.grammar_broken = true;
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar does not allow the token %d here: %s", token, err.what());
        }
    }

    llama_sampler_accept(sampler.chain.get(), token);
}

// -1: no candidate is left
static llama_token sample(ftk_sampler & sampler, const float * logits, bool grammar_first) {
    auto & candidates = sampler.candidates;

    candidates.resize(sampler.n_vocab);
    for (int32_t i = 0; i < sampler.n_vocab; ++i) {
        candidates[i] = {i, logits[i], 0.0f};
    }

    llama_token_data_array data_array = {candidates.data(), candidates.size(), -1, false};

    if (grammar_first) {
        llama_sampler_apply(sampler.grammar.get(), &data_array);

        // out of the list altogether, so that no rounding can select one of them
        candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                 [](const llama_token_data & data) { return data.logit == -INFINITY; }),
                candidates.end());
        if (candidates.empty()) {
            return -1;
        }

        data_array.size = candidates.size();
    }

    llama_sampler_apply(sampler.chain.get(), &data_array);

    if (data_array.selected < 0 || data_array.selected >= (int64_t) data_array.size) {
        return -1;
    }

    return data_array.data[data_array.selected].id;
}

ftk_status ftk_sampler_sample(ftk_sampler * sampler, ftk_context * ctx, int32_t * token) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(token);
        *token = -1;
        FTK_REQUIRE_NOT_NULL(sampler);
        FTK_REQUIRE_NOT_NULL(ctx);

        if (sampler->n_vocab != ctx->n_vocab) {
            ftk_fail(FTK_INVALID_ARGUMENT, "the sampler was created for a model with %d tokens, the context has one with %d", sampler->n_vocab, ctx->n_vocab);
        }

        require_grammar(*sampler);

        const float * logits = ftk_get_logits(*ctx);

        for (int32_t i = 0; i < ctx->n_vocab; ++i) {
            if (std::isnan(logits[i])) {
                ftk_fail(FTK_COMPUTE_FAILED, "the logits hold NaN (token %d): the model's weights or its quantization overflow", i);
            }
        }

        // most tokens fit the grammar anyway, and checking one is much cheaper than checking all
        llama_token id = sample(*sampler, logits, false);

        if (sampler->grammar && (id < 0 || !grammar_allows(*sampler, id))) {
            id = sample(*sampler, logits, true);
            if (id < 0) {
                ftk_fail(FTK_GRAMMAR_FAILED, "the grammar allows none of the model's tokens here");
            }
        }

        if (id < 0) {
            ftk_fail(FTK_COMPUTE_FAILED, "the sampler selected no token");
        }

        accept(*sampler, id, true);

        *token = id;
    });
}

ftk_status ftk_sampler_accept(ftk_sampler * sampler, int32_t token, int32_t apply_grammar) {
    return ftk_guard(__func__, [&]() {
        FTK_REQUIRE_NOT_NULL(sampler);
        ftk_require_token(token, sampler->n_vocab, "'token'");

        accept(*sampler, token, apply_grammar != 0);
    });
}

#include "foretoken-impl.h"

#include "foretoken-regex.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <memory>

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

        // llama.cpp would look for others with std::regex, which calls itself for each character of the answer
        std::string why;
        if (ftk_regex_compile(pattern, why) == nullptr) {
            ftk_fail(FTK_GRAMMAR_FAILED, "the grammar trigger %s is not a regular expression that can be looked for: %s", ftk_quote(pattern).c_str(), why.c_str());
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

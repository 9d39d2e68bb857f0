// staged prefill against stock llama.cpp: a context of the same library that staging was not enabled on

#include "foretoken.h"
#include "tiny-model.h"

#include "llama-staged.h"

#include "llama.h"

#include <atomic>
#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>

static int n_failed = 0;
static int n_checks = 0;

static std::string context_of_check;

#define CHECK(cond)                                                                                           \
    do {                                                                                                      \
        ++n_checks;                                                                                           \
        if (!(cond)) {                                                                                        \
            ++n_failed;                                                                                       \
            fprintf(stderr, "%s:%d: failed: %s [%s]\n", __FILE__, __LINE__, #cond, context_of_check.c_str()); \
        }                                                                                                     \
    } while (0)

struct model_deleter {
    void operator()(llama_model * m) const { llama_model_free(m); }
};
struct context_deleter {
    void operator()(llama_context * c) const { llama_free(c); }
};

using model_ptr   = std::unique_ptr<llama_model, model_deleter>;
using context_ptr = std::unique_ptr<llama_context, context_deleter>;

struct config {
    uint32_t  n_ctx      = 512;
    uint32_t  n_ubatch   = 32;
    uint32_t  n_seq_max  = 1;
    ggml_type type_kv    = GGML_TYPE_F16;
    ggml_type type_v     = GGML_TYPE_COUNT; // of the values alone; COUNT: as the keys
    bool      flash_attn = true;
    bool      unified    = false;
    int32_t   n_threads  = 1; // threads of a tiny model would only wait for each other

    ggml_backend_sched_eval_callback cb_eval      = nullptr;
    void *                           cb_eval_data = nullptr;

    std::string str() const {
        return "ubatch " + std::to_string(n_ubatch) + ", " + ggml_type_name(type_kv) + (type_v != GGML_TYPE_COUNT ? std::string("/") + ggml_type_name(type_v) : "") + (flash_attn ? ", fa" : ", no fa") +
               (unified ? ", unified" : "") + ", seqs " + std::to_string(n_seq_max);
    }
};

static model_ptr load(const std::string & path) {
    llama_model_params params = llama_model_default_params();
    // the same tests on a graphics card: -1 for all layers
    const char * gpu_layers = getenv("FORETOKEN_TEST_GPU_LAYERS");

    params.n_gpu_layers = gpu_layers != nullptr ? atoi(gpu_layers) : 0;

    return model_ptr(llama_model_load_from_file(path.c_str(), params));
}

static context_ptr make_context(llama_model * model, const config & cfg, bool staged) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = cfg.n_ctx;
    params.n_batch              = cfg.n_ctx;
    params.n_ubatch             = cfg.n_ubatch;
    params.n_seq_max            = cfg.n_seq_max;
    params.n_threads            = cfg.n_threads;
    params.n_threads_batch      = cfg.n_threads;
    params.type_k               = cfg.type_kv;
    params.type_v               = cfg.type_v != GGML_TYPE_COUNT ? cfg.type_v : cfg.type_kv;
    params.flash_attn_type      = cfg.flash_attn ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.kv_unified           = cfg.unified;
    params.cb_eval              = cfg.cb_eval;
    params.cb_eval_user_data    = cfg.cb_eval_data;

    context_ptr ctx(llama_init_from_model(model, params));

    if (ctx && staged) {
        std::string why;
        if (!llama_staged_enable(ctx.get(), why)) {
            fprintf(stderr, "staging: %s\n", why.c_str());
            return nullptr;
        }
    }

    return ctx;
}

using logits_t = std::vector<float>;

static int32_t n_vocab(const llama_context * ctx) {
    return llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(ctx)));
}

static logits_t get_logits(llama_context * ctx) {
    const float * p = llama_get_logits_ith(ctx, -1);
    return p ? logits_t(p, p + n_vocab(ctx)) : logits_t();
}

static bool same(const logits_t & a, const logits_t & b) {
    if (a.empty() || a.size() != b.size()) {
        return false;
    }

    for (const float v : a) {
        if (!std::isfinite(v)) {
            return false;
        }
    }

    return memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// stock decode of tokens at the end of the sequence; logits of the last one
static logits_t decode(llama_context * ctx, llama_seq_id seq_id, const std::vector<llama_token> & tokens) {
    llama_batch batch = llama_batch_init(tokens.size(), 0, 1);

    llama_pos pos = llama_memory_seq_pos_max(llama_get_memory(ctx), seq_id) + 1;

    for (size_t i = 0; i < tokens.size(); ++i) {
        batch.token[i]     = tokens[i];
        batch.pos[i]       = pos++;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = seq_id;
        batch.logits[i]    = i + 1 == tokens.size();
    }
    batch.n_tokens = tokens.size();

    const int res = llama_decode(ctx, batch);
    llama_batch_free(batch);

    return res == 0 ? get_logits(ctx) : logits_t();
}

static std::vector<llama_token> make_tokens(int n, uint32_t seed, int32_t n_vocab) {
    std::mt19937             rng(seed);
    std::vector<llama_token> res(n);
    for (auto & t : res) {
        t = rng() % n_vocab;
    }
    return res;
}

static llama_staged_callbacks keep_all() {
    llama_staged_callbacks cb;
    cb.select = [](llama_boundary & b) {
        for (size_t i = 0; i < b.pos->size(); ++i) {
            b.keep.push_back(i);
        }
        return true;
    };
    return cb;
}

// keeps every n-th token and the last one
static llama_staged_callbacks keep_every(int n) {
    llama_staged_callbacks cb;
    cb.select = [n](llama_boundary & b) {
        for (size_t i = 0; i < b.pos->size(); ++i) {
            if (i % n == 0 || i + 1 == b.pos->size()) {
                b.keep.push_back(i);
            }
        }
        return true;
    };
    return cb;
}

static llama_staged_status prefill(llama_context * ctx, llama_seq_id seq_id, const std::vector<llama_token> & tokens,
        const llama_staged_plan & plan, const llama_staged_callbacks & cb, llama_staged_report * report_out = nullptr, std::string * why_out = nullptr) {
    llama_staged_report report;
    std::string         why;

    const auto res = llama_staged_prefill(ctx, seq_id, tokens, plan, cb, report, why);

    if (report_out) {
        *report_out = report;
    }
    if (why_out) {
        *why_out = why;
    }

    return res;
}

static llama_staged_plan stages(std::vector<int32_t> boundaries) {
    llama_staged_plan plan;
    plan.boundaries = std::move(boundaries);
    return plan;
}

// forced tokens after a prefill, one by one: the logits of each
static std::vector<logits_t> forced(llama_context * ctx, llama_seq_id seq_id, const std::vector<llama_token> & tokens) {
    std::vector<logits_t> res;
    for (const auto t : tokens) {
        res.push_back(decode(ctx, seq_id, {t}));
    }
    return res;
}

static bool same(const std::vector<logits_t> & a, const std::vector<logits_t> & b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (size_t i = 0; i < a.size(); ++i) {
        if (!same(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

//
// claims
//

static void keep_all_gives_the_stock_logits(llama_model * model, const config & cfg, int n_tokens, int n_forced) {
    const int32_t n_layer = llama_model_n_layer(model);

    auto stock = make_context(model, cfg, false);

    const auto tokens = make_tokens(n_tokens, 7, n_vocab(stock.get()));
    const auto next   = make_tokens(n_forced, 8, n_vocab(stock.get()));

    const auto expected        = decode(stock.get(), 0, tokens);
    const auto expected_forced = forced(stock.get(), 0, next);

    auto staged = make_context(model, cfg, true);
    CHECK(staged != nullptr);
    if (!staged) {
        return;
    }

    // without a plan the staged memory is a KV cache like any other
    CHECK(same(decode(staged.get(), 0, tokens), expected));
    CHECK(same(forced(staged.get(), 0, next), expected_forced));

    for (const auto & boundaries : {std::vector<int32_t>{}, std::vector<int32_t>{n_layer / 2}, std::vector<int32_t>{1, n_layer / 2, n_layer - 1}}) {
        llama_memory_clear(llama_get_memory(staged.get()), false);

        llama_staged_report report;
        CHECK(prefill(staged.get(), 0, tokens, stages(boundaries), keep_all(), &report) == LLAMA_STAGED_OK);
        CHECK(report.stages.size() == boundaries.size() + 1);
        CHECK(same(get_logits(staged.get()), expected));
        CHECK(same(forced(staged.get(), 0, next), expected_forced));
    }

    // a prefill on top of what the sequence holds
    llama_memory_clear(llama_get_memory(staged.get()), false);
    {
        const int n_first = n_tokens / 3;

        const std::vector<llama_token> a(tokens.begin(), tokens.begin() + n_first);
        const std::vector<llama_token> b(tokens.begin() + n_first, tokens.end());

        llama_memory_clear(llama_get_memory(stock.get()), false);
        decode(stock.get(), 0, a);
        const auto expected_b = decode(stock.get(), 0, b);

        CHECK(prefill(staged.get(), 0, a, stages({2}), keep_all()) == LLAMA_STAGED_OK);
        CHECK(prefill(staged.get(), 0, b, stages({1, 3}), keep_all()) == LLAMA_STAGED_OK);
        CHECK(same(get_logits(staged.get()), expected_b));
    }
}

static void dropped_positions_are_absent_above_the_boundary(llama_model * model, const config & cfg) {
    const int32_t n_layer = llama_model_n_layer(model);

    auto ctx = make_context(model, cfg, true);

    const auto tokens = make_tokens(90, 11, n_vocab(ctx.get()));

    llama_staged_report report;
    CHECK(prefill(ctx.get(), 0, tokens, stages({2, 4}), keep_every(3), &report) == LLAMA_STAGED_OK);

    std::vector<llama_pos> expected(90);
    for (int i = 0; i < 90; ++i) {
        expected[i] = i;
    }

    int is = 0;
    for (int32_t il = 0; il < n_layer; ++il) {
        if (il == 2 || il == 4) {
            ++is;

            std::vector<llama_pos> kept;
            for (size_t i = 0; i < expected.size(); ++i) {
                if (i % 3 == 0 || i + 1 == expected.size()) {
                    kept.push_back(expected[i]);
                }
            }
            expected = kept;
        }

        CHECK(llama_staged_positions(ctx.get(), 0, il) == expected);
        CHECK(report.stages[is].n_tokens == (int64_t) expected.size());
    }

    CHECK(expected.back() == 89);
    CHECK(expected.size() < 15);

    // decode goes on at the next position, in every layer
    decode(ctx.get(), 0, {5});
    for (int32_t il = 0; il < n_layer; ++il) {
        CHECK(llama_staged_positions(ctx.get(), 0, il).back() == 90);
    }

    // the thinned cache is smaller in proportion
    auto full = make_context(model, cfg, true);
    decode(full.get(), 0, tokens);

    const double used          = (double) llama_staged_kv_bytes_used(ctx.get(), 0) / llama_staged_kv_bytes_used(full.get(), 0);
    const double expected_used = (2 * 91 + 2 * (31 + 1) + (n_layer - 4) * (11 + 1)) / (90.0 * n_layer);
    CHECK(std::abs(used - expected_used) < 0.03);
}

static void failures_leave_the_sequence_as_it_was(llama_model * model, const config & cfg) {
    auto stock  = make_context(model, cfg, false);
    auto staged = make_context(model, cfg, true);

    const auto a = make_tokens(40, 21, n_vocab(stock.get()));
    const auto b = make_tokens(70, 22, n_vocab(stock.get()));
    const auto c = make_tokens(4, 23, n_vocab(stock.get()));

    decode(stock.get(), 0, a);
    const auto expected = forced(stock.get(), 0, c);

    const int32_t n_layer = llama_model_n_layer(model);

    auto check_as_it_was = [&]() {
        for (int32_t il = 0; il < n_layer; ++il) {
            CHECK(llama_staged_positions(staged.get(), 0, il).size() == a.size());
        }
    };

    CHECK(prefill(staged.get(), 0, a, stages({2}), keep_all()) == LLAMA_STAGED_OK);

    // cancelled after every possible chunk
    int n_chunks = 0;
    for (int stop_at = 1; stop_at < 100; ++stop_at) {
        auto cb     = keep_every(2);
        int  n      = 0;
        cb.progress = [&](int32_t, int64_t, int64_t, double fraction) {
            CHECK(fraction > 0.0 && fraction <= 1.0);
            return ++n < stop_at;
        };

        const auto res = prefill(staged.get(), 0, b, stages({2, 4}), cb);
        if (res == LLAMA_STAGED_OK) {
            n_chunks = n;
            llama_memory_seq_rm(llama_get_memory(staged.get()), 0, a.size(), -1);
            break;
        }

        CHECK(res == LLAMA_STAGED_CANCELLED);
        check_as_it_was();
    }
    CHECK(n_chunks >= 3);

    // cancelled from another thread's point of view: the flag is set while a graph runs
    {
        std::atomic<bool> cancel{false};
        auto              cb = keep_all();
        cb.cancel            = &cancel;
        cb.progress          = [&](int32_t, int64_t, int64_t, double) { cancel = true; return true; };
        CHECK(prefill(staged.get(), 0, b, stages({2}), cb) == LLAMA_STAGED_CANCELLED);
        check_as_it_was();
    }

    // selections that cannot be followed
    for (const auto & keep : std::vector<std::vector<int32_t>>{{}, {0, 1}, {1, 0, 69}, {0, 0, 69}, {-1, 69}, {0, 69, 70}}) {
        llama_staged_callbacks cb;
        cb.select = [&](llama_boundary & boundary) { boundary.keep = keep; return true; };

        std::string why;
        CHECK(prefill(staged.get(), 0, b, stages({2}), cb, nullptr, &why) == LLAMA_STAGED_CALLBACK);
        CHECK(!why.empty());
        check_as_it_was();
    }

    {
        llama_staged_callbacks cb;
        cb.select = [&](llama_boundary &) -> bool { throw std::runtime_error("host"); };

        std::string why;
        CHECK(prefill(staged.get(), 0, b, stages({2}), cb, nullptr, &why) == LLAMA_STAGED_FAILED);
        CHECK(why == "host");
        check_as_it_was();
    }

    // plans that cannot be followed
    for (const auto & boundaries : std::vector<std::vector<int32_t>>{{0}, {n_layer}, {3, 3}, {4, 2}, {-1}}) {
        CHECK(prefill(staged.get(), 0, b, stages(boundaries), keep_all()) == LLAMA_STAGED_INVALID);
    }
    CHECK(prefill(staged.get(), 0, {}, stages({2}), keep_all()) == LLAMA_STAGED_INVALID);
    CHECK(prefill(staged.get(), 0, {-1}, stages({2}), keep_all()) == LLAMA_STAGED_INVALID);
    CHECK(prefill(staged.get(), 0, {99999}, stages({2}), keep_all()) == LLAMA_STAGED_INVALID);
    CHECK(prefill(staged.get(), 9, b, stages({2}), keep_all()) == LLAMA_STAGED_INVALID);
    CHECK(prefill(staged.get(), 0, b, stages({2}), {}) == LLAMA_STAGED_INVALID);
    CHECK(prefill(staged.get(), 0, make_tokens(600, 1, 100), stages({2}), keep_all()) == LLAMA_STAGED_FULL);
    check_as_it_was();

    // and the sequence goes on as if nothing had happened
    CHECK(same(forced(staged.get(), 0, c), expected));

    // an empty sequence is empty again
    llama_memory_clear(llama_get_memory(staged.get()), false);
    {
        auto cb     = keep_every(2);
        cb.progress = [](int32_t is, int64_t, int64_t, double) { return is < 1; };
        CHECK(prefill(staged.get(), 0, b, stages({2}), cb) == LLAMA_STAGED_CANCELLED);
        CHECK(llama_memory_seq_pos_max(llama_get_memory(staged.get()), 0) == -1);
    }
    CHECK(prefill(staged.get(), 0, a, stages({3}), keep_all()) == LLAMA_STAGED_OK);
    CHECK(same(forced(staged.get(), 0, c), expected));
}

static std::vector<uint8_t> save(llama_context * ctx, llama_seq_id seq_id) {
    std::vector<uint8_t> res(llama_state_seq_get_size(ctx, seq_id));
    res.resize(llama_state_seq_get_data(ctx, res.data(), res.size(), seq_id));
    return res;
}

static void a_thinned_sequence_goes_on_as_uninterrupted(llama_model * model, const config & cfg_in, const llama_staged_plan & plan) {
    config cfg    = cfg_in;
    cfg.n_seq_max = 2;
    cfg.n_ctx     = cfg.unified ? 512 : 1024;

    auto   ctx = make_context(model, cfg, true);
    auto * mem = llama_get_memory(ctx.get());

    const auto a = make_tokens(80, 31, n_vocab(ctx.get()));
    const auto b = make_tokens(50, 32, n_vocab(ctx.get()));
    const auto c = make_tokens(6, 33, n_vocab(ctx.get()));

    // uninterrupted: thinned prompt, second turn, forced tokens
    CHECK(prefill(ctx.get(), 0, a, plan, keep_every(2)) == LLAMA_STAGED_OK);
    const auto state_a  = save(ctx.get(), 0);
    const auto logits_a = get_logits(ctx.get());
    CHECK(prefill(ctx.get(), 0, b, plan, keep_every(3)) == LLAMA_STAGED_OK);
    const auto logits_b = get_logits(ctx.get());
    const auto expected = forced(ctx.get(), 0, c);

    // the other run of the same thing is the same thing
    llama_memory_clear(mem, false);
    CHECK(prefill(ctx.get(), 0, a, plan, keep_every(2)) == LLAMA_STAGED_OK);
    CHECK(same(get_logits(ctx.get()), logits_a));

    // tail removed and computed again
    decode(ctx.get(), 0, c);
    CHECK(llama_memory_seq_rm(mem, 0, a.size(), -1));
    CHECK(prefill(ctx.get(), 0, b, plan, keep_every(3)) == LLAMA_STAGED_OK);
    CHECK(same(get_logits(ctx.get()), logits_b));
    CHECK(same(forced(ctx.get(), 0, c), expected));

    // branch, after the second turn was taken back
    CHECK(llama_memory_seq_rm(mem, 0, a.size(), -1));
    llama_memory_seq_cp(mem, 0, 1, -1, -1);
    for (int32_t il : {0, 3, 5}) {
        CHECK(llama_staged_positions(ctx.get(), 1, il) == llama_staged_positions(ctx.get(), 0, il));
    }
    llama_memory_seq_rm(mem, 0, -1, -1);
    CHECK(prefill(ctx.get(), 1, b, plan, keep_every(3)) == LLAMA_STAGED_OK);
    CHECK(same(get_logits(ctx.get()), logits_b));
    CHECK(same(forced(ctx.get(), 1, c), expected));

    // state loaded into another context
    auto other = make_context(model, cfg, true);
    CHECK(llama_state_seq_set_data(other.get(), state_a.data(), state_a.size(), 1) == state_a.size());
    for (int32_t il : {0, 3, 5}) {
        size_t n_held = a.size();
        for (const int32_t boundary : plan.boundaries) {
            n_held = boundary <= il ? n_held / 2 + 1 : n_held;
        }
        CHECK(llama_staged_positions(other.get(), 1, il).size() == n_held);
    }
    CHECK(prefill(other.get(), 1, b, plan, keep_every(3)) == LLAMA_STAGED_OK);
    CHECK(same(get_logits(other.get()), logits_b));
    CHECK(same(forced(other.get(), 1, c), expected));

    // a damaged state is refused and leaves nothing behind
    for (const size_t cut : {(size_t) 3, (size_t) 8, state_a.size() / 2, state_a.size() - 1}) {
        CHECK(llama_state_seq_set_data(other.get(), state_a.data(), cut, 0) == 0);
        CHECK(llama_memory_seq_pos_max(llama_get_memory(other.get()), 0) == -1);
    }

    // and a stock cache does not take it for its own
    auto stock = make_context(model, cfg, false);
    CHECK(llama_state_seq_set_data(stock.get(), state_a.data(), state_a.size(), 0) == 0);

    // the whole context's state
    std::vector<uint8_t> whole(llama_state_get_size(other.get()));
    CHECK(llama_state_get_data(other.get(), whole.data(), whole.size()) == whole.size());
    const auto next = decode(other.get(), 1, {3});

    auto third = make_context(model, cfg, true);
    CHECK(llama_state_set_data(third.get(), whole.data(), whole.size()) == whole.size());
    CHECK(same(decode(third.get(), 1, {3}), next));
}

// graphs of the same size, whose inputs belong to other layers and have other sizes
static void states_with_other_boundaries_follow_each_other(llama_model * model, const config & cfg) {
    const std::vector<std::vector<int32_t>> all_boundaries = {{2}, {4}, {1, 5}, {3, 4}, {1}};

    std::vector<std::vector<uint8_t>> states;
    std::vector<logits_t>             expected;

    for (const auto & boundaries : all_boundaries) {
        auto ctx = make_context(model, cfg, true);

        // more cells than llama.cpp rounds them up to, and not in the uppermost layers
        CHECK(prefill(ctx.get(), 0, make_tokens(300, 35, n_vocab(ctx.get())), stages(boundaries), keep_every(2)) == LLAMA_STAGED_OK);
        states.push_back(save(ctx.get(), 0));
        expected.push_back(decode(ctx.get(), 0, {7}));
    }

    auto ctx = make_context(model, cfg, true);

    for (size_t a = 0; a < states.size(); ++a) {
        for (size_t b = 0; b < states.size(); ++b) {
            for (const size_t i : {a, b}) {
                CHECK(llama_state_seq_set_data(ctx.get(), states[i].data(), states[i].size(), 0) == states[i].size());
                CHECK(same(decode(ctx.get(), 0, {7}), expected[i]));
            }
        }
    }
}

static void sequences_do_not_disturb_each_other(llama_model * model, const config & cfg_in) {
    config cfg    = cfg_in;
    cfg.n_seq_max = 3;
    cfg.n_ctx     = cfg.unified ? 512 : 1536;

    auto ctx = make_context(model, cfg, true);

    const auto a = make_tokens(60, 41, n_vocab(ctx.get()));
    const auto b = make_tokens(45, 42, n_vocab(ctx.get()));

    CHECK(prefill(ctx.get(), 0, a, stages({2}), keep_every(2)) == LLAMA_STAGED_OK);
    const auto expected = decode(ctx.get(), 0, {9});

    llama_memory_clear(llama_get_memory(ctx.get()), false);
    CHECK(prefill(ctx.get(), 1, b, stages({1, 4}), keep_every(3)) == LLAMA_STAGED_OK);
    CHECK(prefill(ctx.get(), 0, a, stages({2}), keep_every(2)) == LLAMA_STAGED_OK);
    CHECK(prefill(ctx.get(), 2, b, stages({3}), keep_all()) == LLAMA_STAGED_OK);

    const auto actual = decode(ctx.get(), 0, {9});

    // in a unified cache the other sequences' cells are masked, not absent, so sums may be taken in another order
    double diff = 0.0;
    CHECK(actual.size() == expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
        diff = std::max(diff, (double) std::abs(actual[i] - expected[i]));
    }
    CHECK(diff < 1e-2);
}

static void context_shift_equals_stock(llama_model * model, const config & cfg) {
    auto stock  = make_context(model, cfg, false);
    auto staged = make_context(model, cfg, true);

    const auto a = make_tokens(64, 51, n_vocab(stock.get()));
    const auto c = make_tokens(4, 52, n_vocab(stock.get()));

    decode(stock.get(), 0, a);
    CHECK(prefill(staged.get(), 0, a, stages({2}), keep_all()) == LLAMA_STAGED_OK);

    for (auto * ctx : {stock.get(), staged.get()}) {
        auto * mem = llama_get_memory(ctx);
        CHECK(llama_memory_can_shift(mem));
        CHECK(llama_memory_seq_rm(mem, 0, 4, 20));
        llama_memory_seq_add(mem, 0, 20, -1, -16);
    }

    CHECK(same(forced(stock.get(), 0, c), forced(staged.get(), 0, c)));
}

//
// probes
//

// what stock computes: softmax(QK) of every layer, [n_head][n_query][n_key]
struct captured {
    std::map<int, std::vector<std::vector<std::vector<float>>>> p;
};

static bool capture(ggml_tensor * t, bool ask, void * data) {
    int il;
    if (sscanf(t->name, "kq_soft_max-%d", &il) != 1) {
        return !ask;
    }
    if (ask) {
        return true;
    }

    auto & cap = ((captured *) data)->p[il];
    cap.resize(t->ne[2]);

    std::vector<float> buf(ggml_nelements(t));
    ggml_backend_tensor_get(t, buf.data(), 0, ggml_nbytes(t));

    for (int64_t h = 0; h < t->ne[2]; ++h) {
        for (int64_t q = 0; q < t->ne[1]; ++q) {
            const float * row = buf.data() + (h * t->ne[1] + q) * t->ne[0];
            cap[h].emplace_back(row, row + t->ne[0]);
        }
    }

    return true;
}

// largest difference of a probe to the same reduction of captured attention, whose columns are the keys of the probe
static double probe_error(const llama_boundary::probe_result & got, const std::vector<std::vector<std::vector<float>>> & p, int n_past) {
    const int n_head  = p.size();
    const int n_query = p[0].size();
    const int n_keys  = got.key_pos.size();

    const int64_t q0 = got.probe.q_first < 0 ? std::max<int64_t>(0, n_query + got.probe.q_first) : got.probe.q_first;

    CHECK(got.n_head == n_head);
    CHECK(got.data.size() == (size_t) n_keys * got.n_head);

    // of a key that came after the query there need not be a column
    auto at = [&](int h, int64_t q, int j) {
        return j < (int) p[h][q].size() ? (double) p[h][q][j] : 0.0;
    };

    double res = 0.0;
    for (int row = 0; row < got.n_head; ++row) {
        for (int j = 0; j < n_keys; ++j) {
            double ref = 0.0;
            int    cnt = 0;
            for (int64_t q = q0; q < n_query; q += got.probe.q_stride) {
                const double v = at(row, q, j);

                ref = got.probe.reduction == LLAMA_PROBE_MEAN ? ref + v : std::max(ref, v);
                cnt += n_past + q >= j;
            }
            if (got.probe.reduction == LLAMA_PROBE_MEAN) {
                ref /= std::max(1, cnt);
            }
            res = std::max(res, std::abs(ref - got.data[(size_t) row * n_keys + j]));
        }
    }

    return res;
}

static void probes_are_the_attention(llama_model * model, const config & cfg, double tolerance) {
    const int n = 83;

    captured cap;
    {
        config cfg_cap       = cfg;
        cfg_cap.flash_attn   = false;
        cfg_cap.type_kv      = GGML_TYPE_F16;
        cfg_cap.type_v       = GGML_TYPE_F16;
        cfg_cap.cb_eval      = capture;
        cfg_cap.cb_eval_data = &cap;

        auto ctx = make_context(model, cfg_cap, false);
        cap.p.clear(); // reserving builds graphs, it does not run them; be sure
        decode(ctx.get(), 0, make_tokens(n, 61, n_vocab(ctx.get())));
    }

    auto ctx = make_context(model, cfg, true);

    llama_staged_plan plan = stages({2, 4});
    plan.probes            = {
                       {0, LLAMA_PROBE_MEAN, -8, 1},  // window
                       {1, LLAMA_PROBE_MAX, -32, 1},  // spans chunks
                       {1, LLAMA_PROBE_MEAN, 0, 1},   // column mean
                       {0, LLAMA_PROBE_MEAN, 5, 16},  // sampled column mean
                       {1, LLAMA_PROBE_MAX, 0, 1},    // more queries than one block
                       {2, LLAMA_PROBE_MEAN, -1, 1},  // second stage
                       {0, LLAMA_PROBE_MEAN, 500, 1}, // no query at all
    };

    llama_staged_callbacks                    cb;
    std::vector<llama_boundary::probe_result> seen;
    cb.select = [&](llama_boundary & b) {
        for (auto & p : b.probes) {
            seen.push_back(p);
        }
        for (size_t i = 0; i < b.pos->size(); ++i) {
            b.keep.push_back(i);
        }
        return true;
    };

    const auto tokens = make_tokens(n, 61, n_vocab(ctx.get()));

    CHECK(prefill(ctx.get(), 0, tokens, plan, cb) == LLAMA_STAGED_OK);
    CHECK(seen.size() == plan.probes.size());

    for (size_t ip = 0; ip < seen.size(); ++ip) {
        const auto & got = seen[ip];

        CHECK((int) got.key_pos.size() == n && got.key_pos.front() == 0 && got.key_pos.back() == n - 1);

        const double diff = probe_error(got, cap.p.at(got.probe.il), 0);
        if (diff > tolerance) {
            fprintf(stderr, "probe %zu: layer %d differs by %g\n", ip, got.probe.il, diff);
        }
        CHECK(diff <= tolerance);
    }

    // probing does not change what is computed
    const auto probed = get_logits(ctx.get());
    llama_memory_clear(llama_get_memory(ctx.get()), false);
    CHECK(same(decode(ctx.get(), 0, tokens), probed));
}

// a probe with the keys of the sequence also tells what the tokens of a prefill pay to what was there before it
static void probes_reach_the_past(llama_model * model, const config & cfg, double tolerance) {
    const int32_t nv = llama_vocab_n_tokens(llama_model_get_vocab(model));

    const auto other = make_tokens(10, 81, nv);
    const auto head  = make_tokens(40, 82, nv);
    const auto tail  = make_tokens(9, 83, nv);
    const auto next  = make_tokens(45, 84, nv);

    for (const bool thinned : {false, true}) {
        const auto cb_keep = thinned ? keep_every(3) : keep_all();

        // without flash attention, and with cells in the order of the positions: what is captured has one column per key
        captured cap;
        {
            config cfg_cap       = cfg;
            cfg_cap.flash_attn   = false;
            cfg_cap.type_kv      = GGML_TYPE_F16;
            cfg_cap.type_v       = GGML_TYPE_F16;
            cfg_cap.cb_eval      = capture;
            cfg_cap.cb_eval_data = &cap;

            auto ctx = make_context(model, cfg_cap, true);
            CHECK(prefill(ctx.get(), 0, head, stages({2}), cb_keep) == LLAMA_STAGED_OK);
            decode(ctx.get(), 0, tail);
            cap.p.clear();
            CHECK(prefill(ctx.get(), 0, next, stages({2, 4}), cb_keep) == LLAMA_STAGED_OK);
        }

        config cfg_cur    = cfg;
        cfg_cur.n_seq_max = cfg.unified ? 2 : 1;

        auto ctx = make_context(model, cfg_cur, true);

        // the tail of the past goes to the cells that the other sequence leaves: in front of those of its head
        if (cfg.unified) {
            decode(ctx.get(), 1, other);
        }
        CHECK(prefill(ctx.get(), 0, head, stages({2}), cb_keep) == LLAMA_STAGED_OK);
        if (cfg.unified) {
            CHECK(llama_memory_seq_rm(llama_get_memory(ctx.get()), 1, -1, -1));
        }
        decode(ctx.get(), 0, tail);

        std::map<int32_t, std::vector<llama_pos>> past;
        for (int32_t il = 0; il < 4; ++il) {
            past[il] = llama_staged_positions(ctx.get(), 0, il);
        }
        CHECK(past[1].size() == head.size() + tail.size());
        CHECK(past[2].size() == (thinned ? (head.size() - 1) / 3 + 1 : head.size()) + tail.size());

        llama_staged_plan plan = stages({2, 4});
        plan.probes            = {
                           {0, LLAMA_PROBE_MEAN, -8, 1, LLAMA_PROBE_KEYS_SEQUENCE},
                           {1, LLAMA_PROBE_MAX, -40, 1, LLAMA_PROBE_KEYS_SEQUENCE}, // spans chunks
                           {1, LLAMA_PROBE_MAX, 0, 1, LLAMA_PROBE_KEYS_SEQUENCE},
                           {1, LLAMA_PROBE_MEAN, 3, 4, LLAMA_PROBE_KEYS_SEQUENCE},
                           {2, LLAMA_PROBE_MEAN, 0, 1, LLAMA_PROBE_KEYS_SEQUENCE},
                           {3, LLAMA_PROBE_MAX, 500, 1, LLAMA_PROBE_KEYS_SEQUENCE}, // no query at all
                           {3, LLAMA_PROBE_MAX, -5, 1, LLAMA_PROBE_KEYS_SEQUENCE},
                           {3, LLAMA_PROBE_MAX, -5, 1, LLAMA_PROBE_KEYS_STAGE},
        };

        llama_staged_callbacks                    cb;
        std::vector<llama_boundary::probe_result> seen;
        std::vector<std::vector<llama_pos>>       arrived;
        cb.select = [&](llama_boundary & b) {
            for (auto & p : b.probes) {
                seen.push_back(p);
                arrived.push_back(*b.pos);
            }
            return cb_keep.select(b);
        };

        CHECK(prefill(ctx.get(), 0, next, plan, cb) == LLAMA_STAGED_OK);
        CHECK(seen.size() == plan.probes.size());

        for (size_t ip = 0; ip + 1 < seen.size(); ++ip) {
            const auto & got = seen[ip];

            std::vector<llama_pos> expected = past[got.probe.il];
            const int              n_past   = expected.size();
            expected.insert(expected.end(), arrived[ip].begin(), arrived[ip].end());
            CHECK(got.key_pos == expected);

            const double diff = probe_error(got, cap.p.at(got.probe.il), n_past);
            if (diff > tolerance) {
                fprintf(stderr, "probe %zu: layer %d differs by %g\n", ip, got.probe.il, diff);
            }
            CHECK(diff <= tolerance);
        }

        // the keys of the stage are the end of those of the sequence
        const auto & all    = seen[seen.size() - 2];
        const auto & own    = seen[seen.size() - 1];
        const size_t n_keys = all.key_pos.size();
        const size_t n_own  = own.key_pos.size();
        CHECK(n_own == arrived.back().size() && own.key_pos == arrived.back());
        for (int h = 0; h < own.n_head; ++h) {
            CHECK(memcmp(own.data.data() + h * n_own, all.data.data() + (h + 1) * n_keys - n_own, n_own * sizeof(float)) == 0);
        }
    }
}

// ggml ends the process when a graph outgrows its memory
static void probes_that_a_graph_has_no_room_for_are_refused(llama_model * model) {
    config cfg;
    cfg.n_ubatch = 512;

    auto ctx = make_context(model, cfg, true);

    const int  n_layer = llama_model_n_layer(model);
    const auto tokens  = make_tokens(500, 91, n_vocab(ctx.get()));

    // what an importance may well ask for: every layer, every query
    llama_staged_plan plan = stages({n_layer - 1});
    for (int32_t il = 0; il < n_layer - 1; ++il) {
        plan.probes.push_back({il, LLAMA_PROBE_MEAN, 0, 1});
        plan.probes.push_back({il, LLAMA_PROBE_MEAN, -8, 1});
        plan.probes.push_back({il, LLAMA_PROBE_MAX, -32, 1});
    }
    CHECK(prefill(ctx.get(), 0, tokens, plan, keep_all()) == LLAMA_STAGED_OK);

    const auto expected = get_logits(ctx.get());
    llama_memory_clear(llama_get_memory(ctx.get()), false);

    llama_staged_plan too_many = plan;
    for (int i = 0; i < 500; ++i) {
        too_many.probes.push_back({i % (n_layer - 1), LLAMA_PROBE_MAX, 0, 1});
    }
    CHECK(prefill(ctx.get(), 0, tokens, too_many, keep_all()) == LLAMA_STAGED_FAILED);
    CHECK(llama_memory_seq_pos_max(llama_get_memory(ctx.get()), 0) == -1);

    CHECK(prefill(ctx.get(), 0, tokens, plan, keep_all()) == LLAMA_STAGED_OK);
    CHECK(same(get_logits(ctx.get()), expected));
}

static void the_residual_is_what_the_layers_above_start_from(llama_model * model, const config & cfg) {
    auto ctx = make_context(model, cfg, true);

    const auto tokens = make_tokens(50, 71, n_vocab(ctx.get()));

    // keep a subset twice: once by dropping at layer 2, once more with an empty stage in between
    CHECK(prefill(ctx.get(), 0, tokens, stages({2}), keep_every(4)) == LLAMA_STAGED_OK);
    const auto expected = get_logits(ctx.get());

    llama_memory_clear(llama_get_memory(ctx.get()), false);

    llama_staged_callbacks cb;
    bool                   finite = true;
    cb.select                     = [&](llama_boundary & b) {
        for (size_t i = 0; i < b.pos->size() * b.n_embd; ++i) {
            finite = finite && std::isfinite(b.residual[i]);
        }
        for (size_t i = 0; i < b.pos->size(); ++i) {
            if (b.index == 1 || i % 4 == 0 || i + 1 == b.pos->size()) {
                b.keep.push_back(i);
            }
        }
        return true;
    };

    CHECK(prefill(ctx.get(), 0, tokens, stages({2, 5}), cb) == LLAMA_STAGED_OK);
    CHECK(same(get_logits(ctx.get()), expected));
    CHECK(finite);
}

//
// skipped layers
//

static llama_layer_skip block(int32_t il) {
    return {il, LLAMA_LAYER_PART_BLOCK};
}

static llama_layer_skip attention(int32_t il) {
    return {il, LLAMA_LAYER_PART_ATTENTION};
}

static llama_layer_skip feed_forward(int32_t il) {
    return {il, LLAMA_LAYER_PART_FEED_FORWARD};
}

static void skipping_equals_a_model_without_the_layers(const tiny_model & def, const std::string & dir, const config & cfg_in) {
    const std::string path = dir + "/" + def.arch + "-without.gguf";

    tiny_model less = def;
    less.without    = {1, 3};
    CHECK(tiny_model_write(less, path));

    auto model_full = load(dir + "/" + def.arch + ".gguf");
    auto model_less = load(path);
    CHECK(model_less != nullptr);

    config cfg    = cfg_in;
    cfg.n_seq_max = 2;
    cfg.n_ctx     = cfg.unified ? 512 : 1024;

    auto stock  = make_context(model_less.get(), cfg, false);
    auto staged = make_context(model_full.get(), cfg, true);

    const auto tokens = make_tokens(70, 81, def.n_vocab);
    const auto next   = make_tokens(5, 82, def.n_vocab);

    const auto expected        = decode(stock.get(), 0, tokens);
    const auto expected_forced = forced(stock.get(), 0, next);

    for (const auto & boundaries : {std::vector<int32_t>{}, std::vector<int32_t>{2}, std::vector<int32_t>{3, 4}}) {
        llama_memory_clear(llama_get_memory(staged.get()), false);

        llama_staged_plan plan = stages(boundaries);
        plan.skip              = {block(3), block(1)};

        CHECK(prefill(staged.get(), 0, tokens, plan, keep_all()) == LLAMA_STAGED_OK);
        CHECK(same(get_logits(staged.get()), expected));
        CHECK(llama_staged_positions(staged.get(), 0, 1).empty());

        const auto state = save(staged.get(), 0);
        CHECK(same(forced(staged.get(), 0, next), expected_forced));

        // the skipped layers are part of the sequence's state
        llama_memory_seq_rm(llama_get_memory(staged.get()), 0, -1, -1);
        CHECK(llama_state_seq_set_data(staged.get(), state.data(), state.size(), 0) == state.size());
        CHECK(same(forced(staged.get(), 0, next), expected_forced));
    }

    // a sequence that skips and one that does not, in one batch
    llama_memory_clear(llama_get_memory(staged.get()), false);
    {
        auto full = make_context(model_full.get(), cfg, false);
        decode(full.get(), 0, tokens);
        const auto expected_full = decode(full.get(), 0, {next[0]});

        llama_staged_plan plan;
        plan.skip = {block(1), block(3)};
        CHECK(prefill(staged.get(), 0, tokens, plan, {}) == LLAMA_STAGED_OK);
        plan.skip = {};
        CHECK(prefill(staged.get(), 1, tokens, plan, {}) == LLAMA_STAGED_OK);

        // what is skipped cannot change in the middle of a sequence
        CHECK(prefill(staged.get(), 0, tokens, plan, {}) == LLAMA_STAGED_INVALID);

        llama_batch batch = llama_batch_init(2, 0, 1);
        for (int s = 0; s < 2; ++s) {
            batch.token[s]     = next[0];
            batch.pos[s]       = tokens.size();
            batch.n_seq_id[s]  = 1;
            batch.seq_id[s][0] = s;
            batch.logits[s]    = 1;
        }
        batch.n_tokens = 2;
        CHECK(llama_decode(staged.get(), batch) == 0);
        llama_batch_free(batch);

        const int32_t nv = def.n_vocab;
        const float * l0 = llama_get_logits_ith(staged.get(), 0);
        const float * l1 = llama_get_logits_ith(staged.get(), 1);

        // in a unified cache both sequences' cells are there, the sums are taken in another order
        double diff = 0.0;
        for (int i = 0; i < nv; ++i) {
            diff = std::max(diff, (double) std::abs(l0[i] - expected_forced[0][i]));
            diff = std::max(diff, (double) std::abs(l1[i] - expected_full[i]));
        }
        CHECK(diff < 1e-2);
    }

    for (const int32_t il : {0, def.n_layer - 1, -1, def.n_layer}) {
        llama_memory_clear(llama_get_memory(staged.get()), false);
        llama_staged_plan plan;
        plan.skip = {block(il)};
        CHECK(prefill(staged.get(), 0, tokens, plan, {}) == LLAMA_STAGED_INVALID);
    }
}

// zeros added to a number leave its bits as they are, so a model whose sublayers add nothing is an exact reference
static void skipping_sublayers_equals_a_model_where_they_add_nothing(const tiny_model & def, const std::string & dir, const config & cfg_in) {
    const int32_t last = def.n_layer - 1;

    const std::string path = dir + "/" + def.arch + "-zero.gguf";

    tiny_model zero = def;
    zero.without    = {2};
    zero.zero_attn  = {3, last};
    zero.zero_ffn   = {1, 4};
    CHECK(tiny_model_write(zero, path));

    const std::vector<llama_layer_skip> skip = {feed_forward(4), attention(3), block(2), attention(last), feed_forward(1)};

    auto model_full = load(dir + "/" + def.arch + ".gguf");
    auto model_zero = load(path);

    config cfg    = cfg_in;
    cfg.n_seq_max = 2;
    cfg.n_ctx     = cfg.unified ? 512 : 1024;

    auto   stock  = make_context(model_zero.get(), cfg, false);
    auto   staged = make_context(model_full.get(), cfg, true);
    auto * mem    = llama_get_memory(staged.get());

    const auto tokens = make_tokens(70, 91, def.n_vocab);
    const auto next   = make_tokens(5, 92, def.n_vocab);

    const auto expected        = decode(stock.get(), 0, tokens);
    const auto expected_forced = forced(stock.get(), 0, next);

    for (const auto & boundaries : {std::vector<int32_t>{}, std::vector<int32_t>{2}, std::vector<int32_t>{3, 4}, std::vector<int32_t>{last}}) {
        llama_memory_clear(mem, false);

        llama_staged_plan plan = stages(boundaries);
        plan.skip              = skip;

        CHECK(prefill(staged.get(), 0, tokens, plan, keep_all()) == LLAMA_STAGED_OK);
        CHECK(same(get_logits(staged.get()), expected));

        // keys and values are there where the attention runs
        for (int32_t il = 0; il < def.n_layer; ++il) {
            CHECK(llama_staged_positions(staged.get(), 0, il).size() == (il == 2 || il == 3 || il == last ? 0 : tokens.size()));
        }

        const auto state = save(staged.get(), 0);

        // a copy does without the same
        llama_memory_seq_cp(mem, 0, 1, -1, -1);
        llama_memory_seq_rm(mem, 0, -1, -1);
        CHECK(same(forced(staged.get(), 1, next), expected_forced));
        llama_memory_seq_rm(mem, 1, -1, -1);

        // and what was saved
        CHECK(llama_state_seq_set_data(staged.get(), state.data(), state.size(), 0) == state.size());
        CHECK(same(forced(staged.get(), 0, next), expected_forced));

        // until it is cleared
        CHECK(llama_memory_seq_rm(mem, 0, -1, -1));
        decode(staged.get(), 0, next);
        CHECK(llama_staged_positions(staged.get(), 0, 2).size() == next.size());
    }

    // decided on the way: at each boundary what lies between it and the next one
    const std::vector<int32_t> boundaries = {1, 3, last};
    {
        llama_memory_clear(mem, false);

        auto cb   = keep_all();
        cb.select = [&, keep = cb.select](llama_boundary & b) {
            const int32_t il_end = b.index + 1 < (int32_t) boundaries.size() ? boundaries[b.index + 1] : def.n_layer;
            for (const auto & cur : skip) {
                if (cur.il >= b.il && cur.il < il_end) {
                    b.skip.push_back(cur);
                }
            }
            return keep(b);
        };

        CHECK(prefill(staged.get(), 0, tokens, stages(boundaries), cb) == LLAMA_STAGED_OK);
        CHECK(same(get_logits(staged.get()), expected));
        CHECK(same(forced(staged.get(), 0, next), expected_forced));

        // a sequence that holds something does not change what it does without
        std::string why;
        CHECK(prefill(staged.get(), 0, tokens, stages(boundaries), cb, nullptr, &why) == LLAMA_STAGED_INVALID);

        llama_staged_plan plan = stages(boundaries);
        plan.skip              = skip;
        CHECK(prefill(staged.get(), 0, tokens, plan, cb, nullptr, &why) == LLAMA_STAGED_INVALID);
        CHECK(why.find("until the sequence is cleared") != std::string::npos);
        CHECK(llama_staged_positions(staged.get(), 0, 0).size() == tokens.size() + next.size());
        CHECK(prefill(staged.get(), 0, tokens, plan, keep_all()) == LLAMA_STAGED_OK);
    }

    // what failed leaves no trace
    {
        llama_memory_clear(mem, false);

        const auto keep = keep_all().select;

        llama_staged_callbacks cb;
        cb.select = [&](llama_boundary & b) {
            b.skip = {attention(b.il)};
            return keep(b) && b.index < 2;
        };
        CHECK(prefill(staged.get(), 0, tokens, stages(boundaries), cb) == LLAMA_STAGED_CALLBACK);

        cb.select = [&](llama_boundary & b) {
            b.skip = {attention(b.il - 1)};
            return keep(b);
        };
        CHECK(prefill(staged.get(), 0, tokens, stages({2}), cb) == LLAMA_STAGED_INVALID);

        auto full = make_context(model_full.get(), cfg, false);
        CHECK(same(decode(staged.get(), 0, tokens), decode(full.get(), 0, tokens)));
    }

    // of a layer without attention a probe has nothing to tell
    {
        llama_memory_clear(mem, false);

        llama_staged_plan plan = stages({4});
        plan.skip              = {attention(3), feed_forward(1)};
        plan.probes            = {{3, LLAMA_PROBE_MEAN, 0, 1}, {1, LLAMA_PROBE_MAX, -8, 1}};

        auto cb   = keep_all();
        cb.select = [&, keep = cb.select](llama_boundary & b) {
            CHECK(b.probes[0].n_head == def.n_head && b.probes[0].data.size() == def.n_head * tokens.size());
            CHECK(std::all_of(b.probes[0].data.begin(), b.probes[0].data.end(), [](float x) { return x == 0.0f; }));
            CHECK(std::any_of(b.probes[1].data.begin(), b.probes[1].data.end(), [](float x) { return x > 0.0f; }));
            return keep(b);
        };
        CHECK(prefill(staged.get(), 0, tokens, plan, cb) == LLAMA_STAGED_OK);
    }

    for (const auto & cur : {attention(0), feed_forward(0), attention(def.n_layer), llama_layer_skip{2, (llama_layer_part) 3}}) {
        llama_memory_clear(mem, false);
        llama_staged_plan plan;
        plan.skip = {cur};
        CHECK(prefill(staged.get(), 0, tokens, plan, {}) == LLAMA_STAGED_INVALID);
        plan.skip = {attention(2), feed_forward(2)};
        CHECK(prefill(staged.get(), 0, tokens, plan, {}) == LLAMA_STAGED_INVALID);
    }
}

// layers that hold different cells do not share a mask, also when a sequence comes that runs both
static void cells_of_a_skipped_layer_are_its_own(llama_model * model, const config & cfg_in) {
    config cfg    = cfg_in;
    cfg.n_seq_max = 2;
    cfg.n_ctx     = cfg.unified ? 512 : 1024;

    auto   ctx = make_context(model, cfg, true);
    auto * mem = llama_get_memory(ctx.get());

    const auto a = make_tokens(100, 93, n_vocab(ctx.get()));
    const auto b = make_tokens(250, 94, n_vocab(ctx.get()));

    auto       alone    = make_context(model, cfg, true);
    const auto expected = decode(alone.get(), 1, a);

    decode(ctx.get(), 1, a);

    llama_staged_plan plan;
    plan.skip = {attention(1), block(3)};
    CHECK(prefill(ctx.get(), 0, b, plan, {}) == LLAMA_STAGED_OK);

    // now layers 1 and 3 hold nothing, and the others hold cells behind those that are free
    CHECK(llama_memory_seq_rm(mem, 1, -1, -1));

    const auto logits = decode(ctx.get(), 1, a);
    CHECK(logits.size() == expected.size());

    double diff = 0.0;
    for (size_t i = 0; i < std::min(logits.size(), expected.size()); ++i) {
        diff = std::max(diff, (double) std::abs(logits[i] - expected[i]));
    }
    CHECK(diff < 1e-2);
}

static double max_diff(const logits_t & a, const logits_t & b) {
    if (a.empty() || a.size() != b.size()) {
        return INFINITY;
    }

    double res = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        res = std::max(res, (double) std::abs(a[i] - b[i]));
    }

    return res;
}

// the first tokens of the prompt and its last one go on, what lies between is dropped and later restored
static void restored_tokens_are_as_if_never_dropped(llama_model * model, const config & cfg_in) {
    config cfg    = cfg_in;
    cfg.n_seq_max = 2;
    cfg.n_ctx     = cfg.unified ? 512 : 1024;

    auto stock  = make_context(model, cfg, false);
    auto staged = make_context(model, cfg, true);

    auto * mem = llama_get_memory(staged.get());

    const auto a = make_tokens(100, 51, n_vocab(staged.get()));
    const auto b = make_tokens(40, 52, n_vocab(staged.get()));
    const auto c = make_tokens(6, 53, n_vocab(staged.get()));

    const int32_t n_layer = llama_model_n_layer(model);

    const std::vector<llama_token> begin(a.begin(), a.begin() + 32);
    const std::vector<llama_token> middle(a.begin() + 32, a.end() - 1);

    llama_staged_callbacks cb;
    cb.select = [](llama_boundary & boundary) {
        boundary.keep.resize(32);
        for (int32_t i = 0; i < 32; ++i) {
            boundary.keep[i] = i;
        }
        boundary.keep.push_back(boundary.pos->size() - 1);
        return true;
    };

    auto check_held = [&](int32_t il_begin, int32_t il_end, size_t n) {
        for (int32_t il = il_begin; il < il_end; ++il) {
            const auto pos = llama_staged_positions(staged.get(), 0, il);

            CHECK(pos.size() == n);
            CHECK(std::adjacent_find(pos.begin(), pos.end()) == pos.end());
        }
    };

    decode(stock.get(), 0, b);
    const auto expected_other = forced(stock.get(), 0, c);
    llama_memory_clear(llama_get_memory(stock.get()), false);

    // in chunks as the restored tokens have them
    decode(stock.get(), 0, begin);
    decode(stock.get(), 0, middle);
    const auto expected_last = decode(stock.get(), 0, {a.back()});
    const auto expected      = forced(stock.get(), 0, c);

    CHECK(prefill(staged.get(), 1, b, stages({2}), keep_all()) == LLAMA_STAGED_OK);
    CHECK(prefill(staged.get(), 0, a, stages({2, 4}), cb) == LLAMA_STAGED_OK);
    const auto thinned = get_logits(staged.get());
    check_held(0, 2, a.size());
    check_held(2, n_layer, 33);

    // refused, and nothing changes
    for (const auto & pos : std::vector<std::vector<llama_pos>>{{-1, 4}, {98, 99}, {99, 100}, {200, 300}, {41, 40}, {40, 40}, {40}, {}}) {
        std::string why;
        CHECK(llama_staged_restore(staged.get(), 0, {5, 6}, pos, why) == LLAMA_STAGED_INVALID);
        CHECK(!why.empty());
    }
    {
        std::string why;
        CHECK(llama_staged_restore(staged.get(), 0, {}, {}, why) == LLAMA_STAGED_INVALID);
        CHECK(llama_staged_restore(staged.get(), 0, {-1}, {40}, why) == LLAMA_STAGED_INVALID);
        CHECK(llama_staged_restore(staged.get(), 7, {5}, {40}, why) == LLAMA_STAGED_INVALID);
        CHECK(llama_staged_restore(stock.get(), 0, {5}, {40}, why) == LLAMA_STAGED_INVALID);
    }
    check_held(0, 2, a.size());
    check_held(2, n_layer, 33);

    std::vector<llama_pos> pos;
    for (size_t i = 0; i < middle.size(); ++i) {
        pos.push_back(32 + i);
    }

    // here and there first; then all of it, also what is there already
    std::string why;
    CHECK(llama_staged_restore(staged.get(), 0, {a[40], a[41], a[70]}, {40, 41, 70}, why) == LLAMA_STAGED_OK);
    check_held(0, 2, a.size());
    check_held(2, n_layer, 36);

    CHECK(llama_staged_restore(staged.get(), 0, middle, pos, why) == LLAMA_STAGED_OK);
    CHECK(why.empty());
    check_held(0, n_layer, a.size());

    // the last token was computed without them: once more
    CHECK(llama_memory_seq_rm(mem, 0, a.size() - 1, -1));
    const auto last = decode(staged.get(), 0, {a.back()});
    CHECK(!same(last, thinned));

    // cells lie in another order, so sums differ in their last bits
    const double tolerance = cfg.type_kv == GGML_TYPE_Q8_0 || cfg.type_v == GGML_TYPE_Q8_0 ? 0.2 : 2e-2;
    CHECK(max_diff(last, expected_last) < tolerance);
    CHECK(max_diff(thinned, expected_last) > 2 * max_diff(last, expected_last));

    const auto got = forced(staged.get(), 0, c);
    for (size_t i = 0; i < got.size(); ++i) {
        CHECK(max_diff(got[i], expected[i]) < tolerance);
    }

    // the neighbour has noticed nothing
    const auto other = forced(staged.get(), 1, c);
    for (size_t i = 0; i < other.size(); ++i) {
        CHECK(max_diff(other[i], expected_other[i]) < tolerance);
    }

    // state and later prefills go on from there
    const auto state = save(staged.get(), 0);
    const auto next  = forced(staged.get(), 0, c);
    CHECK(llama_memory_seq_rm(mem, 0, -1, -1));
    CHECK(llama_state_seq_set_data(staged.get(), state.data(), state.size(), 0) == state.size());
    const auto again = forced(staged.get(), 0, c);
    for (size_t i = 0; i < again.size(); ++i) {
        CHECK(max_diff(again[i], next[i]) < tolerance);
    }
    CHECK(prefill(staged.get(), 0, b, stages({3}), keep_every(2)) == LLAMA_STAGED_OK);

    // without room nothing is let go of
    const auto rest = make_tokens(512 - (cfg.unified ? b.size() + c.size() : 0) - a.size() - 3 * c.size() - b.size(), 54, n_vocab(staged.get()));
    CHECK(prefill(staged.get(), 0, rest, stages({3}), keep_every(2)) == LLAMA_STAGED_OK);
    const auto held = llama_staged_positions(staged.get(), 0, n_layer - 1);
    pos.clear();
    for (size_t i = 0; i < b.size(); ++i) {
        pos.push_back(a.size() + 3 * c.size() + i);
    }
    CHECK(llama_staged_restore(staged.get(), 0, b, pos, why) == LLAMA_STAGED_FULL);
    CHECK(!why.empty());
    CHECK(llama_staged_positions(staged.get(), 0, n_layer - 1) == held);
}

static std::vector<uint8_t> save_cells(llama_context * ctx);

static llama_staged_plan storing(std::vector<int32_t> boundaries, ggml_type type = GGML_TYPE_F32) {
    llama_staged_plan plan = stages(std::move(boundaries));
    plan.store             = type;
    return plan;
}

// completes [p0, all.size()) in steps; `between` is called with the positions done behind every step. Returns tokens that ran
static int64_t complete_all(context_ptr & ctx, llama_complete_grade grade, const std::vector<llama_token> & all, int64_t p0, int64_t n_run_max,
        const std::function<void(int64_t)> & between = {}) {
    int64_t n_total = 0;

    while (p0 < (int64_t) all.size()) {
        int64_t     n_done = 0;
        int64_t     n_run  = 0;
        std::string why;

        const std::vector<llama_token> rest(all.begin() + p0, all.end());

        CHECK(llama_staged_complete(ctx.get(), 0, grade, rest, p0, n_run_max, n_done, n_run, why) == LLAMA_STAGED_OK);
        CHECK(n_done > 0 && n_run <= n_run_max);
        if (n_done <= 0) {
            break;
        }

        p0 += n_done;
        n_total += n_run;

        if (between) {
            between(p0);
        }
    }

    return n_total;
}

// exact completion: the caches, cell for cell and bit for bit, are those of a prefill that dropped nothing, and so are the logits
static void completed_layers_are_those_of_a_full_prefill(llama_model * model, const config & cfg) {
    const auto a = make_tokens(150, 61, n_vocab(make_context(model, cfg, false).get()));
    const auto c = make_tokens(7, 62, 100);

    auto full = make_context(model, cfg, true);
    CHECK(prefill(full.get(), 0, a, stages({}), {}) == LLAMA_STAGED_OK);
    const auto expected = save_cells(full.get());
    const auto forced_c = forced(full.get(), 0, c);

    for (const auto & boundaries : std::vector<std::vector<int32_t>>{{2}, {2, 4}, {1, 2, 3}}) {
        // straight away
        {
            auto ctx = make_context(model, cfg, true);
            CHECK(prefill(ctx.get(), 0, a, storing(boundaries), keep_every(3)) == LLAMA_STAGED_OK);
            CHECK(llama_staged_store_bytes(ctx.get(), 0) > 0);
            CHECK(save_cells(ctx.get()) != expected);
            CHECK(complete_all(ctx, LLAMA_COMPLETE_EXACT, a, 0, cfg.n_ubatch) == (int64_t) a.size());
            CHECK(save_cells(ctx.get()) == expected);
            CHECK(llama_staged_store_bytes(ctx.get(), 0) == 0);
            CHECK(same(forced(ctx.get(), 0, c), forced_c));
        }

        // filled first, with an answer that is decoded meanwhile, stopped at every chunk, saved and loaded into another context
        {
            auto                     ctx = make_context(model, cfg, true);
            std::vector<llama_token> all = a;
            size_t                   i_c = 0;

            auto decode_next = [&](int64_t) {
                if (i_c < c.size()) {
                    all.push_back(c[i_c]);
                    decode(ctx.get(), 0, {c[i_c++]});
                }
            };

            CHECK(prefill(ctx.get(), 0, a, storing(boundaries), keep_every(4)) == LLAMA_STAGED_OK);
            complete_all(ctx, LLAMA_COMPLETE_FILL, a, 0, 24, decode_next);
            for (int32_t il = 0; il < llama_model_n_layer(model); ++il) {
                CHECK(llama_staged_positions(ctx.get(), 0, il).size() == all.size());
            }

            complete_all(ctx, LLAMA_COMPLETE_EXACT, a, 0, cfg.n_ubatch, [&](int64_t p0) {
                decode_next(p0);

                const auto state = save(ctx.get(), 0);
                auto       other = make_context(model, cfg, true);
                CHECK(llama_state_seq_set_data(other.get(), state.data(), state.size(), 0) == state.size());
                ctx = std::move(other);
            });
            while (i_c < c.size()) {
                decode_next(0);
            }

            // the answer, too
            CHECK(complete_all(ctx, LLAMA_COMPLETE_EXACT, all, a.size(), cfg.n_ubatch) == (int64_t) c.size());
            CHECK(llama_memory_seq_rm(llama_get_memory(ctx.get()), 0, a.size(), -1));
            CHECK(save_cells(ctx.get()) == expected);
            CHECK(same(forced(ctx.get(), 0, c), forced_c));
        }
    }

    // in halves of f16 it is close
    {
        auto ctx = make_context(model, cfg, true);
        CHECK(prefill(ctx.get(), 0, a, storing({2, 4}, GGML_TYPE_F16), keep_every(3)) == LLAMA_STAGED_OK);
        complete_all(ctx, LLAMA_COMPLETE_EXACT, a, 0, cfg.n_ubatch);
        const auto got = forced(ctx.get(), 0, c);
        for (size_t i = 0; i < c.size(); ++i) {
            CHECK(max_diff(got[i], forced_c[i]) < 0.2);
        }
    }

    // without a store all tokens run from the first layer, with the same result
    {
        auto ctx = make_context(model, cfg, true);
        CHECK(prefill(ctx.get(), 0, a, stages({2, 4}), keep_every(3)) == LLAMA_STAGED_OK);
        CHECK(llama_staged_store_bytes(ctx.get(), 0) == 0);
        CHECK(complete_all(ctx, LLAMA_COMPLETE_EXACT, a, 0, cfg.n_ubatch) == (int64_t) a.size());
        CHECK(save_cells(ctx.get()) == expected);
    }
}

// a second thinned prompt on top of a thinned one and its answer, with other boundaries; then everything is completed
static void a_thinned_conversation_is_completed(llama_model * model, const config & cfg) {
    const int32_t n = n_vocab(make_context(model, cfg, false).get());

    const auto a = make_tokens(90, 63, n);
    const auto b = make_tokens(70, 64, n);
    const auto c = make_tokens(7, 65, n);

    std::vector<llama_token> all = a;
    all.insert(all.end(), c.begin(), c.end());
    all.insert(all.end(), b.begin(), b.end());

    auto full = make_context(model, cfg, true);
    CHECK(prefill(full.get(), 0, a, stages({}), {}) == LLAMA_STAGED_OK);
    decode(full.get(), 0, c);
    CHECK(prefill(full.get(), 0, b, stages({}), {}) == LLAMA_STAGED_OK);

    for (const auto & second : std::vector<std::vector<int32_t>>{{3}, {2, 4}, {1}}) {
        auto ctx = make_context(model, cfg, true);
        CHECK(prefill(ctx.get(), 0, a, storing({2, 4}), keep_every(3)) == LLAMA_STAGED_OK);
        // in one piece, as it is completed: token by token it would differ in its last bits, and so would what is computed on it
        decode(ctx.get(), 0, c);
        CHECK(prefill(ctx.get(), 0, b, storing(second), keep_every(2)) == LLAMA_STAGED_OK);
        CHECK(complete_all(ctx, LLAMA_COMPLETE_EXACT, all, 0, cfg.n_ubatch) == (int64_t) all.size());
        CHECK(save_cells(ctx.get()) == save_cells(full.get()));

        // what is thinned afterwards is in front of nothing that lacks tokens
        CHECK(prefill(ctx.get(), 0, b, storing({3}), keep_every(2)) == LLAMA_STAGED_OK);
        CHECK(llama_staged_store_bytes(ctx.get(), 0) > 0);
    }
}

// the tokens that upper layers lack run there over those that are there: as if they had been brought back one chunk at a time
static void filled_layers_hold_all_tokens_and_keep_their_own(llama_model * model, const config & cfg_in) {
    config cfg    = cfg_in;
    cfg.n_seq_max = 2;
    cfg.n_ctx     = cfg.unified ? 512 : 1024;

    const int32_t n_layer = llama_model_n_layer(model);

    auto filled   = make_context(model, cfg, true);
    auto restored = make_context(model, cfg, true);

    const auto a = make_tokens(100, 66, n_vocab(filled.get()));
    const auto b = make_tokens(40, 67, n_vocab(filled.get()));
    const auto c = make_tokens(6, 68, n_vocab(filled.get()));

    for (auto * ctx : {filled.get(), restored.get()}) {
        CHECK(prefill(ctx, 1, b, stages({2}), keep_all()) == LLAMA_STAGED_OK);
        CHECK(prefill(ctx, 0, a, storing({2}), keep_every(3)) == LLAMA_STAGED_OK);
    }
    const auto kept = llama_staged_positions(filled.get(), 0, n_layer - 1);

    std::vector<llama_pos>   pos;
    std::vector<llama_token> tokens;
    for (size_t i = 0; i < a.size(); ++i) {
        if (!std::binary_search(kept.begin(), kept.end(), (llama_pos) i)) {
            pos.push_back(i);
            tokens.push_back(a[i]);
        }
    }

    // what comes back can still be completed exactly from where it was stored
    const int64_t n_bytes_stored = llama_staged_store_bytes(restored.get(), 0);
    CHECK(n_bytes_stored > 0);

    std::string why;
    CHECK(llama_staged_restore(restored.get(), 0, tokens, pos, why) == LLAMA_STAGED_OK);
    CHECK(llama_staged_store_bytes(restored.get(), 0) == n_bytes_stored);
    CHECK(complete_all(filled, LLAMA_COMPLETE_FILL, a, 0, cfg.n_ubatch) == (int64_t) tokens.size());
    CHECK(complete_all(filled, LLAMA_COMPLETE_FILL, a, 0, cfg.n_ubatch) == 0);

    for (int32_t il = 0; il < n_layer; ++il) {
        const auto held = llama_staged_positions(filled.get(), 0, il);
        CHECK(held.size() == a.size());
        CHECK(std::adjacent_find(held.begin(), held.end()) == held.end());
    }

    const double tolerance = cfg.type_kv == GGML_TYPE_Q8_0 || cfg.type_v == GGML_TYPE_Q8_0 ? 0.2 : 2e-2;

    const auto expected = forced(restored.get(), 0, c);
    const auto got      = forced(filled.get(), 0, c);
    for (size_t i = 0; i < c.size(); ++i) {
        CHECK(max_diff(got[i], expected[i]) < tolerance);
    }

    // the neighbour has noticed nothing
    const auto expected_other = forced(restored.get(), 1, c);
    const auto got_other      = forced(filled.get(), 1, c);
    for (size_t i = 0; i < c.size(); ++i) {
        CHECK(max_diff(got_other[i], expected_other[i]) < tolerance);
    }

    // what is removed takes its residual stream along, what is copied has it, too
    const int64_t n_bytes = llama_staged_store_bytes(filled.get(), 0);
    auto *        mem     = llama_get_memory(filled.get());
    llama_memory_seq_rm(mem, 1, -1, -1);
    llama_memory_seq_cp(mem, 0, 1, -1, -1);
    CHECK(llama_staged_store_bytes(filled.get(), 1) == n_bytes);
    CHECK(llama_memory_seq_rm(mem, 0, 50, -1));
    CHECK(llama_staged_store_bytes(filled.get(), 0) == n_bytes / 2);
    CHECK(llama_memory_seq_rm(mem, 0, -1, -1));
    CHECK(llama_staged_store_bytes(filled.get(), 0) == 0);
    CHECK(llama_staged_store_bytes(filled.get(), 1) == n_bytes);

    // refused, and nothing changes
    int64_t n_done = 0;
    int64_t n_run  = 0;
    CHECK(llama_staged_complete(filled.get(), 1, LLAMA_COMPLETE_FILL, {5, 6}, -1, 8, n_done, n_run, why) == LLAMA_STAGED_INVALID);
    CHECK(llama_staged_complete(filled.get(), 1, LLAMA_COMPLETE_FILL, {5, 6}, 1000, 8, n_done, n_run, why) == LLAMA_STAGED_INVALID);
    CHECK(llama_staged_complete(filled.get(), 1, LLAMA_COMPLETE_FILL, {5, 6}, 0, 0, n_done, n_run, why) == LLAMA_STAGED_INVALID);
    CHECK(llama_staged_complete(filled.get(), 1, LLAMA_COMPLETE_FILL, {}, 0, 8, n_done, n_run, why) == LLAMA_STAGED_INVALID);
    CHECK(llama_staged_complete(filled.get(), 1, (llama_complete_grade) 7, {5}, 0, 8, n_done, n_run, why) == LLAMA_STAGED_INVALID);
    CHECK(llama_staged_complete(filled.get(), 0, LLAMA_COMPLETE_EXACT, {5}, 0, 8, n_done, n_run, why) == LLAMA_STAGED_INVALID);
    CHECK(!why.empty());
}

// what a sequence does without, and adapters, are part of a completion
static void completion_does_without_what_the_sequence_does_without(llama_model * model, const config & cfg) {
    const auto a = make_tokens(100, 69, n_vocab(make_context(model, cfg, false).get()));
    const auto c = make_tokens(6, 70, 100);

    for (const auto & skip : std::vector<std::vector<llama_layer_skip>>{
                 {{3, LLAMA_LAYER_PART_BLOCK}},
                 {{1, LLAMA_LAYER_PART_ATTENTION}, {4, LLAMA_LAYER_PART_FEED_FORWARD}},
                 {{llama_model_n_layer(model) - 1, LLAMA_LAYER_PART_ATTENTION}},
         }) {
        llama_staged_plan plain = stages({});
        llama_staged_plan plan  = storing({2, 4});
        plain.skip              = skip;
        plan.skip               = skip;

        auto full = make_context(model, cfg, true);
        auto ctx  = make_context(model, cfg, true);

        CHECK(prefill(full.get(), 0, a, plain, {}) == LLAMA_STAGED_OK);
        CHECK(prefill(ctx.get(), 0, a, plan, keep_every(3)) == LLAMA_STAGED_OK);
        CHECK(complete_all(ctx, LLAMA_COMPLETE_EXACT, a, 0, cfg.n_ubatch) == (int64_t) a.size());
        CHECK(save_cells(ctx.get()) == save_cells(full.get()));
        CHECK(same(forced(ctx.get(), 0, c), forced(full.get(), 0, c)));
    }
}

static llama_staged_plan prefill_only(int32_t il, std::vector<int32_t> boundaries = {}, std::vector<llama_layer_skip> skip = {}) {
    llama_staged_plan plan = stages(std::move(boundaries));
    plan.skip              = std::move(skip);
    plan.il_prefill_only   = il;
    return plan;
}

// a model like `def`, whose layers from il on add nothing to the residual stream: what they project is the residual stream in
// front of them. Zeros added to a number leave its bits as they are
static tiny_model freeze(const tiny_model & def, int32_t il_from) {
    tiny_model res = def;
    for (int32_t il = il_from; il < def.n_layer; ++il) {
        res.zero_attn.push_back(il);
        res.zero_ffn.push_back(il);
    }
    return res;
}

static void copy_state(llama_context * from, llama_context * to) {
    const auto state = save(from, 0);
    CHECK(llama_state_seq_set_data(to, state.data(), state.size(), 0) == state.size());
}

// the state of a sequence without what says how the caches came about and not what they hold: without the lock-step classes
static std::vector<uint8_t> save_cells(llama_context * ctx) {
    const int32_t n_layer = llama_model_n_layer(llama_get_model(ctx));

    auto res = save(ctx, 0);

    // what llama.cpp puts in front (magic, sequence), then magic, version, n_layer
    const size_t offs = 5 * sizeof(uint32_t);
    CHECK(res.size() > offs + (n_layer + 3) * sizeof(uint32_t));
    res.erase(res.begin() + offs, res.begin() + std::min(res.size(), offs + n_layer * sizeof(uint32_t)));

    // nor the layer up to which the residual stream is exact, behind the numbers of sequences and of skipped parts
    uint32_t n_skip;
    memcpy(&n_skip, res.data() + offs + sizeof(uint32_t), sizeof(n_skip));
    const size_t at = offs + (2 + 2 * n_skip) * sizeof(uint32_t);
    res.erase(res.begin() + at, res.begin() + at + sizeof(int32_t));

    return res;
}

// the reference is stock llama.cpp: all tokens but the last through a model whose upper layers add nothing, then, with the
// cache of that one, the last token through the model itself. In chunks of n_ubatch, a last token that has a chunk of its own
// is computed in the very same steps
static void prefill_only_projects_the_frozen_residual(const tiny_model & def, const std::string & dir, const config & cfg) {
    const std::string path = dir + "/" + def.arch;

    CHECK(tiny_lora_write(def, path + "-lora.gguf", 5, 0.5f));

    const auto next = make_tokens(6, 102, def.n_vocab);

    for (const int32_t il_from : {1, 3, def.n_layer - 1}) {
        for (const bool parts : {false, true}) {
            // what the whole sequence does without, in layers below and above, with an adapter
            std::vector<llama_layer_skip> skip;

            tiny_model whole = def;
            if (parts) {
                skip            = {block(2), attention(4), feed_forward(5)};
                whole.zero_attn = {2, 4};
                whole.zero_ffn  = {2, 5};
            }

            CHECK(tiny_model_write(whole, path + "-whole.gguf"));
            CHECK(tiny_model_write(freeze(whole, il_from), path + "-frozen.gguf"));

            auto model        = load(path + ".gguf");
            auto model_whole  = load(path + "-whole.gguf");
            auto model_frozen = load(path + "-frozen.gguf");

            auto staged = make_context(model.get(), cfg, true);
            auto stock  = make_context(model_whole.get(), cfg, false);
            auto frozen = make_context(model_frozen.get(), cfg, false);

            if (parts) {
                for (const auto & [m, c] : {std::make_pair(model.get(), staged.get()), {model_whole.get(), stock.get()}, {model_frozen.get(), frozen.get()}}) {
                    auto * lora  = llama_adapter_lora_init(m, (path + "-lora.gguf").c_str());
                    float  scale = 1.0f;
                    CHECK(lora != nullptr && llama_set_adapters_lora(c, &lora, 1, &scale) == 0);
                }
            }

            for (const int n_tokens : {1, 2, 33, 65, 80}) {
                const auto tokens = make_tokens(n_tokens, 101, def.n_vocab);

                for (auto * ctx : {staged.get(), stock.get(), frozen.get()}) {
                    llama_memory_clear(llama_get_memory(ctx), true);
                }

                if (n_tokens > 1) {
                    decode(frozen.get(), 0, {tokens.begin(), tokens.end() - 1});
                    copy_state(frozen.get(), stock.get());
                }
                const auto expected        = decode(stock.get(), 0, {tokens.back()});
                const auto expected_forced = forced(stock.get(), 0, next);

                llama_staged_report report;
                CHECK(prefill(staged.get(), 0, tokens, prefill_only(il_from, {}, skip), {}, &report) == LLAMA_STAGED_OK);

                const auto actual = get_logits(staged.get());

                CHECK(report.stages.size() == (n_tokens == 1 ? 2u : 3u));
                CHECK(report.stages.front().n_tokens == n_tokens && report.stages.back().n_tokens == 1);
                if (report.stages.size() == 3) {
                    CHECK(report.stages[1].kv_only && report.stages[1].n_tokens == n_tokens - 1);
                    CHECK(report.stages[1].il_begin == il_from && report.stages[1].il_end == def.n_layer);
                }
                CHECK(!report.stages.front().kv_only && !report.stages.back().kv_only);

                // the cache is as large as ever
                for (int32_t il = 0; il < def.n_layer; ++il) {
                    const bool is_skipped = parts && (il == 2 || il == 4);
                    CHECK(llama_staged_positions(staged.get(), 0, il).size() == (is_skipped ? 0u : (size_t) n_tokens));
                }

                const auto actual_forced = forced(staged.get(), 0, next);

                if ((n_tokens - 1) % cfg.n_ubatch == 0) {
                    CHECK(same(actual, expected));
                    CHECK(same(actual_forced, expected_forced));
                } else {
                    // the last token shares a chunk with others below the layer: sums are taken in another order
                    CHECK(max_diff(actual, expected) < 1e-2);
                    CHECK(max_diff(actual_forced.back(), expected_forced.back()) < 1e-2);
                }
            }
        }
    }
}

// keys and values of every layer, bit for bit, over two turns, where tokens leave below and where none does
static void prefill_only_caches_hold_what_a_frozen_model_writes(const tiny_model & def, const std::string & dir, const config & cfg) {
    const std::string path    = dir + "/" + def.arch;
    const int32_t     il_from = 4;

    CHECK(tiny_model_write(freeze(def, il_from), path + "-frozen.gguf"));

    auto model        = load(path + ".gguf");
    auto model_frozen = load(path + "-frozen.gguf");

    auto staged = make_context(model.get(), cfg, true);
    auto whole  = make_context(model.get(), cfg, true);
    auto frozen = make_context(model_frozen.get(), cfg, true);

    // of 65 tokens 33 go on, the last one behind whole chunks each time
    llama_staged_callbacks cb;
    cb.select = [](llama_boundary & b) {
        const int32_t n = b.pos->size();
        for (int32_t i = 0; i < n; ++i) {
            if (i < 31 || i >= 63) {
                b.keep.push_back(i);
            }
        }
        return true;
    };

    for (const auto & boundaries : {std::vector<int32_t>{}, std::vector<int32_t>{2}, std::vector<int32_t>{il_from}}) {
        for (auto * ctx : {staged.get(), whole.get(), frozen.get()}) {
            llama_memory_clear(llama_get_memory(ctx), true);
        }

        for (const int turn : {0, 1}) {
            const auto tokens = make_tokens(65, 103 + turn, def.n_vocab);

            CHECK(prefill(staged.get(), 0, tokens, prefill_only(il_from, boundaries), cb) == LLAMA_STAGED_OK);

            if (turn == 1) {
                copy_state(whole.get(), frozen.get());
            }
            CHECK(prefill(frozen.get(), 0, {tokens.begin(), tokens.end() - 1}, stages(boundaries), cb) == LLAMA_STAGED_OK);
            copy_state(frozen.get(), whole.get());
            CHECK(same(decode(whole.get(), 0, {tokens.back()}), get_logits(staged.get())));

            CHECK(save_cells(staged.get()) == save_cells(whole.get()));
        }
    }
}

// what a graph computes: (operation, name of its first operand)
using ops_t = std::vector<std::pair<ggml_op, std::string>>;

static bool record_op(ggml_tensor * t, bool ask, void * data) {
    if (ask) {
        ((ops_t *) data)->push_back({t->op, t->src[0] ? t->src[0]->name : ""});
    }
    return false;
}

static void prefill_only_costs_a_norm_and_two_projections(const tiny_model & def, llama_model * model, const config & cfg_in) {
    ops_t ops;

    config cfg       = cfg_in;
    cfg.cb_eval      = record_op;
    cfg.cb_eval_data = &ops;

    auto ctx = make_context(model, cfg, true);

    const int32_t il_from = 2;
    const int64_t n_upper = def.n_layer - il_from;

    // what is quantised is rotated first, where a head has whole blocks
    const bool    is_rotated = def.n_embd / def.n_head % 64 == 0;
    const int64_t n_rotated  = is_rotated ? (int) ggml_is_quantized(cfg.type_kv) + (int) ggml_is_quantized(cfg.type_v != GGML_TYPE_COUNT ? cfg.type_v : cfg.type_kv) : 0;

    int n_chunks = 0;

    llama_staged_callbacks cb;
    cb.progress = [&](int32_t stage, int64_t, int64_t, double) {
        auto count = [&](ggml_op op) {
            return std::count_if(ops.begin(), ops.end(), [&](const auto & cur) { return cur.first == op; });
        };
        auto is_projection = [&](const std::string & name, const char * of) {
            int  il;
            char what[16];
            return sscanf(name.c_str(), "blk.%d.%15[a-z_].weight", &il, what) == 2 && il >= il_from && strcmp(what, of) == 0;
        };

        if (stage == 1) {
            ++n_chunks;
            CHECK(count(GGML_OP_MUL_MAT) == (2 + n_rotated) * n_upper);
            for (const char * what : {"attn_k", "attn_v"}) {
                CHECK(std::count_if(ops.begin(), ops.end(), [&](const auto & cur) { return cur.first == GGML_OP_MUL_MAT && is_projection(cur.second, what); }) == n_upper);
            }
            CHECK(count(GGML_OP_RMS_NORM) == (def.arch == "qwen3" ? 2 : 1) * n_upper);
            CHECK(count(GGML_OP_ROPE) == n_upper);
            CHECK(count(GGML_OP_SET_ROWS) == 2 * n_upper);
            CHECK(count(GGML_OP_FLASH_ATTN_EXT) == 0 && count(GGML_OP_SOFT_MAX) == 0);
            CHECK(count(GGML_OP_GLU) == 0 && count(GGML_OP_UNARY) == 0);
            // a norm has a weight, a projection may have a bias
            CHECK(count(GGML_OP_MUL) + count(GGML_OP_ADD) <= 3 * n_upper);
        } else if (stage == 2) {
            // the last token runs: seven products with weights in each layer
            CHECK(count(GGML_OP_MUL_MAT) >= 7 * n_upper);
            CHECK(count(GGML_OP_SET_ROWS) == 2 * n_upper);
        }

        ops.clear();
        return true;
    };

    ops.clear();
    CHECK(prefill(ctx.get(), 0, make_tokens(70, 105, def.n_vocab), prefill_only(il_from), cb) == LLAMA_STAGED_OK);
    CHECK(n_chunks == 3);
}

static void prefill_only_does_not_depend_on_chunks(llama_model * model, const config & cfg_in) {
    std::vector<logits_t> all;
    std::vector<logits_t> plain;

    for (const uint32_t n_ubatch : {128u, 37u, 16u, 1u}) {
        config cfg   = cfg_in;
        cfg.n_ubatch = n_ubatch;

        auto ctx = make_context(model, cfg, true);

        const auto tokens = make_tokens(100, 106, n_vocab(ctx.get()));

        CHECK(prefill(ctx.get(), 0, tokens, prefill_only(3), {}) == LLAMA_STAGED_OK);
        all.push_back(decode(ctx.get(), 0, {7}));

        llama_memory_clear(llama_get_memory(ctx.get()), true);
        decode(ctx.get(), 0, tokens);
        plain.push_back(decode(ctx.get(), 0, {7}));
    }

    for (size_t i = 1; i < all.size(); ++i) {
        // as far as stock llama.cpp's own chunks agree
        CHECK(max_diff(all[i], all[0]) <= std::max(1e-3, 4 * max_diff(plain[i], plain[0])));
        CHECK(!same(all[i], plain[i]));
    }
}

static void a_failed_prefill_only_leaves_the_sequence_as_it_was(llama_model * model, const config & cfg) {
    const int32_t n_layer = llama_model_n_layer(model);

    auto ctx = make_context(model, cfg, true);

    const auto a = make_tokens(40, 107, n_vocab(ctx.get()));
    const auto b = make_tokens(70, 108, n_vocab(ctx.get()));
    const auto c = make_tokens(4, 109, n_vocab(ctx.get()));

    CHECK(prefill(ctx.get(), 0, a, prefill_only(2), {}) == LLAMA_STAGED_OK);
    const auto before = save_cells(ctx.get());

    // cancelled after every possible chunk
    int    n_chunks = 0;
    double last     = 0.0;
    for (int stop_at = 1; stop_at < 100; ++stop_at) {
        int n = 0;

        last = 0.0;

        auto cb     = keep_every(2);
        cb.progress = [&](int32_t, int64_t, int64_t, double fraction) {
            CHECK(fraction > last && fraction <= 1.0);
            last = fraction;
            return ++n < stop_at;
        };

        const auto res = prefill(ctx.get(), 0, b, prefill_only(4, {2}), cb);
        if (res == LLAMA_STAGED_OK) {
            n_chunks = n;
            CHECK(last == 1.0);
            llama_memory_seq_rm(llama_get_memory(ctx.get()), 0, a.size(), -1);
            break;
        }

        CHECK(res == LLAMA_STAGED_CANCELLED);
        CHECK(save_cells(ctx.get()) == before);
    }
    CHECK(n_chunks >= 6);

    // what does not go together
    std::string why;
    CHECK(prefill(ctx.get(), 0, b, prefill_only(3, {2, 4}), keep_all(), nullptr, &why) == LLAMA_STAGED_INVALID);
    CHECK(why.find("boundary at layer 4") != std::string::npos && why.find("layer 3") != std::string::npos);
    for (const int32_t il : {-1, n_layer, n_layer + 5}) {
        CHECK(prefill(ctx.get(), 0, b, prefill_only(il), {}, nullptr, &why) == LLAMA_STAGED_INVALID);
        CHECK(why.find("[1, ") != std::string::npos);
    }
    CHECK(prefill(ctx.get(), 0, make_tokens(600, 1, 100), prefill_only(3), {}) == LLAMA_STAGED_FULL);
    CHECK(save_cells(ctx.get()) == before);

    const auto expected = forced(ctx.get(), 0, c);
    llama_memory_clear(llama_get_memory(ctx.get()), true);
    CHECK(prefill(ctx.get(), 0, a, prefill_only(2), {}) == LLAMA_STAGED_OK);
    CHECK(same(forced(ctx.get(), 0, c), expected));

    // nothing to write where no upper layer has attention
    llama_memory_clear(llama_get_memory(ctx.get()), true);
    llama_staged_report report;
    CHECK(prefill(ctx.get(), 0, a, prefill_only(n_layer - 1, {}, {attention(n_layer - 1)}), {}, &report) == LLAMA_STAGED_OK);
    CHECK(report.stages.size() == 2 && report.stages.back().n_tokens == 1);
    const auto alone = get_logits(ctx.get());

    llama_memory_clear(llama_get_memory(ctx.get()), true);
    llama_staged_plan plan;
    plan.skip = {attention(n_layer - 1)};
    CHECK(prefill(ctx.get(), 0, a, plan, {}) == LLAMA_STAGED_OK);
    CHECK(max_diff(get_logits(ctx.get()), alone) < 1e-2);
}

// queries, keys and values that one matrix projects cannot be had apart
static void prefill_only_needs_projections_of_keys_and_values_alone(const std::string & dir) {
    tiny_model def;
    def.arch      = "qwen";
    def.n_head_kv = def.n_head;
    CHECK(tiny_model_write(def, dir + "/qwen.gguf"));

    auto model = load(dir + "/qwen.gguf");
    CHECK(model != nullptr);
    if (!model) {
        return;
    }

    config cfg;
    auto   ctx = make_context(model.get(), cfg, true);

    const auto tokens = make_tokens(50, 110, def.n_vocab);

    std::string why;
    CHECK(prefill(ctx.get(), 0, tokens, prefill_only(3), {}, nullptr, &why) == LLAMA_STAGED_UNSUPPORTED);
    CHECK(why.find("no projections of keys and of values alone") != std::string::npos);
    CHECK(llama_memory_seq_pos_max(llama_get_memory(ctx.get()), 0) == -1);

    // what is possible is said, and is possible
    CHECK(why.find("leave in front of them") != std::string::npos);
    CHECK(prefill(ctx.get(), 0, tokens, stages({3}), keep_every(2)) == LLAMA_STAGED_OK);
}

static void adapters_are_part_of_every_slice(const tiny_model & def, const std::string & dir, const config & cfg) {
    const std::string path = dir + "/" + def.arch;

    tiny_model zero = def;
    zero.zero_ffn   = {2};
    zero.zero_attn  = {4};
    CHECK(tiny_model_write(zero, path + "-zero.gguf"));
    CHECK(tiny_lora_write(def, path + "-lora.gguf", 5, 0.5f));
    CHECK(tiny_lora_write(def, path + "-none.gguf", 6, 0.0f));

    auto model      = load(path + ".gguf");
    auto model_zero = load(path + "-zero.gguf");

    // loaded with the model, freed with it
    auto * lora      = llama_adapter_lora_init(model.get(), (path + "-lora.gguf").c_str());
    auto * none      = llama_adapter_lora_init(model.get(), (path + "-none.gguf").c_str());
    auto * lora_zero = llama_adapter_lora_init(model_zero.get(), (path + "-lora.gguf").c_str());
    CHECK(lora != nullptr && none != nullptr && lora_zero != nullptr);

    auto set = [](const context_ptr & ctx, std::vector<llama_adapter_lora *> adapters, std::vector<float> scales) {
        CHECK(llama_set_adapters_lora(ctx.get(), adapters.data(), adapters.size(), scales.data()) == 0);
        llama_memory_clear(llama_get_memory(ctx.get()), false);
    };

    auto stock  = make_context(model.get(), cfg, false);
    auto staged = make_context(model.get(), cfg, true);

    const auto tokens = make_tokens(70, 95, def.n_vocab);
    const auto next   = make_tokens(4, 96, def.n_vocab);

    auto run = [&](const llama_staged_plan & plan) {
        CHECK(prefill(staged.get(), 0, tokens, plan, keep_all()) == LLAMA_STAGED_OK);
        auto res = forced(staged.get(), 0, next);
        llama_memory_clear(llama_get_memory(staged.get()), false);
        return res;
    };

    decode(stock.get(), 0, tokens);
    const auto plain = forced(stock.get(), 0, next);

    set(stock, {lora}, {1.0f});
    decode(stock.get(), 0, tokens);
    const auto with_lora = forced(stock.get(), 0, next);

    set(stock, {lora, none}, {0.5f, 1.0f});
    decode(stock.get(), 0, tokens);
    const auto with_both = forced(stock.get(), 0, next);

    CHECK(!same(plain, with_lora) && !same(with_lora, with_both));

    // switched from one prompt to the next
    CHECK(same(run(stages({2, 4})), plain));
    set(staged, {lora}, {1.0f});
    CHECK(same(run(stages({2, 4})), with_lora));
    CHECK(same(run(stages({})), with_lora));
    set(staged, {lora, none}, {0.5f, 1.0f});
    CHECK(same(run(stages({1, 3})), with_both));
    set(staged, {none}, {1.0f});
    CHECK(same(run(stages({3})), plain));
    set(staged, {}, {});
    CHECK(same(run(stages({3})), plain));

    // and where parts of layers are skipped
    auto reference = make_context(model_zero.get(), cfg, false);
    set(reference, {lora_zero}, {1.0f});
    decode(reference.get(), 0, tokens);

    llama_staged_plan plan = stages({3});
    plan.skip              = {feed_forward(2), attention(4)};
    set(staged, {lora}, {1.0f});
    CHECK(same(run(plan), forced(reference.get(), 0, next)));
}

static void what_cannot_be_staged_is_refused(const std::string & dir) {
    tiny_model def;
    def.arch = "gemma2";
    CHECK(tiny_model_write(def, dir + "/gemma2.gguf"));

    auto model = load(dir + "/gemma2.gguf");
    CHECK(model != nullptr);

    config cfg;
    auto   ctx = make_context(model.get(), cfg, false);

    const auto tokens = make_tokens(20, 1, def.n_vocab);
    const auto before = decode(ctx.get(), 0, tokens);

    std::string why;
    CHECK(!llama_staged_enable(ctx.get(), why));
    CHECK(why.find("sliding-window") != std::string::npos);
    CHECK(!llama_staged_enabled(ctx.get()));

    // and the context is as it was
    llama_memory_clear(llama_get_memory(ctx.get()), true);
    CHECK(same(decode(ctx.get(), 0, tokens), before));

    std::string why_prefill;
    CHECK(prefill(ctx.get(), 0, tokens, stages({2}), keep_all(), nullptr, &why_prefill) == LLAMA_STAGED_INVALID);
    CHECK(why_prefill.find("not enabled") != std::string::npos);

    // a layer that reads more than what the one below it leaves
    {
        tiny_model loops;
        loops.arch    = "hrm_text";
        loops.n_layer = 4;
        CHECK(tiny_model_write(loops, dir + "/hrm_text.gguf"));

        auto looping = load(dir + "/hrm_text.gguf");
        CHECK(looping != nullptr);
        if (looping) {
            auto looping_ctx = make_context(looping.get(), cfg, false);
            CHECK(!llama_staged_enable(looping_ctx.get(), why));
            CHECK(why.find("layer 4 reads what layer 1 computes") != std::string::npos);
        }
    }

    // too late
    auto llama = load(dir + "/llama.gguf");
    auto used  = make_context(llama.get(), cfg, false);
    decode(used.get(), 0, tokens);
    CHECK(!llama_staged_enable(used.get(), why));
    CHECK(why.find("not empty") != std::string::npos);
}

// layers that predict the token after the next one are in the file, behind the others, and not in the graph
static void layers_behind_the_model_take_no_part(const std::string & dir) {
    tiny_model def;
    def.arch    = "glm4moe";
    def.n_nextn = 1;
    CHECK(tiny_model_write(def, dir + "/glm4moe.gguf"));

    auto model = load(dir + "/glm4moe.gguf");
    CHECK(model != nullptr);
    if (!model) {
        return;
    }

    CHECK(llama_model_n_layer(model.get()) == def.n_layer);

    for (const ggml_type type_kv : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
        config cfg;
        cfg.type_kv      = type_kv;
        context_of_check = "glm4moe, " + cfg.str();

        keep_all_gives_the_stock_logits(model.get(), cfg, 100, 6);
        dropped_positions_are_absent_above_the_boundary(model.get(), cfg);
        a_thinned_sequence_goes_on_as_uninterrupted(model.get(), cfg, prefill_only(4, {2}));
    }
}

// rotated keys can be turned where RoPE turns whole blocks of the rotation
static void keys_that_cannot_be_turned_are_not_shifted(const std::string & dir) {
    tiny_model def;
    def.arch      = "glm4moe";
    def.n_embd    = 256;
    def.n_head    = 2;
    def.n_head_kv = 1;
    def.n_rot     = 64; // of 128, which is one block
    CHECK(tiny_model_write(def, dir + "/partial.gguf"));

    auto model = load(dir + "/partial.gguf");
    CHECK(model != nullptr);
    if (!model) {
        return;
    }

    for (const ggml_type type_kv : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
        config cfg;
        cfg.type_kv      = type_kv;
        context_of_check = "partly turned heads, " + cfg.str();

        for (const bool staged : {false, true}) {
            auto ctx = make_context(model.get(), cfg, staged);
            CHECK(llama_memory_can_shift(llama_get_memory(ctx.get())) == (type_kv == GGML_TYPE_F16));
        }
        keep_all_gives_the_stock_logits(model.get(), cfg, 100, 6);
        if (type_kv == GGML_TYPE_F16) {
            context_shift_equals_stock(model.get(), cfg);
        }
    }
}

struct cache_kind {
    bool      flash_attn;
    ggml_type type_kv;
    ggml_type type_v;
};

static void claims(const tiny_model & def, const std::string & dir, const std::vector<cache_kind> & kinds) {
    const std::string path = dir + "/" + def.arch + ".gguf";
    CHECK(tiny_model_write(def, path));

    auto model = load(path);
    CHECK(model != nullptr);
    if (!model) {
        return;
    }

    context_of_check = def.arch;
    probes_that_a_graph_has_no_room_for_are_refused(model.get());

    for (const auto & kind : kinds) {
        for (const bool unified : {false, true}) {
            config cfg;
            cfg.flash_attn = kind.flash_attn;
            cfg.unified    = unified;
            cfg.type_kv    = kind.type_kv;
            cfg.type_v     = kind.type_v;

            const std::string label = def.arch + ", " + std::to_string(def.n_embd / def.n_head) + " per head, ";

            for (const uint32_t n_ubatch : {16u, 37u, 128u}) {
                cfg.n_ubatch     = n_ubatch;
                context_of_check = label + cfg.str();
                keep_all_gives_the_stock_logits(model.get(), cfg, 100, 6);
            }

            cfg.n_ubatch     = 32;
            context_of_check = label + cfg.str();

            dropped_positions_are_absent_above_the_boundary(model.get(), cfg);
            failures_leave_the_sequence_as_it_was(model.get(), cfg);
            a_thinned_sequence_goes_on_as_uninterrupted(model.get(), cfg, stages({2, 4}));
            a_thinned_sequence_goes_on_as_uninterrupted(model.get(), cfg, prefill_only(4, {2}));
            a_thinned_sequence_goes_on_as_uninterrupted(model.get(), cfg, prefill_only(1));
            states_with_other_boundaries_follow_each_other(model.get(), cfg);
            sequences_do_not_disturb_each_other(model.get(), cfg);
            context_shift_equals_stock(model.get(), cfg);
            restored_tokens_are_as_if_never_dropped(model.get(), cfg);
            completed_layers_are_those_of_a_full_prefill(model.get(), cfg);
            a_thinned_conversation_is_completed(model.get(), cfg);
            filled_layers_hold_all_tokens_and_keep_their_own(model.get(), cfg);
            completion_does_without_what_the_sequence_does_without(model.get(), cfg);

            const bool   is_q8     = kind.type_kv == GGML_TYPE_Q8_0 || kind.type_v == GGML_TYPE_Q8_0;
            const double tolerance = is_q8 ? 0.1 : kind.flash_attn ? 5e-3 :
                                                                     1e-6;
            probes_are_the_attention(model.get(), cfg, tolerance);
            // what differs in one prefill goes into the next; so do sums over cells in another order
            probes_reach_the_past(model.get(), cfg, is_q8 || kind.flash_attn || !unified ? 2 * tolerance : 1e-3);
            the_residual_is_what_the_layers_above_start_from(model.get(), cfg);
            skipping_equals_a_model_without_the_layers(def, dir, cfg);
            skipping_sublayers_equals_a_model_where_they_add_nothing(def, dir, cfg);
            cells_of_a_skipped_layer_are_its_own(model.get(), cfg);
            adapters_are_part_of_every_slice(def, dir, cfg);
            prefill_only_projects_the_frozen_residual(def, dir, cfg);
            prefill_only_caches_hold_what_a_frozen_model_writes(def, dir, cfg);
            prefill_only_costs_a_norm_and_two_projections(def, model.get(), cfg);
            prefill_only_does_not_depend_on_chunks(model.get(), cfg);
            a_failed_prefill_only_leaves_the_sequence_as_it_was(model.get(), cfg);
        }
    }
}

int main(int argc, char ** argv) {
    const std::string dir  = argc > 1 ? argv[1] : ".";
    const char *      real = argc > 2 ? argv[2] : getenv("FORETOKEN_TEST_MODEL");

    llama_log_set([](ggml_log_level level, const char * text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR && getenv("FORETOKEN_TEST_VERBOSE")) {
            fputs(text, stderr);
        }
    },
            nullptr);

    llama_backend_init();
    if (ftk_backend_init(nullptr) != FTK_OK) {
        printf("no backends: %s\n", ftk_last_error());
        return 1;
    }

    for (const char * arch : {"llama", "qwen2", "qwen3", "gemma"}) {
        tiny_model def;
        def.arch = arch;

        claims(def, dir, {
                                 {true, GGML_TYPE_F16, GGML_TYPE_COUNT}, {true, GGML_TYPE_Q8_0, GGML_TYPE_COUNT}, {false, GGML_TYPE_F16, GGML_TYPE_COUNT}, // llama.cpp has no quantised V without flash attention
                         });
    }

    // quantised keys and values of heads of 64 are rotated in the cache
    {
        tiny_model def;
        def.arch      = "qwen3";
        def.n_embd    = 192;
        def.n_head    = 3;
        def.n_head_kv = 1;
        def.n_layer   = 6;

        claims(def, dir, {
                                 {true, GGML_TYPE_Q8_0, GGML_TYPE_COUNT},
                                 {true, GGML_TYPE_F16, GGML_TYPE_Q8_0},
                                 {false, GGML_TYPE_Q8_0, GGML_TYPE_F16},
                         });
    }

    layers_behind_the_model_take_no_part(dir);
    keys_that_cannot_be_turned_are_not_shifted(dir);
    what_cannot_be_staged_is_refused(dir);
    prefill_only_needs_projections_of_keys_and_values_alone(dir);

    if (real) {
        auto model = load(real);
        CHECK(model != nullptr);

        if (model) {
            config cfg;
            cfg.n_ctx     = 1024;
            cfg.n_threads = 2;

            cfg.n_ubatch     = 64;
            context_of_check = std::string("real model, ") + cfg.str();
            keep_all_gives_the_stock_logits(model.get(), cfg, 150, 32);

            cfg.n_ubatch     = 512;
            cfg.type_kv      = GGML_TYPE_Q8_0;
            context_of_check = std::string("real model, ") + cfg.str();
            keep_all_gives_the_stock_logits(model.get(), cfg, 100, 8);

            cfg.type_kv      = GGML_TYPE_F16;
            cfg.flash_attn   = false;
            context_of_check = std::string("real model, ") + cfg.str();
            keep_all_gives_the_stock_logits(model.get(), cfg, 100, 8);
        }
    } else {
        printf("no real model given: its tests were left out\n");
    }

    printf("%d checks, %d failed\n", n_checks, n_failed);

    return n_failed == 0 ? 0 : 1;
}

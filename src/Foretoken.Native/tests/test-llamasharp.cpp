// The shim for LLamaSharp as LLamaSharp loads it: first of all, so that its symbols stand in front of libllama's. This
// program must not be linked to libllama, whose own symbols would then be in front of both.

#include "llama.h"

#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

static int n_failed = 0;
static int n_checks = 0;

#define CHECK(cond)                                                            \
    do {                                                                       \
        ++n_checks;                                                            \
        if (!(cond)) {                                                         \
            ++n_failed;                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
        }                                                                      \
    } while (0)

#ifdef __APPLE__
#    define LIBRARY(name) "lib" name ".dylib"
#else
#    define LIBRARY(name) "lib" name ".so"
#endif

// the table of a sampler as LLamaSharp 0.30 has it
struct table_0_30 {
    const char * (*name)(const llama_sampler * smpl);
    void (*accept)(llama_sampler * smpl, llama_token token);
    void (*apply)(llama_sampler * smpl, llama_token_data_array * cur_p);
    void (*reset)(llama_sampler * smpl);
    llama_sampler * (*clone)(const llama_sampler * smpl);
    void (*free)(llama_sampler * smpl);
    void * backend[4];
};

static void * shim;

// what LLamaSharp gets for a name
template <typename function_t>
static function_t function(const char * name) {
    void * result = dlsym(shim, name);
    if (result == nullptr) {
        fprintf(stderr, "the shim does not lead to %s\n", name);
        exit(1);
    }
    return reinterpret_cast<function_t>(result);
}

#define CALL(name) (function<decltype(&name)>(#name))

using init_penalties_t = llama_sampler * (*) (int32_t, float, float, float);
using init_dry_t       = llama_sampler * (*) (const llama_vocab *, int32_t, float, float, int32_t, int32_t, const char **, size_t);
using init_t           = llama_sampler * (*) (const table_0_30 *, llama_sampler_context_t);

static std::vector<float> apply(llama_sampler * smpl, std::vector<float> logits) {
    std::vector<llama_token_data> data;
    for (size_t i = 0; i < logits.size(); ++i) {
        data.push_back({(llama_token) i, logits[i], 0.0f});
    }
    llama_token_data_array cur_p = {data.data(), data.size(), -1, false};
    CALL(llama_sampler_apply)
    (smpl, &cur_p);
    for (const auto & d : data) {
        logits[d.id] = d.logit;
    }
    return logits;
}

static void test_penalties() {
    llama_sampler * chain     = CALL(llama_sampler_chain_init)({true});
    llama_sampler * penalties = function<init_penalties_t>("llama_sampler_init_penalties")(8, 2.0f, 0.5f, 0.25f);
    CALL(llama_sampler_chain_add)
    (chain, penalties);
    for (llama_token token : {1, 1, 2}) {
        CALL(llama_sampler_accept)
        (chain, token);
    }

    const std::vector<float> expected = {4.0f, 4.0f / 2 - 2 * 0.5f - 0.25f, -4.0f * 2 - 0.5f - 0.25f};
    CHECK(apply(chain, {4.0f, 4.0f, -4.0f}) == expected);

    // a clone is made by libllama, which must reach its own functions and not the shim's
    llama_sampler * clone = CALL(llama_sampler_clone)(chain);
    CHECK(apply(clone, {4.0f, 4.0f, -4.0f}) == expected);
    llama_sampler * again = CALL(llama_sampler_clone)(clone);
    CHECK(apply(again, {4.0f, 4.0f, -4.0f}) == expected);

    // on a device they would need the size of the vocabulary
    for (llama_sampler * smpl : {chain, clone, again}) {
        const llama_sampler * only = CALL(llama_sampler_chain_get)(smpl, 0);
        CHECK(only->iface->backend_init == nullptr);
        CHECK(only->iface->backend_apply == nullptr);
        CALL(llama_sampler_free)
        (smpl);
    }

    // nothing to penalise
    llama_sampler * disabled = function<init_penalties_t>("llama_sampler_init_penalties")(0, 2.0f, 0.5f, 0.25f);
    clone                    = CALL(llama_sampler_clone)(disabled);
    CHECK(apply(clone, {4.0f, -4.0f}) == std::vector<float>({4.0f, -4.0f}));
    CALL(llama_sampler_free)
    (clone);
    CALL(llama_sampler_free)
    (disabled);
}

static void test_dry() {
    // -1: as far back as the context is long
    for (int32_t last_n : {-1, 64}) {
        llama_sampler * dry = function<init_dry_t>("llama_sampler_init_dry")(nullptr, 64, 1.0f, 2.0f, 2, last_n, nullptr, 0);
        for (llama_token token : {0, 1, 2, 3, 0, 1, 2}) {
            CALL(llama_sampler_accept)
            (dry, token);
        }
        const std::vector<float> logits = apply(dry, {1.0f, 1.0f, 1.0f, 1.0f});
        CHECK(logits[0] == 1.0f);
        CHECK(logits[3] < 1.0f);
        CALL(llama_sampler_free)
        (dry);
    }
}

static int n_freed = 0;

static const char * custom_name(const llama_sampler *) {
    return "custom";
}

static void custom_apply(llama_sampler *, llama_token_data_array * cur_p) {
    cur_p->data[0].logit += 1.0f;
}

static llama_sampler * custom_init(int * state);

static llama_sampler * custom_clone(const llama_sampler * smpl) {
    return custom_init(static_cast<int *>(smpl->ctx));
}

static void custom_free(llama_sampler * smpl) {
    ++*static_cast<int *>(smpl->ctx);
}

static void stateless_free(llama_sampler *) {
    ++n_freed;
}

static llama_sampler * custom_init(int * state) {
    // LLamaSharp frees its table with the sampler; here it is gone at once
    auto *          table  = new table_0_30{custom_name, nullptr, custom_apply, nullptr, custom_clone, custom_free, {}};
    llama_sampler * result = function<init_t>("llama_sampler_init")(table, state);
    *table                 = {};
    delete table;
    return result;
}

static void test_custom() {
    int freed = 0;

    llama_sampler * chain = CALL(llama_sampler_chain_init)({true});
    CALL(llama_sampler_chain_add)
    (chain, custom_init(&freed));
    llama_sampler * clone = CALL(llama_sampler_clone)(chain);
    for (llama_sampler * smpl : {chain, clone}) {
        const llama_sampler * only = CALL(llama_sampler_chain_get)(smpl, 0);
        CHECK(CALL(llama_sampler_name)(only)[0] == 'c');
        CHECK(only->iface->backend_init == nullptr);
        CHECK(only->iface->backend_reset == nullptr);
        CHECK(only->iface->copy_state == nullptr);
        // the entries that the table does not have are nothing, and so not called
        CALL(llama_sampler_accept)
        (smpl, 3);
        CALL(llama_sampler_reset)
        (smpl);
        CHECK(apply(smpl, {1.0f, 2.0f}) == std::vector<float>({2.0f, 2.0f}));
    }
    CALL(llama_sampler_free)
    (chain);
    CHECK(freed == 1);
    CHECK(apply(clone, {1.0f, 2.0f}) == std::vector<float>({2.0f, 2.0f}));
    CALL(llama_sampler_free)
    (clone);
    CHECK(freed == 2);

    // without state there is nothing to clone but the table
    const table_0_30 table = {nullptr, nullptr, custom_apply, nullptr, nullptr, stateless_free, {}};
    llama_sampler *  one   = function<init_t>("llama_sampler_init")(&table, nullptr);
    llama_sampler *  two   = CALL(llama_sampler_clone)(one);
    CALL(llama_sampler_free)
    (one);
    CHECK(apply(two, {1.0f, 2.0f}) == std::vector<float>({2.0f, 2.0f}));
    CALL(llama_sampler_free)
    (two);
    CHECK(n_freed == 2);
}

int main() {
    CHECK(dlopen(LIBRARY("llama"), RTLD_LAZY | RTLD_NOLOAD) == nullptr);

    shim = dlopen(LIBRARY("foretoken-llamasharp-0.30"), RTLD_LAZY);
    if (shim == nullptr) {
        fprintf(stderr, "the shim cannot be loaded: %s\n", dlerror());
        return 1;
    }

    test_penalties();
    test_dry();
    test_custom();

    printf("%d checks, %d failed\n", n_checks, n_failed);

    return n_failed == 0 ? 0 : 1;
}

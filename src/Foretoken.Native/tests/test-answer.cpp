// One question, asked of the C API from the file to the text of the answer: what has to work wherever the library is loaded. Short,
// so that it can be run under an emulator of another processor.
//
//   test-answer [MODEL.gguf [TEXT]]    default: the environment variable FORETOKEN_TEST_MODEL; TEXT must be in the answer

#include "foretoken.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

static const int N_ANSWER = 12;

#define OK(call)                                                                    \
    do {                                                                            \
        if ((call) != FTK_OK) {                                                     \
            printf("FAILED: line %d: %s: %s\n", __LINE__, #call, ftk_last_error()); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

#define CHECK(condition)                                           \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("FAILED: line %d: %s\n", __LINE__, #condition); \
            exit(1);                                               \
        }                                                          \
    } while (0)

// every other token of the middle leaves; the beginning and the end stay
static int32_t keep_half(void * user, ftk_boundary * boundary) {
    const int64_t n_tokens = ftk_boundary_n_tokens(boundary);

    std::vector<int32_t> kept;
    for (int64_t i = 0; i < n_tokens; ++i) {
        if (i < 4 || i + 24 >= n_tokens || i % 2 == 0) {
            kept.push_back((int32_t) i);
        }
    }

    *(int64_t *) user = (int64_t) kept.size();
    return ftk_boundary_keep(boundary, kept.data(), (int64_t) kept.size());
}

int main(int argc, char ** argv) {
    const char * path = argc > 1 ? argv[1] : getenv("FORETOKEN_TEST_MODEL");
    if (path == nullptr) {
        printf("usage: %s MODEL.gguf [TEXT] (or set FORETOKEN_TEST_MODEL)\n", argv[0]);
        return 1;
    }

    OK(ftk_backend_init(nullptr));

    char    text[4096];
    int64_t n_text = 0;
    OK(ftk_cpu_info(text, sizeof(text), &n_text));
    printf("%.*s\n", (int) n_text, text);

    ftk_model *       model  = nullptr;
    ftk_chat *        chat   = nullptr;
    ftk_chat_prompt * prompt = nullptr;
    ftk_context *     ctx    = nullptr;
    ftk_plan *        plan   = nullptr;

    OK(ftk_model_load(path, nullptr, nullptr, nullptr, &model));
    OK(ftk_chat_create(model, nullptr, &chat));
    OK(ftk_chat_render(chat, "{\"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]}", nullptr, &prompt));

    std::vector<int32_t> tokens(ftk_chat_prompt_n_tokens(prompt));
    OK(ftk_chat_prompt_tokens(prompt, tokens.data(), nullptr, (int64_t) tokens.size()));

    OK(ftk_context_create(model, "{\"n_ctx\": 256, \"n_threads\": 2}", &ctx));
    OK(ftk_plan_create(&plan));
    OK(ftk_plan_add_boundary(plan, 1));

    int64_t n_kept = 0;
    OK(ftk_prefill(ctx, 0, tokens.data(), (int64_t) tokens.size(), plan, keep_half, nullptr, &n_kept, nullptr));
    CHECK(n_kept > 0 && n_kept < (int64_t) tokens.size());

    std::string answer;
    for (int i = 0; i < N_ANSWER; ++i) {
        static std::vector<float> logits(1 << 20);
        OK(ftk_logits(ctx, logits.data(), (int64_t) logits.size()));

        int64_t n_vocab = 0;
        OK(ftk_model_info(model, text, sizeof(text), &n_text));
        const std::string info(text, n_text);
        n_vocab = atoll(info.c_str() + info.find("\"n_vocab\":") + 10);
        CHECK(n_vocab > 0 && n_vocab <= (int64_t) logits.size());

        int32_t best = 0;
        for (int32_t token = 1; token < n_vocab; ++token) {
            if (!(logits[token] <= logits[best])) {
                best = token;
            }
        }
        CHECK(logits[best] == logits[best]);
        if (ftk_token_is_eog(model, best) == 1) {
            break;
        }
        OK(ftk_token_bytes(model, best, 0, text, sizeof(text), &n_text));
        answer.append(text, n_text);
        OK(ftk_decode(ctx, 0, &best, 1, nullptr));
    }
    printf("%lld of %zu tokens kept; the answer: %s\n", (long long) n_kept, tokens.size(), answer.c_str());
    CHECK(!answer.empty());
    if (argc > 2) {
        CHECK(answer.find(argv[2]) != std::string::npos);
    }

    ftk_plan_free(plan);
    ftk_context_free(ctx);
    ftk_chat_prompt_free(prompt);
    ftk_chat_free(chat);
    ftk_model_free(model);
    return 0;
}

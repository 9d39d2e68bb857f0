// Foretoken C API: what the managed library calls. Compiled into libllama.
//
// Conventions
//   - fixed-width types, opaque handles, no structs by value
//   - every fallible call returns an ftk_status; ftk_last_error() explains the last failure on the calling thread
//   - cold calls (load, create, chat) take a UTF-8 JSON object; an unknown key is FTK_INVALID_ARGUMENT, never ignored
//   - text results: the callee writes at most `capacity` bytes (no terminator) and always stores the full length in
//     `*n_needed`; capacity too small is FTK_BUFFER_TOO_SMALL and the call can be repeated
//   - no C++ exception, assert or abort of ours crosses this boundary
//   - a model may be used from several threads; a context, a plan, a sampler and a chat prompt by one thread at a time;
//     ftk_cancel_set may be called from any thread

#ifndef FORETOKEN_H
#define FORETOKEN_H

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#    ifdef LLAMA_BUILD
#        define FTK_API __declspec(dllexport)
#    else
#        define FTK_API __declspec(dllimport)
#    endif
#else
#    define FTK_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// raised whenever a declaration below changes meaning; the managed side refuses any other value
#define FTK_ABI_VERSION 8

typedef int32_t ftk_status;

enum {
    FTK_OK               = 0,
    FTK_INVALID_ARGUMENT = 1, // an argument is out of range, malformed JSON, unknown key
    FTK_FILE_NOT_FOUND   = 2,
    FTK_BAD_MODEL        = 3, // not a GGUF file, truncated, inconsistent
    FTK_UNSUPPORTED      = 4, // this architecture, memory type or device cannot do what was asked
    FTK_OUT_OF_MEMORY    = 5,
    FTK_CONTEXT_FULL     = 6, // no room for the tokens; nothing was changed
    FTK_CANCELLED        = 7, // the sequence is as it was before the call
    FTK_COMPUTE_FAILED   = 8, // the sequence is as it was before the call
    FTK_STATE_MISMATCH   = 9, // a saved state does not belong to this model, context or build
    FTK_BUFFER_TOO_SMALL = 10,
    FTK_TEMPLATE_FAILED  = 11, // the chat template rejected the conversation
    FTK_GRAMMAR_FAILED   = 12, // a grammar or JSON schema could not be turned into a grammar
    FTK_CALLBACK_FAILED  = 13, // the host's selection callback reported a failure; the sequence is as it was
    FTK_DEVICE_MISSING   = 14, // a device or server that was asked for is not there
    FTK_DEVICE_LOST      = 15, // a server went away, and what models and contexts held there: free them, then load again
    FTK_INTERNAL         = 99,
};

// message of the last failed call on this thread, UTF-8, valid until the next call on this thread; never NULL
FTK_API const char * ftk_last_error(void);

//
// library
//

FTK_API int32_t      ftk_abi_version(void);
FTK_API const char * ftk_llama_release(void); // the pin, e.g. "v0.5.0"
FTK_API const char * ftk_patch_hash(void);    // hash of the patch series this library was built with
FTK_API const char * ftk_build_info(void);    // JSON: compiler, build_type ("Release"), options, backends

// level: 1 debug, 2 info, 3 warning, 4 error. Continuation lines are already joined; text has no trailing newline.
// Called from whatever thread logs. NULL silences (the default: nothing is ever written to stderr).
typedef void (*ftk_log_callback)(void * user, int32_t level, const char * text);
FTK_API void ftk_log_set(ftk_log_callback callback, void * user);

// loads dynamic backends that lie beside the library (or in `dir` when not NULL); idempotent
FTK_API ftk_status ftk_backend_init(const char * dir);
// JSON array of devices: name, description, type ("cpu", "gpu", "igpu", "accel"), memory_free, memory_total (bytes)
FTK_API ftk_status ftk_devices(char * buf, int64_t capacity, int64_t * n_needed);

// JSON: library (file name of the CPU backend in use; of a portable build, the variant that was chosen), features (array of
// what its kernels use, as ggml names it: "AVX2", "AMX_INT8", "REPACK", "LLAMAFILE", ...)
FTK_API ftk_status ftk_cpu_info(char * buf, int64_t capacity, int64_t * n_needed);
// What multiplies a weight matrix [n_in, n_out] of ggml type `type` with the rows of a prompt on the CPU: the name of a buffer
// type that repacks it ("AMX", "CPU_REPACK"), of a kernel that takes it as it is ("tinyBLAS", "panels"), or an empty text where
// no kernel takes several rows at once: prefill is then as slow per token as decode computes
FTK_API ftk_status ftk_cpu_kernel(int32_t type, int64_t n_in, int64_t n_out, char * buf, int64_t capacity, int64_t * n_needed);

//
// cancellation: a flag that any thread may set; checked between chunks and between the operations of a graph
//

typedef struct ftk_cancel ftk_cancel;
FTK_API ftk_status        ftk_cancel_create(ftk_cancel ** out);
FTK_API void              ftk_cancel_set(ftk_cancel * cancel);
FTK_API void              ftk_cancel_reset(ftk_cancel * cancel);
FTK_API void              ftk_cancel_free(ftk_cancel * cancel);

//
// model
//

typedef struct ftk_model ftk_model;

// progress in [0, 1]; return 0 to continue, anything else to stop loading (FTK_CANCELLED)
typedef int32_t (*ftk_load_progress)(void * user, float progress);

// path: UTF-8; of a split model, the first shard. config keys (all optional):
//   n_gpu_layers (int, -1 all; default 0, or -1 when devices or rpc_servers are named), use_mmap (bool, true),
//   use_mlock (bool, false), vocab_only (bool, false), devices (array of names as in ftk_devices), rpc_servers (array of
//   "host:port"). What is asked for and not there is FTK_DEVICE_MISSING, never a run on the CPU
FTK_API ftk_status ftk_model_load(const char * path, const char * config_json,
        ftk_load_progress progress, void * user, ftk_model ** out);
// for hosts that already own a llama_model (drop-in use); the model is not freed with the handle
FTK_API ftk_status ftk_model_attach(void * llama_model, ftk_model ** out);
FTK_API void       ftk_model_free(ftk_model * model);

// JSON: arch, description, n_layer, n_embd, n_head, n_head_kv, n_ff, n_vocab, n_ctx_train, n_params, size_bytes,
//       bos, eos, eot (token ids or -1), add_bos (bool), has_chat_template (bool), file_type
FTK_API ftk_status ftk_model_info(const ftk_model * model, char * buf, int64_t capacity, int64_t * n_needed);
// GGUF metadata value as text; FTK_INVALID_ARGUMENT when the key is absent
FTK_API ftk_status ftk_model_metadata(const ftk_model * model, const char * key, char * buf, int64_t capacity, int64_t * n_needed);

//
// tokens
//

// parse_special = 0: text is only text; no control token can come out of it
FTK_API ftk_status ftk_tokenize(const ftk_model * model, const char * text, int64_t n_bytes,
        int32_t add_special, int32_t parse_special,
        int32_t * tokens, int64_t capacity, int64_t * n_needed);
// bytes of one token; they need not be whole UTF-8 characters. special = 0: control tokens give no bytes
FTK_API ftk_status ftk_token_bytes(const ftk_model * model, int32_t token, int32_t special,
        char * buf, int64_t capacity, int64_t * n_needed);
FTK_API int32_t    ftk_token_is_eog(const ftk_model * model, int32_t token); // 1: ends the generation
FTK_API int32_t    ftk_token_is_control(const ftk_model * model, int32_t token);

//
// chat: the model's own template (Jinja, llama.cpp common/chat), tool calls, and the tokens of the prompt
//

typedef struct ftk_chat        ftk_chat;        // a parsed template
typedef struct ftk_chat_prompt ftk_chat_prompt; // one rendered conversation

// template_override: NULL for the model's own
FTK_API ftk_status ftk_chat_create(const ftk_model * model, const char * template_override, ftk_chat ** out);
FTK_API void       ftk_chat_free(ftk_chat * chat);

// request keys: messages (OpenAI chat format, required), tools, tool_choice ("auto" | "none" | "required"),
//   parallel_tool_calls (bool), json_schema (object), grammar (GBNF text), add_generation_prompt (bool, true),
//   enable_thinking (bool, true), template_kwargs (object of strings), continue_text (text the answer starts with)
// A function of the tools may have grammar_parameters beside parameters: what the grammar of calls is made of, where the template
// shows something else. Schemas of a grammar are normalised: each keyword with one meaning, "allOf" resolved, references to
// "$defs" of their own only, in which no name is that of another tool's.
// Text inside the messages never becomes a control token, whatever it contains.
// Templates are programs: one that takes too many steps, makes too much text or calls itself too deep is stopped
// (FTK_TEMPLATE_FAILED, with the limit). cancel: may be NULL; stops a template between two steps (FTK_CANCELLED)
FTK_API ftk_status ftk_chat_render(const ftk_chat * chat, const char * request_json, const ftk_cancel * cancel, ftk_chat_prompt ** out);
FTK_API void       ftk_chat_prompt_free(ftk_chat_prompt * prompt);

// where a prompt token comes from
enum {
    FTK_ORIGIN_TEMPLATE  = 0, // control tokens and the template's own words
    FTK_ORIGIN_SYSTEM    = 1,
    FTK_ORIGIN_USER      = 2,
    FTK_ORIGIN_ASSISTANT = 3,
    FTK_ORIGIN_TOOL      = 4,
};
FTK_API int64_t ftk_chat_prompt_n_tokens(const ftk_chat_prompt * prompt);
// tokens [n_tokens], origins [n_tokens] (may be NULL)
FTK_API ftk_status ftk_chat_prompt_tokens(const ftk_chat_prompt * prompt, int32_t * tokens, uint8_t * origins, int64_t capacity);
// JSON: text, grammar, grammar_lazy, grammar_triggers (array of {type, value, token}; type: "word", "token", "pattern" or
//       "pattern_full"), grammar_prefix (text: the end of the prompt, which the grammar describes too; pass it to the
//       sampler), preserved_tokens (array of texts: control tokens that belong to the answer and that
//       ftk_chat_parse needs to see, so their bytes are to be kept), stops (array of texts), markers (array of texts: only
//       where one of them occurs does another part of an answer begin), format, supports_thinking (bool: answers may begin
//       with reasoning)
FTK_API ftk_status ftk_chat_prompt_info(const ftk_chat_prompt * prompt, char * buf, int64_t capacity, int64_t * n_needed);
// parses generated text in this prompt's format; FTK_TEMPLATE_FAILED when it does not follow it.
// Result JSON: content, reasoning_content, tool_calls [{id, name, arguments (JSON text), begin (bytes of the text in front of it),
//   closed (bool: the arguments do not go on; of others, as of a text that was cut, they may be no JSON, or lack some)}], cut_call (where a call without a name begins, or -1), complete (bool: the text may end here), last ("content", "reasoning", "call" or "": the
//   part that the text ends in) and last_end (bytes of the text that were read as parts; behind them there is markup only)
FTK_API ftk_status ftk_chat_parse(const ftk_chat_prompt * prompt, const char * text, int64_t n_bytes, int32_t is_partial,
        char * buf, int64_t capacity, int64_t * n_needed);

//
// context: compute buffers, the KV cache and its sequences
//

typedef struct ftk_context ftk_context;

// config keys (all optional): n_ctx (int, 0 = the model's), n_batch (2048), n_ubatch (512), n_seq_max (1),
//   n_threads (0 = cores), n_threads_batch (0 = cores), type_k, type_v ("f16", "q8_0", ...), flash_attn ("auto" | "on" | "off"),
//   offload_kqv (bool, true), kv_unified (bool, false), op_offload (bool, true),
//   staged (bool, true: FTK_UNSUPPORTED with the reason where the architecture or its memory cannot be staged;
//   false: a stock llama.cpp context)
FTK_API ftk_status ftk_context_create(ftk_model * model, const char * config_json, ftk_context ** out);
// for hosts that already own a llama_context (drop-in use): enables staging on it, which requires that its KV cache is
// empty. The llama_context is not freed with the handle and must outlive it.
FTK_API ftk_status ftk_context_attach(void * llama_context, ftk_context ** out);
FTK_API void       ftk_context_free(ftk_context * ctx);

// JSON: n_ctx, n_ctx_seq, n_batch, n_ubatch, n_seq_max, flash_attn (bool, resolved), staged (bool), kv_bytes_allocated,
//       n_threads, n_threads_batch, devices
FTK_API ftk_status ftk_context_info(const ftk_context * ctx, char * buf, int64_t capacity, int64_t * n_needed);
FTK_API ftk_status ftk_context_set_threads(ftk_context * ctx, int32_t n_threads, int32_t n_threads_batch);

// appends tokens to the sequence and computes the logits of the last one: stock decode, in chunks of n_batch.
// All or nothing: on any failure the sequence is as it was.
FTK_API ftk_status ftk_decode(ftk_context * ctx, int32_t seq_id, const int32_t * tokens, int64_t n_tokens, ftk_cancel * cancel);

// logits of the last token of the last decode or prefill: [n_vocab]
FTK_API ftk_status ftk_logits(ftk_context * ctx, float * logits, int64_t capacity);

// sequences; p1 < 0 means "to the end"
FTK_API ftk_status ftk_seq_rm(ftk_context * ctx, int32_t seq_id, int32_t p0, int32_t p1);
// the destination holds what the source does and nothing else, residual streams and skipped parts included; the two go their own
// ways from there. The managed library does not call it yet: it is there for conversations that branch
FTK_API ftk_status ftk_seq_cp(ftk_context * ctx, int32_t seq_id_src, int32_t seq_id_dst);
FTK_API ftk_status ftk_clear(ftk_context * ctx);
FTK_API int32_t    ftk_seq_pos_max(const ftk_context * ctx, int32_t seq_id); // -1 when empty

// positions that layer `layer` holds for the sequence, ascending
FTK_API ftk_status ftk_seq_positions(const ftk_context * ctx, int32_t seq_id, int32_t layer,
        int32_t * positions, int64_t capacity, int64_t * n_needed);
// bytes of keys and values in use by the sequence, all layers
FTK_API ftk_status ftk_seq_kv_bytes(const ftk_context * ctx, int32_t seq_id, int64_t * n_bytes);

// state of one sequence: caches of every layer group, what was dropped and skipped. It belongs to the model, the build,
// and the context's staged, flash_attn, n_seq_max, kv_unified, type_k and type_v. Bytes that are damaged, cut short or of
// another model are refused before the sequence is touched; should the caches refuse them later, the sequence is empty
FTK_API ftk_status ftk_seq_state_save(ftk_context * ctx, int32_t seq_id, uint8_t * data, int64_t capacity, int64_t * n_needed);
FTK_API ftk_status ftk_seq_state_load(ftk_context * ctx, int32_t seq_id, const uint8_t * data, int64_t n_bytes);

//
// LoRA adapters
//

typedef struct ftk_adapter ftk_adapter;

// a GGUF LoRA adapter; FTK_BAD_MODEL for a file that is none, or one of another model. Not while a context of the model
// computes on another thread, and freed before the model
FTK_API ftk_status ftk_adapter_load(ftk_model * model, const char * path, ftk_adapter ** out);
// of an adapter that no context has set
FTK_API void ftk_adapter_free(ftk_adapter * adapter);
// the context computes with these adapters, each times its scale, from now on; n = 0: with none. What its caches hold stays
// what it was: clear the sequences that are to go on with other adapters
FTK_API ftk_status ftk_set_adapters(ftk_context * ctx, const ftk_adapter * const * adapters, const float * scales, int64_t n);

//
// staged prefill
//

typedef struct ftk_plan     ftk_plan;
typedef struct ftk_boundary ftk_boundary; // what the selection callback sees; valid during the callback only

// how the attention that the queries of a probe pay is reduced over the queries
enum {
    FTK_PROBE_MEAN = 0, // sum over the queries / number of queries at or after the key
    FTK_PROBE_MAX  = 1,
};

// the keys whose received attention a probe delivers
enum {
    FTK_KEYS_STAGE    = 0, // the tokens that the layer's stage runs
    FTK_KEYS_SEQUENCE = 1, // first what the layer held for the sequence before the prefill, then the tokens of the stage
};

FTK_API ftk_status ftk_plan_create(ftk_plan ** out);
FTK_API void       ftk_plan_free(ftk_plan * plan);
// tokens may leave in front of layer `layer` (0 < layer < n_layer); boundaries in ascending order
FTK_API ftk_status ftk_plan_add_boundary(ftk_plan * plan, int32_t layer);
// probe of layer `layer`: queries first_query, first_query + stride, ... (indices into the tokens that the layer's stage
// runs; negative counts from the end, -8 = the last 8), reduced over the queries. Delivered at the next boundary above;
// of a layer whose attention is skipped: zeros.
FTK_API ftk_status ftk_plan_add_probe(ftk_plan * plan, int32_t layer, int32_t reduction, int64_t first_query, int64_t stride, int32_t keys);

enum {
    FTK_LAYER_PART_BLOCK        = 0, // the whole layer; of layers 1 to n_layer - 2
    FTK_LAYER_PART_ATTENTION    = 1, // the layer writes no keys and values; of layers from 1 on
    FTK_LAYER_PART_FEED_FORWARD = 2, // of layers from 1 on
};
// the whole sequence does without this part of a layer, in prefill and in decode, until the sequence is cleared. One part of
// a layer at most; FTK_UNSUPPORTED by the prefill where the architecture has no such sublayers
FTK_API ftk_status ftk_plan_skip(ftk_plan * plan, int32_t layer, int32_t part);

// prefill-only pruning (POP): from this layer on (0 < layer < n_layer) only the last token runs. The residual stream of every
// other token stays what it is in front of the layer, and each layer writes the keys and values that it projects from it, at
// their own positions, so that the cache is as large as ever and decode runs all layers. No boundary of the plan lies above;
// FTK_UNSUPPORTED by the prefill where the architecture has no projections of keys and of values alone
FTK_API ftk_status ftk_plan_prefill_only(ftk_plan * plan, int32_t layer);

// keep the residual stream of the tokens in front of the lowest layer that lacks some, and of others where they leave, in host
// memory: n_embd numbers a token (half: of two bytes instead of four), so that ftk_seq_complete() can go on from there. It is
// part of the sequence: removed, copied, saved and loaded with it
FTK_API ftk_status ftk_plan_store_residual(ftk_plan * plan, int32_t half);

// at a boundary: read the probes, which come in the order of the plan, then call ftk_boundary_keep once. Return 0 on success; anything else fails the prefill
// with FTK_CALLBACK_FAILED.
typedef int32_t (*ftk_select)(void * user, ftk_boundary * boundary);
FTK_API int32_t         ftk_boundary_index(const ftk_boundary * boundary);     // 0, 1, ... in plan order
FTK_API int64_t         ftk_boundary_n_tokens(const ftk_boundary * boundary);  // tokens that arrived here
FTK_API const int32_t * ftk_boundary_positions(const ftk_boundary * boundary); // [n_tokens], ascending
FTK_API int32_t         ftk_boundary_n_probes(const ftk_boundary * boundary);  // of this stage, in plan order
FTK_API int32_t         ftk_boundary_n_head(const ftk_boundary * boundary, int32_t probe);
FTK_API int64_t         ftk_boundary_n_keys(const ftk_boundary * boundary, int32_t probe);        // n_tokens, and more with FTK_KEYS_SEQUENCE
FTK_API const int32_t * ftk_boundary_key_positions(const ftk_boundary * boundary, int32_t probe); // [n_keys], ascending
FTK_API const float *   ftk_boundary_probe(const ftk_boundary * boundary, int32_t probe);         // [n_head, n_keys], row-major
FTK_API int32_t         ftk_boundary_n_embd(const ftk_boundary * boundary);
FTK_API const float *   ftk_boundary_residual(const ftk_boundary * boundary); // [n_tokens, n_embd], row-major
// indices (into the n_tokens that arrived) that go on, strictly ascending; must contain the last one
FTK_API ftk_status ftk_boundary_keep(ftk_boundary * boundary, const int32_t * indices, int64_t n);
// decided in the middle of a prefill: as ftk_plan_skip(), of a layer at or above the boundary. Only where the sequence was
// empty before the prefill, which fails otherwise
FTK_API ftk_status ftk_boundary_skip(ftk_boundary * boundary, int32_t layer, int32_t part);

// after every chunk: tokens of the stage done so far. Return 0 to go on, anything else to cancel (FTK_CANCELLED).
typedef int32_t (*ftk_prefill_progress)(void * user, int32_t stage, int64_t n_done, int64_t n_stage_tokens, double fraction);

// appends tokens to the sequence stage by stage and computes the logits of the last one. Only these tokens are ever
// thinned; what the sequence already holds stays. Any failure or cancellation leaves the sequence as it was.
// select may be NULL only when the plan has no boundaries.
FTK_API ftk_status ftk_prefill(ftk_context * ctx, int32_t seq_id, const int32_t * tokens, int64_t n_tokens,
        const ftk_plan * plan, ftk_select select, ftk_prefill_progress progress, void * user,
        ftk_cancel * cancel);
// JSON of the last successful prefill: total_us, select_us, stages [{layer_begin, layer_end, n_tokens, kv_only, n_chunks, us,
//   chunk_us []}]; kv_only: the tokens wrote keys and values and nothing else
FTK_API ftk_status ftk_prefill_report(const ftk_context * ctx, char * buf, int64_t capacity, int64_t * n_needed);

// runs tokens of the sequence again, at their positions, which strictly ascend and lie in front of its last one, through all
// layers: those that had dropped them hold them again, and all other tokens stay as they are. There are no logits afterwards.
// It cannot be cancelled. FTK_CONTEXT_FULL, FTK_INVALID_ARGUMENT: nothing was changed; FTK_COMPUTE_FAILED: the sequence is as
// it was, or ends in front of the first of the positions (ftk_seq_pos_max() tells)
FTK_API ftk_status ftk_seq_restore(ftk_context * ctx, int32_t seq_id, const int32_t * tokens, const int32_t * positions, int64_t n_tokens);

// how ftk_seq_complete() completes layers that lack tokens
enum {
    FTK_COMPLETE_FILL  = 0, // tokens that they lack run, over those that are there, which stay as they are
    FTK_COMPLETE_EXACT = 1, // all tokens run again, in order: as a full prefill would have them, when those in front are
};

// completes upper layers for the tokens at positions [position, position + n_tokens) of the sequence, front to back, until
// n_run_max tokens (and at most an ubatch) have run: from their stored residual stream, or from the first layer where none is
// stored. *n_done: positions from `position` on that are complete now, 0 only on failure; *n_run: tokens that ran. Call it
// again with what is left. There are no logits afterwards. Positions completed exactly let go of their stored residual stream. FTK_CONTEXT_FULL, FTK_INVALID_ARGUMENT:
// nothing was completed; FTK_COMPUTE_FAILED: upper layers lack what was to be completed, or the sequence ends in front of it
// (ftk_seq_pos_max() tells)
FTK_API ftk_status ftk_seq_complete(ftk_context * ctx, int32_t seq_id, int32_t grade, const int32_t * tokens, int64_t n_tokens, int32_t position, int64_t n_run_max, int64_t * n_done, int64_t * n_run);
// bytes of stored residual streams
FTK_API ftk_status ftk_seq_store_bytes(const ftk_context * ctx, int32_t seq_id, int64_t * n_bytes);
// lets go of them: what is completed later runs from the first layer. The managed library does not call it yet: it is there for
// hosts that are short of memory
FTK_API ftk_status ftk_seq_store_clear(ftk_context * ctx, int32_t seq_id);

//
// sampling
//

typedef struct ftk_sampler ftk_sampler;

// config keys (all optional; what is absent does nothing): temperature (0 = greedy, the default), top_k (0 = all),
//   top_p (1 = all), min_p (0 = all), typical_p (1 = all), repeat_penalty (1), repeat_last_n (64; -1 = the model's
//   context), frequency_penalty (0), presence_penalty (0), seed (0xFFFFFFFF random, the default), grammar (GBNF),
//   grammar_lazy (bool), grammar_triggers and grammar_prefix (as in ftk_chat_prompt_info), json_schema (object),
//   logit_bias (array of [token, bias])
FTK_API ftk_status ftk_sampler_create(const ftk_model * model, const char * config_json, ftk_sampler ** out);
FTK_API void       ftk_sampler_free(ftk_sampler * sampler);
// samples from the logits of the last decode or prefill and accepts the token
FTK_API ftk_status ftk_sampler_sample(ftk_sampler * sampler, ftk_context * ctx, int32_t * token);
// accepts a token that was not sampled (a prompt token, for the penalties; a forced token)
FTK_API ftk_status ftk_sampler_accept(ftk_sampler * sampler, int32_t token, int32_t apply_grammar);

// GBNF text of a JSON schema
FTK_API ftk_status ftk_json_schema_to_grammar(const char * schema_json, char * buf, int64_t capacity, int64_t * n_needed);

//
// skim predictors (Transkimmer): how important a token is, from its residual stream in front of a boundary
//

// after every epoch: mean squared errors; loss_validation is NaN when no samples are held out. Return 0 to go on, anything
// else to cancel (FTK_CANCELLED)
typedef int32_t (*ftk_skim_progress)(void * user, int32_t epoch, int32_t n_epochs, double loss_train, double loss_validation);

// learns y from x by least squares: w2 . gelu(W1 (gain * norm(x) + bias) + b1) + b2, with norm(x) of mean 0 and variance 1
// (epsilon 1e-5) and gelu(z) = z * sigmoid(1.702 z).
//   x [n_samples, n_embd], y [n_samples], row-major; the last n_validation samples are held out
//   config keys (all optional): epochs (int, 8), batch_size (int, 256), learning_rate (3e-4, AdamW, falls along a cosine),
//     weight_decay (0.01), seed (int, 0), n_threads (0 = cores)
//   weights: gain, bias [n_embd], W1 [n_hidden, n_embd], b1, w2 [n_hidden], b2 [1], one behind the other; FTK_BUFFER_TOO_SMALL
//     and their number in *n_needed when `capacity` is smaller
//   loss_train: mean over the last epoch; loss_validation: at the end
// The same samples, config and machine give the same weights. Anything but FTK_OK leaves `weights` as it was.
FTK_API ftk_status ftk_skim_fit(const float * x, const float * y, int64_t n_samples, int64_t n_validation, int32_t n_embd, int32_t n_hidden,
        const char * config_json, ftk_skim_progress progress, void * user, ftk_cancel * cancel,
        float * weights, int64_t capacity, int64_t * n_needed, double * loss_train, double * loss_validation);

#ifdef __cplusplus
}
#endif

#endif // FORETOKEN_H

#pragma once

// layer-range graphs, attention probes and per-layer attention inputs

#include "llama-graph.h"
#include "llama-kv-cache-staged.h"

#include <map>
#include <string>
#include <vector>

//
// what the hooks in llama-graph.cpp and llama-context.cpp call
//

// hook of build_attn_inp_kv(): the input of a staged memory, nullptr for any other memory
llm_graph_input_attn_kv * llm_build_attn_inp_kv_staged(const llm_graph_context & lctx);

// hook of build_attn(): the input of layer il; any other input is returned unchanged.
// nullptr: the layer is not part of the current stage and neither will be its attention
llm_graph_input_attn_kv * llm_attn_inp_kv_for_layer(llm_graph_input_attn_kv * inp, int il);

// stands in for the attention output of a layer that is not part of the current stage
ggml_tensor * llm_build_attn_placeholder(const llm_graph_context & lctx, const ggml_tensor * wo, const ggml_tensor * v_cur);

// hook of process_ubatch(): cuts the graph down to the layers of the current stage and adds its probes.
// Graphs of other memories are returned unchanged. nullptr: the graph cannot be sliced (the reason is logged)
ggml_cgraph * llm_graph_slice_staged(const llm_graph_params & params, ggml_cgraph * gf);

// hook of graph_max_nodes(): nodes that the probes of a stage may add to its graph; 0 for any other memory
uint32_t llm_graph_probe_nodes_staged(const llama_memory_i * memory);

//
// llm_graph_input_attn_kv_staged
//

class llm_graph_input_attn_kv_staged : public llm_graph_input_attn_kv {
public:
    llm_graph_input_attn_kv_staged(
            const llama_hparams &                 hparams,
            const llama_cparams &                 cparams,
            const llama_kv_cache_staged_context * mctx);
    ~llm_graph_input_attn_kv_staged() = default;

    void set_input(const llama_ubatch * ubatch) override;

    bool can_reuse(const llm_graph_params & params) override;

    // nullptr: the layer is not part of the stage
    llm_graph_input_attn_kv * for_layer(int il);

    const llama_kv_cache_staged_context * mctx_staged;

    // a copy: the memory context does not live as long as the graph
    const llama_stage stage;

    // [n_layer] class of each layer of the stage, named by its first layer
    std::vector<int32_t> leaders;

    // one set of index and mask tensors for each class
    std::map<int32_t, std::unique_ptr<llm_graph_input_attn_kv>> classes;

    // views of these tensors, at the front of the graph. ggml takes a graph for the one that it has allocated last when the
    // nodes and their operands have the sizes of that one, and then goes by the order of the leaves, which follows from the
    // layer in which a class begins: a graph with classes that begin elsewhere would get memory that is not its own
    std::vector<ggml_tensor *> views;

    ggml_tensor * residual     = nullptr; // F32 [n_embd, n_tokens] in front of the stage, nullptr for the first stage
    ggml_tensor * residual_out = nullptr; // F32 [n_embd, n_tokens] behind the stage, nullptr for the last stage

    // [n_probes of the stage], F32 [1, n_kv, n_head], nullptr where the ubatch has no query of the probe
    std::vector<ggml_tensor *> probes;
};

llm_graph_input_attn_kv_staged * llm_graph_result_get_staged(const llm_graph_result * res);

// why the (complete) graph of an architecture cannot be sliced; empty if it can
std::string llm_graph_check_staged(const llm_graph_result * res, int32_t n_layer);

// why sublayers cannot be cut out of it; empty if they can
std::string llm_graph_check_sublayers(ggml_cgraph * gf, int32_t n_layer);

// why the keys and values of a layer are not just projections of the residual stream in front of it; empty if they are
std::string llm_graph_check_kv_only(ggml_cgraph * gf, const llama_hparams & hparams);

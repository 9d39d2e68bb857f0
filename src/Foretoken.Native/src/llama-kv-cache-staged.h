#pragma once

#include "llama-kv-cache.h"
#include "llama-residual-store.h"
#include "llama-staged.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

// the part of the model that one graph runs
struct llama_stage {
    int32_t il_begin = 0;
    int32_t il_end   = 0;

    // what the sequence does without, ascending, one part of a layer at most; also of layers outside of the range
    std::vector<llama_layer_skip> skip;

    // the layers only write the keys and values of the residual stream in front of the first of them
    bool kv_only = false;

    // probes of this stage's layers, and the rows of the current ubatch that are their queries
    struct probe_rows {
        int32_t               probe; // index into the plan's probes
        int32_t               il;
        llama_probe_reduction reduction;
        int64_t               row_first;
        int64_t               row_stride;
        int64_t               n_rows; // 0: no query of this probe lies in the ubatch

        bool operator==(const probe_rows & other) const {
            return probe == other.probe && il == other.il && reduction == other.reduction &&
                   row_first == other.row_first && row_stride == other.row_stride && n_rows == other.n_rows;
        }
    };

    std::vector<probe_rows> probes;

    // whether the attention of the layer is run: only then its cache takes part
    bool has(int32_t il) const;
};

//
// llama_kv_cache_staged
//

// one llama_kv_cache per layer, so that a token can have keys and values in the lower layers and none above.
//
// Layers whose caches have gone through the same operations hold the same cells. They form a lock-step class: slots are
// searched once per class, and the layers of a class share their index and mask inputs. All layers start in one class; a
// staged prefill that drops tokens, or a skipped layer, splits classes; clearing the memory joins them again.

class llama_kv_cache_staged : public llama_memory_i {
public:
    llama_kv_cache_staged(
            const llama_model & model,
            ggml_type           type_k,
            ggml_type           type_v,
            bool                v_trans,
            bool                offload,
            bool                unified,
            uint32_t            kv_size,
            uint32_t            n_seq_max);

    ~llama_kv_cache_staged() = default;

    //
    // llama_memory_i
    //

    llama_memory_context_ptr init_batch(
            llama_batch_allocr & balloc,
            uint32_t             n_ubatch,
            bool                 embd_all) override;

    llama_memory_context_ptr init_full() override;

    llama_memory_context_ptr init_update(llama_context * lctx, bool optimize) override;

    bool get_can_shift() const override;

    void clear(bool data) override;

    bool seq_rm(llama_seq_id seq_id, llama_pos p0, llama_pos p1) override;
    void seq_cp(llama_seq_id seq_id_src, llama_seq_id seq_id_dst, llama_pos p0, llama_pos p1) override;
    void seq_keep(llama_seq_id seq_id) override;
    void seq_add(llama_seq_id seq_id, llama_pos p0, llama_pos p1, llama_pos shift) override;
    void seq_div(llama_seq_id seq_id, llama_pos p0, llama_pos p1, int d) override;

    // the lowest layer is never skipped and never drops tokens: it holds a superset of what the others hold, and the last
    // token of a prefill is kept by all of them
    llama_pos seq_pos_min(llama_seq_id seq_id) const override;
    llama_pos seq_pos_max(llama_seq_id seq_id) const override;

    std::map<ggml_backend_buffer_type_t, size_t> memory_breakdown() const override;

    // state write/load

    void state_write(llama_io_write_i & io, llama_seq_id seq_id = -1, llama_state_seq_flags flags = 0) const override;
    void state_read(llama_io_read_i & io, llama_seq_id seq_id = -1, llama_state_seq_flags flags = 0) override;

    //
    // llama_kv_cache_staged specific API
    //

    // ubatches of one sequence for the layers of a stage. Every ubatch is placed before the first one is applied
    llama_memory_context_ptr init_stage(const llama_stage & stage, std::vector<llama_ubatch> ubatches);

    // a prefill in stages went through: layers whose stages ran the same tokens are in lock-step again if they were before.
    //   classes: what get_classes() said before the prefill
    //   groups:  [n_layer] layers with equal numbers ran the same tokens
    std::vector<uint32_t> get_classes() const;
    void                  join_classes(const std::vector<uint32_t> & classes, const std::vector<uint32_t> & groups);

    // as init_stage(), of one ubatch that goes to these cells of its sequence's stream; a class of layers where one of them is
    // taken gets others
    llama_memory_context_ptr init_stage_at(const llama_stage & stage, const llama_ubatch & ubatch, const std::vector<uint32_t> & cells);

    // layers from il_begin on let go of these positions, which ascend
    void rm_from(llama_seq_id seq_id, int32_t il_begin, const std::vector<llama_pos> & pos);

    // moves what else the sequence has in these cells of the layers from il_begin on to others, behind cell `behind` where
    // there is room. What cannot be moved stays: cells that several sequences share, and all when too few are free
    void make_room(llama_seq_id seq_id, int32_t il_begin, const std::vector<uint32_t> & cells, uint32_t behind);

    // layers that have come to hold the same cells are in lock-step from now on
    void join_equal_classes();

    // residual streams for the completion of upper layers; part of the sequence's state until it is empty
    llama_residual_store &       get_store(llama_seq_id seq_id);
    const llama_residual_store & get_store(llama_seq_id seq_id) const;

    // what a sequence does without; part of its state until the sequence is empty
    const std::vector<llama_layer_skip> & get_skip(llama_seq_id seq_id) const;
    void                                  set_skip(llama_seq_id seq_id, std::vector<llama_layer_skip> skip);

    // why a sequence can do without whole layers only; empty when it can do without sublayers, too
    std::string whole_layers_only;

    // why keys and values cannot be written without running the layer; empty when they can
    std::string no_kv_only;

    llama_kv_cache * get_layer(int32_t il) const;

    uint32_t get_n_stream() const;
    uint32_t get_n_layer() const;

    // first layer of the lock-step class of layer il
    int32_t get_leader(int32_t il) const;

private:
    const llama_hparams & hparams;

    // the values of a cell lie apart
    const bool v_trans;

    const uint32_t n_seq_max;

    std::vector<std::unique_ptr<llama_kv_cache>> layers;

    // lock-step class of each layer
    std::vector<uint32_t> classes;

    // [n_seq_max]
    std::vector<std::vector<llama_layer_skip>> skips;
    std::vector<llama_residual_store>          stores;

    // forgets what belongs to sequences that hold nothing
    void forget_empty();

    // the layers of `stage` are about to go through an operation that the others do not
    void split_classes(const llama_stage & stage);

    // make all layers one class again if they hold nothing
    void join_if_empty();

    bool is_empty() const;

    // whether the layers hold the same tokens in the same cells
    bool have_equal_cells(int32_t il_a, int32_t il_b) const;

    llama_memory_context_ptr init_ubatches(std::vector<llama_stage> stages, std::vector<llama_ubatch> ubatches);
};

class llama_kv_cache_staged_context : public llama_memory_context_i {
public:
    using slot_info_vec_t = llama_kv_cache::slot_info_vec_t;

    // used for errors
    llama_kv_cache_staged_context(llama_memory_status status);

    // used to create a full-cache context
    llama_kv_cache_staged_context(llama_kv_cache_staged * kv);

    // used to create an update context
    llama_kv_cache_staged_context(
            llama_kv_cache_staged * kv,
            llama_context *         lctx,
            bool                    optimize);

    // used to create a batch processing context from ubatches
    //   stages: [n_ubatches] the layers that run each ubatch
    //   sinfos: [n_layer]    of a class leader: the slots of its ubatches; of other layers: empty
    llama_kv_cache_staged_context(
            llama_kv_cache_staged *      kv,
            std::vector<llama_stage>     stages,
            std::vector<slot_info_vec_t> sinfos,
            std::vector<llama_ubatch>    ubatches);

    virtual ~llama_kv_cache_staged_context();

    //
    // llama_memory_context_i
    //

    bool next() override;
    bool apply() override;

    llama_memory_status  get_status() const override;
    const llama_ubatch & get_ubatch() const override;

    //
    // llama_kv_cache_staged_context specific API
    //

    // the part of the model that runs the current ubatch
    const llama_stage & get_stage() const;

    const llama_kv_cache_context * get_layer(int32_t il) const;

    int32_t get_leader(int32_t il) const;

    uint32_t get_n_layer() const;

    // cells of the current ubatch's tokens in layer il; only of ubatches of a single sequence
    const std::vector<uint32_t> & get_cells(int32_t il) const;

    //
    // inputs of a stage that does not start at the first layer
    //

    // rows of the residual stream for the current ubatch: [n_tokens, n_embd]
    const float * residual = nullptr;

    // queries of the probes in the current ubatch
    void set_probes(std::vector<llama_stage::probe_rows> probes);

private:
    llama_kv_cache_staged * kv = nullptr;

    // leaders at the time of creation
    std::vector<int32_t> leaders;

    // the index of the cur ubatch to process
    size_t i_next = 0;

    std::vector<llama_stage>  stages;
    std::vector<llama_ubatch> ubatches;

    // [n_layer][n_ubatches of that layer]
    std::vector<slot_info_vec_t> sinfos;
    std::vector<size_t>          i_layer;

    // [n_layer], nullptr for layers that take no part
    std::vector<llama_memory_context_ptr> ctxs;

    llama_memory_status status;
};

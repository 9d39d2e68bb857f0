#include "llama-kv-cache-staged.h"

#include "llama-impl.h"
#include "llama-io.h"
#include "llama-model.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <stdexcept>

// written in front of every state, so that neither a stock build nor an older one of ours takes it for its own
static const uint32_t LLAMA_KV_CACHE_STAGED_MAGIC   = 0x734b5446; // 'FTKs'
static const uint32_t LLAMA_KV_CACHE_STAGED_VERSION = 3;

bool llama_stage::has(int32_t il) const {
    if (il < il_begin || il >= il_end) {
        return false;
    }

    const auto it = std::lower_bound(skip.begin(), skip.end(), llama_layer_skip{il, LLAMA_LAYER_PART_BLOCK});

    return it == skip.end() || it->il != il || it->part == LLAMA_LAYER_PART_FEED_FORWARD;
}

//
// llama_kv_cache_staged
//

llama_kv_cache_staged::llama_kv_cache_staged(
        const llama_model & model,
        ggml_type           type_k,
        ggml_type           type_v,
        bool                v_trans,
        bool                offload,
        bool                unified,
        uint32_t            kv_size,
        uint32_t            n_seq_max) :
    hparams(model.hparams),
    // a unified cache takes any sequence id
    n_seq_max(unified ? LLAMA_MAX_SEQ : n_seq_max) {
    LLAMA_LOG_INFO("%s: creating one KV cache per layer, size = %u cells\n", __func__, kv_size);

    layers.reserve(hparams.n_layer());

    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        const layer_filter_cb filter = [il](int32_t i) {
            return i == (int32_t) il;
        };

        layers.push_back(std::make_unique<llama_kv_cache>(
                model, hparams, type_k, type_v, v_trans, offload, unified, kv_size, n_seq_max, 1,
                0, LLAMA_SWA_TYPE_NONE, nullptr, filter, nullptr, nullptr));
    }

    classes.resize(hparams.n_layer(), 0);
    skips.resize(this->n_seq_max);
}

llama_memory_context_ptr llama_kv_cache_staged::init_batch(llama_batch_allocr & balloc, uint32_t n_ubatch, bool embd_all) {
    GGML_UNUSED(embd_all);

    // sequences that do without different things cannot share a graph
    bool same_skip = true;
    {
        const llama_batch & batch = balloc.get_batch();

        for (int32_t i = 0; i < batch.n_tokens; ++i) {
            for (int32_t s = 0; s < batch.n_seq_id[i]; ++s) {
                same_skip = same_skip && get_skip(batch.seq_id[i][s]) == get_skip(batch.seq_id[0][0]);
            }
        }
    }

    balloc.split_reset();

    std::vector<llama_stage>  stages;
    std::vector<llama_ubatch> ubatches;

    while (true) {
        auto ubatch = !same_skip          ? balloc.split_seq(n_ubatch) :
                      get_n_stream() == 1 ? balloc.split_simple(n_ubatch) :
                                            balloc.split_equal(n_ubatch, true, 0);

        if (ubatch.n_tokens == 0) {
            break;
        }

        llama_stage stage;
        stage.il_begin = 0;
        stage.il_end   = hparams.n_layer();
        stage.skip     = get_skip(ubatch.seq_id[0][0]);

        stages.push_back(std::move(stage));
        ubatches.push_back(std::move(ubatch)); // NOLINT
    }

    if (balloc.get_n_used() < balloc.get_n_tokens()) {
        // failed to find a suitable split
        return std::make_unique<llama_kv_cache_staged_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
    }

    return init_ubatches(std::move(stages), std::move(ubatches));
}

llama_memory_context_ptr llama_kv_cache_staged::init_stage(const llama_stage & stage, std::vector<llama_ubatch> ubatches) {
    std::vector<llama_stage> stages(ubatches.size(), stage);

    return init_ubatches(std::move(stages), std::move(ubatches));
}

llama_memory_context_ptr llama_kv_cache_staged::init_ubatches(std::vector<llama_stage> stages, std::vector<llama_ubatch> ubatches) {
    for (const auto & stage : stages) {
        split_classes(stage);
    }

    // the layers of a class hold the same cells, so what the leader finds is good for all of them
    std::vector<llama_kv_cache::slot_info_vec_t> sinfos(layers.size());

    for (int32_t il = 0; il < (int32_t) layers.size(); ++il) {
        if (get_leader(il) != il) {
            continue;
        }

        std::vector<llama_ubatch> ubatches_cur;
        for (size_t i = 0; i < ubatches.size(); ++i) {
            if (stages[i].has(il)) {
                ubatches_cur.push_back(ubatches[i]);
            }
        }

        if (ubatches_cur.empty()) {
            continue;
        }

        sinfos[il] = layers[il]->prepare(ubatches_cur);
        if (sinfos[il].empty()) {
            return std::make_unique<llama_kv_cache_staged_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
        }
    }

    return std::make_unique<llama_kv_cache_staged_context>(this, std::move(stages), std::move(sinfos), std::move(ubatches));
}

llama_memory_context_ptr llama_kv_cache_staged::init_full() {
    return std::make_unique<llama_kv_cache_staged_context>(this);
}

llama_memory_context_ptr llama_kv_cache_staged::init_update(llama_context * lctx, bool optimize) {
    return std::make_unique<llama_kv_cache_staged_context>(this, lctx, optimize);
}

bool llama_kv_cache_staged::get_can_shift() const {
    return layers[0]->get_can_shift();
}

void llama_kv_cache_staged::clear(bool data) {
    for (auto & layer : layers) {
        layer->clear(data);
    }

    std::fill(classes.begin(), classes.end(), 0);

    for (auto & skip : skips) {
        skip.clear();
    }
}

bool llama_kv_cache_staged::seq_rm(llama_seq_id seq_id, llama_pos p0, llama_pos p1) {
    bool res = true;

    for (auto & layer : layers) {
        res = res & layer->seq_rm(seq_id, p0, p1);
    }

    for (uint32_t s = 0; s < n_seq_max; ++s) {
        if (!skips[s].empty() && seq_pos_max(s) < 0) {
            skips[s].clear();
        }
    }

    join_if_empty();

    return res;
}

void llama_kv_cache_staged::seq_cp(llama_seq_id seq_id_src, llama_seq_id seq_id_dst, llama_pos p0, llama_pos p1) {
    for (auto & layer : layers) {
        layer->seq_cp(seq_id_src, seq_id_dst, p0, p1);
    }

    skips[seq_id_dst] = skips[seq_id_src];
}

void llama_kv_cache_staged::seq_keep(llama_seq_id seq_id) {
    for (auto & layer : layers) {
        layer->seq_keep(seq_id);
    }

    for (uint32_t s = 0; s < n_seq_max; ++s) {
        if (seq_pos_max(s) < 0) {
            skips[s].clear();
        }
    }

    join_if_empty();
}

void llama_kv_cache_staged::seq_add(llama_seq_id seq_id, llama_pos p0, llama_pos p1, llama_pos shift) {
    for (auto & layer : layers) {
        layer->seq_add(seq_id, p0, p1, shift);
    }

    // a shift to the left can push every position out
    join_if_empty();
}

void llama_kv_cache_staged::seq_div(llama_seq_id seq_id, llama_pos p0, llama_pos p1, int d) {
    for (auto & layer : layers) {
        layer->seq_div(seq_id, p0, p1, d);
    }
}

llama_pos llama_kv_cache_staged::seq_pos_min(llama_seq_id seq_id) const {
    return layers[0]->seq_pos_min(seq_id);
}

llama_pos llama_kv_cache_staged::seq_pos_max(llama_seq_id seq_id) const {
    return layers[0]->seq_pos_max(seq_id);
}

std::map<ggml_backend_buffer_type_t, size_t> llama_kv_cache_staged::memory_breakdown() const {
    std::map<ggml_backend_buffer_type_t, size_t> mb;

    for (const auto & layer : layers) {
        for (const auto & buft_size : layer->memory_breakdown()) {
            mb[buft_size.first] += buft_size.second;
        }
    }

    return mb;
}

void llama_kv_cache_staged::state_write(llama_io_write_i & io, llama_seq_id seq_id, llama_state_seq_flags flags) const {
    const uint32_t n_layer = layers.size();

    io.write(&LLAMA_KV_CACHE_STAGED_MAGIC, sizeof(LLAMA_KV_CACHE_STAGED_MAGIC));
    io.write(&LLAMA_KV_CACHE_STAGED_VERSION, sizeof(LLAMA_KV_CACHE_STAGED_VERSION));
    io.write(&n_layer, sizeof(n_layer));
    io.write(classes.data(), n_layer * sizeof(classes[0]));

    const uint32_t s0 = seq_id == -1 ? 0 : seq_id;
    const uint32_t s1 = seq_id == -1 ? n_seq_max : seq_id + 1;

    const uint32_t n_seqs = s1 - s0;
    io.write(&n_seqs, sizeof(n_seqs));

    for (uint32_t s = s0; s < s1; ++s) {
        const uint32_t n_skip = skips[s].size();

        io.write(&n_skip, sizeof(n_skip));

        for (const auto & skip : skips[s]) {
            const int32_t part = skip.part;

            io.write(&skip.il, sizeof(skip.il));
            io.write(&part, sizeof(part));
        }
    }

    for (const auto & layer : layers) {
        layer->state_write(io, seq_id, flags);
    }
}

void llama_kv_cache_staged::state_read(llama_io_read_i & io, llama_seq_id seq_id, llama_state_seq_flags flags) {
    const uint32_t s0 = seq_id == -1 ? 0 : seq_id;
    const uint32_t s1 = seq_id == -1 ? n_seq_max : seq_id + 1;

    std::vector<uint32_t>                      classes_new(layers.size());
    std::vector<std::vector<llama_layer_skip>> skips_new(s1 - s0);

    // nothing is touched before the header is known to be ours
    {
        uint32_t magic;
        uint32_t version;
        uint32_t n_layer;
        uint32_t n_seqs;

        io.read(&magic, sizeof(magic));
        io.read(&version, sizeof(version));

        if (magic != LLAMA_KV_CACHE_STAGED_MAGIC) {
            throw std::runtime_error("not the state of a staged KV cache");
        }
        if (version != LLAMA_KV_CACHE_STAGED_VERSION) {
            throw std::runtime_error(format("the state of a staged KV cache has version %u, this build reads version %u: it was saved by another release of Foretoken", version, LLAMA_KV_CACHE_STAGED_VERSION));
        }

        io.read(&n_layer, sizeof(n_layer));
        if (n_layer != layers.size()) {
            throw std::runtime_error("the state was saved from a model with another number of layers");
        }

        io.read(classes_new.data(), n_layer * sizeof(classes_new[0]));

        io.read(&n_seqs, sizeof(n_seqs));
        if (n_seqs != s1 - s0) {
            throw std::runtime_error("the state was saved with another number of sequences");
        }

        for (auto & skip : skips_new) {
            uint32_t n_skip;
            io.read(&n_skip, sizeof(n_skip));

            if (n_skip > n_layer) {
                throw std::runtime_error("the state is damaged");
            }

            for (uint32_t i = 0; i < n_skip; ++i) {
                int32_t il;
                int32_t part;

                io.read(&il, sizeof(il));
                io.read(&part, sizeof(part));

                if (il < 1 || il >= (int32_t) n_layer || part < LLAMA_LAYER_PART_BLOCK || part > LLAMA_LAYER_PART_FEED_FORWARD ||
                        (i > 0 && il <= skip.back().il)) {
                    throw std::runtime_error("the state is damaged");
                }

                skip.push_back({il, (llama_layer_part) part});
            }
        }
    }

    // a layer without cells in the state is not touched by state_read(), so make room first
    if (seq_id == -1) {
        clear(true);
    } else {
        seq_rm(seq_id, -1, -1);
    }

    try {
        for (auto & layer : layers) {
            layer->state_read(io, seq_id, flags);
        }
    } catch (...) {
        // some layers may hold the new cells and some the old ones: let go of both
        if (seq_id == -1) {
            clear(true);
        } else {
            for (uint32_t il = 0; il < layers.size(); ++il) {
                classes[il] = il; // the searches for free cells now start from different places
            }
            seq_rm(seq_id, -1, -1);
        }

        throw;
    }

    for (uint32_t s = s0; s < s1; ++s) {
        skips[s] = skips_new[s - s0];
    }

    if (seq_id == -1) {
        classes = classes_new;
    } else {
        join_classes(classes, classes_new);
    }
}

std::vector<uint32_t> llama_kv_cache_staged::get_classes() const {
    return classes;
}

void llama_kv_cache_staged::join_classes(const std::vector<uint32_t> & classes_old, const std::vector<uint32_t> & groups) {
    std::map<std::pair<uint32_t, uint32_t>, uint32_t> ids;

    std::vector<uint32_t> res(classes_old.size());

    for (size_t il = 0; il < classes_old.size(); ++il) {
        res[il] = ids.emplace(std::make_pair(classes_old[il], groups[il]), ids.size()).first->second;
    }

    classes = std::move(res);
}

void llama_kv_cache_staged::split_classes(const llama_stage & stage) {
    std::vector<uint32_t> groups(layers.size());

    for (size_t il = 0; il < layers.size(); ++il) {
        groups[il] = stage.has(il) ? 1 : 0;
    }

    join_classes(std::vector<uint32_t>(classes), groups);
}

bool llama_kv_cache_staged::is_empty() const {
    // the lowest layer holds a superset of what the others hold
    for (uint32_t s = 0; s < n_seq_max; ++s) {
        if (layers[0]->seq_pos_max(s) >= 0) {
            return false;
        }
    }

    return true;
}

void llama_kv_cache_staged::join_if_empty() {
    if (is_empty()) {
        // all searches for free cells start at the first cell again
        clear(false);
    }
}

const std::vector<llama_layer_skip> & llama_kv_cache_staged::get_skip(llama_seq_id seq_id) const {
    return skips.at(seq_id);
}

void llama_kv_cache_staged::set_skip(llama_seq_id seq_id, std::vector<llama_layer_skip> skip) {
    skips.at(seq_id) = std::move(skip);
}

llama_kv_cache * llama_kv_cache_staged::get_layer(int32_t il) const {
    return layers.at(il).get();
}

uint32_t llama_kv_cache_staged::get_n_stream() const {
    return layers[0]->get_n_stream();
}

uint32_t llama_kv_cache_staged::get_n_layer() const {
    return layers.size();
}

int32_t llama_kv_cache_staged::get_leader(int32_t il) const {
    return std::find(classes.begin(), classes.end(), classes[il]) - classes.begin();
}

//
// llama_kv_cache_staged_context
//

llama_kv_cache_staged_context::llama_kv_cache_staged_context(llama_memory_status status) :
    status(status) {}

llama_kv_cache_staged_context::llama_kv_cache_staged_context(
        llama_kv_cache_staged * kv) :
    kv(kv),
    stages(1),
    status(LLAMA_MEMORY_STATUS_SUCCESS) {
    stages[0].il_begin = 0;
    stages[0].il_end   = kv->get_n_layer();

    for (uint32_t il = 0; il < kv->get_n_layer(); ++il) {
        ctxs.push_back(kv->get_layer(il)->init_full());

        // the worst case does not need more inputs than one class has
        leaders.push_back(0);
    }
}

llama_kv_cache_staged_context::llama_kv_cache_staged_context(
        llama_kv_cache_staged * kv,
        llama_context *         lctx,
        bool                    optimize) :
    kv(kv),
    status(LLAMA_MEMORY_STATUS_NO_UPDATE) {
    for (uint32_t il = 0; il < kv->get_n_layer(); ++il) {
        ctxs.push_back(kv->get_layer(il)->init_update(lctx, optimize));
        status = llama_memory_status_combine(status, ctxs.back()->get_status());
    }
}

llama_kv_cache_staged_context::llama_kv_cache_staged_context(
        llama_kv_cache_staged *      kv,
        std::vector<llama_stage>     stages_new,
        std::vector<slot_info_vec_t> sinfos_new,
        std::vector<llama_ubatch>    ubatches_new) :
    kv(kv),
    stages(std::move(stages_new)),
    ubatches(std::move(ubatches_new)),
    sinfos(std::move(sinfos_new)),
    status(LLAMA_MEMORY_STATUS_SUCCESS) {
    const uint32_t n_layer = kv->get_n_layer();

    ctxs.resize(n_layer);
    leaders.resize(n_layer);
    i_layer.resize(n_layer, 0);

    for (uint32_t il = 0; il < n_layer; ++il) {
        leaders[il] = kv->get_leader(il);

        if (sinfos[leaders[il]].empty()) {
            continue;
        }

        std::vector<llama_ubatch> ubatches_cur;
        for (size_t i = 0; i < ubatches.size(); ++i) {
            if (stages[i].has(il)) {
                ubatches_cur.push_back(ubatches[i]);
            }
        }

        ctxs[il] = std::make_unique<llama_kv_cache_context>(kv->get_layer(il), sinfos[leaders[il]], std::move(ubatches_cur));
    }
}

llama_kv_cache_staged_context::~llama_kv_cache_staged_context() = default;

bool llama_kv_cache_staged_context::next() {
    assert(status == LLAMA_MEMORY_STATUS_SUCCESS);

    for (size_t il = 0; il < ctxs.size(); ++il) {
        if (ctxs[il] && stages[i_next].has(il)) {
            ctxs[il]->next();
            i_layer[il]++;
        }
    }

    if (++i_next >= ubatches.size()) {
        return false;
    }

    return true;
}

bool llama_kv_cache_staged_context::apply() {
    assert(!llama_memory_status_is_fail(status));

    bool res = true;

    // no ubatches -> this is a KV cache update
    if (ubatches.empty()) {
        for (auto & ctx : ctxs) {
            if (ctx->get_status() == LLAMA_MEMORY_STATUS_SUCCESS) {
                res = res & ctx->apply();
            }
        }

        return res;
    }

    for (size_t il = 0; il < ctxs.size(); ++il) {
        if (ctxs[il] && stages[i_next].has(il)) {
            res = res & ctxs[il]->apply();
        }
    }

    return res;
}

llama_memory_status llama_kv_cache_staged_context::get_status() const {
    return status;
}

const llama_ubatch & llama_kv_cache_staged_context::get_ubatch() const {
    assert(status == LLAMA_MEMORY_STATUS_SUCCESS);

    return ubatches[i_next];
}

const llama_stage & llama_kv_cache_staged_context::get_stage() const {
    return stages[i_next];
}

const llama_kv_cache_context * llama_kv_cache_staged_context::get_layer(int32_t il) const {
    return static_cast<const llama_kv_cache_context *>(ctxs.at(il).get());
}

int32_t llama_kv_cache_staged_context::get_leader(int32_t il) const {
    return leaders[il];
}

uint32_t llama_kv_cache_staged_context::get_n_layer() const {
    return ctxs.size();
}

const std::vector<uint32_t> & llama_kv_cache_staged_context::get_cells(int32_t il) const {
    return sinfos[leaders[il]].at(i_layer[il]).idxs.at(0);
}

void llama_kv_cache_staged_context::set_probes(std::vector<llama_stage::probe_rows> probes) {
    stages[i_next].probes = std::move(probes);
}

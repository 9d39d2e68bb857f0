#include "llama-kv-cache-staged.h"

#include "llama-impl.h"
#include "llama-io.h"
#include "llama-model.h"

#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <stdexcept>

// written in front of every state, so that neither a stock build nor an older one of ours takes it for its own
static const uint32_t LLAMA_KV_CACHE_STAGED_MAGIC   = 0x734b5446; // 'FTKs'
static const uint32_t LLAMA_KV_CACHE_STAGED_VERSION = 4;

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
    v_trans(v_trans),
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
    stores.resize(this->n_seq_max);
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
    for (auto & store : stores) {
        store.clear();
    }
}

bool llama_kv_cache_staged::seq_rm(llama_seq_id seq_id, llama_pos p0, llama_pos p1) {
    bool res = true;

    for (auto & layer : layers) {
        res = res & layer->seq_rm(seq_id, p0, p1);
    }

    for (uint32_t s = 0; s < n_seq_max; ++s) {
        if (seq_id < 0 || s == (uint32_t) seq_id) {
            stores[s].rm(std::max(p0, 0), p1);
        }
    }

    forget_empty();
    join_if_empty();

    return res;
}

void llama_kv_cache_staged::seq_cp(llama_seq_id seq_id_src, llama_seq_id seq_id_dst, llama_pos p0, llama_pos p1) {
    for (auto & layer : layers) {
        layer->seq_cp(seq_id_src, seq_id_dst, p0, p1);
    }

    skips[seq_id_dst]  = skips[seq_id_src];
    stores[seq_id_dst] = stores[seq_id_src];

    if (p0 > 0) {
        stores[seq_id_dst].rm(0, p0);
    }
    if (p1 >= 0) {
        stores[seq_id_dst].rm(p1, -1);
    }
}

void llama_kv_cache_staged::seq_keep(llama_seq_id seq_id) {
    for (auto & layer : layers) {
        layer->seq_keep(seq_id);
    }

    forget_empty();
    join_if_empty();
}

void llama_kv_cache_staged::seq_add(llama_seq_id seq_id, llama_pos p0, llama_pos p1, llama_pos shift) {
    for (auto & layer : layers) {
        layer->seq_add(seq_id, p0, p1, shift);
    }

    // a residual stream knows nothing of what was shifted out: the tokens run again from the first layer
    if (seq_id >= 0) {
        stores[seq_id].rm(0, -1);
        stores[seq_id].il_exact = 0;
    }

    // a shift to the left can push every position out
    join_if_empty();
}

void llama_kv_cache_staged::seq_div(llama_seq_id seq_id, llama_pos p0, llama_pos p1, int d) {
    for (auto & layer : layers) {
        layer->seq_div(seq_id, p0, p1, d);
    }

    if (seq_id >= 0) {
        stores[seq_id].rm(0, -1);
        stores[seq_id].il_exact = 0;
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

        stores[s].write(io);
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
    std::vector<llama_residual_store>          stores_new(s1 - s0);

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

        for (uint32_t s = 0; s < n_seqs; ++s) {
            auto & skip = skips_new[s];

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

            stores_new[s].read(io, n_layer, hparams.n_embd, layers[0]->get_size());
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
        skips[s]  = skips_new[s - s0];
        stores[s] = std::move(stores_new[s - s0]);
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

void llama_kv_cache_staged::forget_empty() {
    for (uint32_t s = 0; s < n_seq_max; ++s) {
        if (seq_pos_max(s) < 0) {
            skips[s].clear();
            stores[s].clear();
        }
    }
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

llama_residual_store & llama_kv_cache_staged::get_store(llama_seq_id seq_id) {
    return stores.at(seq_id);
}

const llama_residual_store & llama_kv_cache_staged::get_store(llama_seq_id seq_id) const {
    return stores.at(seq_id);
}

//
// cells of upper layers that are completed
//

llama_memory_context_ptr llama_kv_cache_staged::init_stage_at(const llama_stage & stage, const llama_ubatch & ubatch, const std::vector<uint32_t> & cells) {
    split_classes(stage);

    std::vector<llama_kv_cache::slot_info_vec_t> sinfos(layers.size());

    for (int32_t il = 0; il < (int32_t) layers.size(); ++il) {
        if (get_leader(il) != il || !stage.has(il)) {
            continue;
        }

        sinfos[il] = layers[il]->prepare({ubatch});
        if (sinfos[il].empty()) {
            return std::make_unique<llama_kv_cache_staged_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
        }

        const auto & cells_cur = layers[il]->get_cells(ubatch.seq_id_unq[0]);

        bool is_free = true;
        for (const uint32_t cell : cells) {
            is_free = is_free && cells_cur.is_empty(cell);
        }

        if (is_free) {
            sinfos[il][0].idxs[0] = cells;
        }
    }

    return std::make_unique<llama_kv_cache_staged_context>(this, std::vector<llama_stage>{stage}, std::move(sinfos), std::vector<llama_ubatch>{ubatch});
}

void llama_kv_cache_staged::rm_from(llama_seq_id seq_id, int32_t il_begin, const std::vector<llama_pos> & pos) {
    split_classes({il_begin, (int32_t) layers.size(), {}, false, {}});

    for (size_t i = 0; i < pos.size();) {
        // each removal looks at every cell: those in a row go together
        size_t i1 = i + 1;
        while (i1 < pos.size() && pos[i1] == pos[i1 - 1] + 1) {
            ++i1;
        }

        for (int32_t il = il_begin; il < (int32_t) layers.size(); ++il) {
            layers[il]->seq_rm(seq_id, pos[i], pos[i1 - 1] + 1);
        }

        i = i1;
    }
}

// copies elements of size n_bytes that lie `stride` apart, from[i] to to[i]; all are read before one is written
static void move_elements(ggml_tensor * t, size_t offset, size_t stride, size_t n_bytes, const std::vector<uint32_t> & from, const std::vector<uint32_t> & to) {
    GGML_ASSERT(n_bytes == stride);

    std::vector<uint8_t> buf(from.size() * n_bytes);

    for (const bool is_write : {false, true}) {
        const auto & idxs = is_write ? to : from;

        for (size_t i = 0; i < idxs.size();) {
            size_t i1 = i + 1;
            while (i1 < idxs.size() && idxs[i1] == idxs[i1 - 1] + 1) {
                ++i1;
            }

            uint8_t *    data = buf.data() + i * n_bytes;
            const size_t at   = offset + idxs[i] * stride;

            if (is_write) {
                ggml_backend_tensor_set(t, data, at, (i1 - i) * n_bytes);
            } else {
                ggml_backend_tensor_get(t, data, at, (i1 - i) * n_bytes);
            }

            i = i1;
        }
    }
}

void llama_kv_cache_staged::make_room(llama_seq_id seq_id, int32_t il_begin, const std::vector<uint32_t> & cells, uint32_t behind) {
    const int32_t n_layer = layers.size();

    split_classes({il_begin, n_layer, {}, false, {}});

    const std::set<uint32_t> wanted(cells.begin(), cells.end());

    for (int32_t il = il_begin; il < n_layer; ++il) {
        if (get_leader(il) != il) {
            continue;
        }

        const auto & cells_cur = layers[il]->get_cells(seq_id);

        std::vector<uint32_t> from;
        std::vector<uint32_t> to;

        llama_pos pos_min = -1;

        for (const uint32_t cell : wanted) {
            if (cells_cur.seq_has(cell, seq_id)) {
                from.push_back(cell);

                const llama_pos pos = cells_cur.pos_get(cell);
                pos_min             = pos_min < 0 ? pos : std::min(pos_min, pos);
            }
        }

        if (from.empty()) {
            continue;
        }

        // free cells behind everything, then any
        for (uint32_t i = 0; i < cells_cur.size() && to.size() < from.size(); ++i) {
            const uint32_t cell = (behind + i) % cells_cur.size();

            if (cells_cur.is_empty(cell) && wanted.count(cell) == 0) {
                to.push_back(cell);
            }
        }

        if (to.size() < from.size()) {
            continue;
        }

        // the cache has no function that moves a cell: what the sequence holds from there on is entered anew
        std::vector<uint32_t>  idxs;
        std::vector<llama_pos> pos;

        bool is_alone = true;
        for (uint32_t i = 0; i < cells_cur.size(); ++i) {
            if (!cells_cur.is_empty(i) && cells_cur.seq_has(i, seq_id) && cells_cur.pos_get(i) >= pos_min) {
                is_alone = is_alone && cells_cur.seq_count(i) == 1;

                const auto it = std::lower_bound(from.begin(), from.end(), i);

                idxs.push_back(it != from.end() && *it == i ? to[it - from.begin()] : i);
                pos.push_back(cells_cur.pos_get(i));
            }
        }

        if (!is_alone) {
            continue;
        }

        const uint32_t n_tokens = idxs.size();

        std::vector<int32_t>        n_seq_id(n_tokens, 1);
        std::vector<llama_seq_id *> seq_ids(n_tokens, &seq_id);

        llama_ubatch ubatch = {};
        ubatch.b_equal_seqs = 1;
        ubatch.n_tokens     = n_tokens;
        ubatch.n_seq_tokens = n_tokens;
        ubatch.n_seqs       = 1;
        ubatch.n_seqs_unq   = 1;
        ubatch.n_pos        = 1;
        ubatch.pos          = pos.data();
        ubatch.n_seq_id     = n_seq_id.data();
        ubatch.seq_id       = seq_ids.data();

        const uint32_t stream = get_n_stream() > 1 ? seq_id : 0;

        llama_kv_cache::slot_info sinfo;
        sinfo.s0 = stream;
        sinfo.s1 = stream;
        sinfo.resize(1);
        sinfo.strm[0] = stream;
        sinfo.idxs[0] = idxs;

        for (int32_t jl = il; jl < n_layer; ++jl) {
            if (get_leader(jl) != il) {
                continue;
            }

            auto & layer = *layers[jl];

            ggml_init_params       params = {2 * ggml_tensor_overhead(), nullptr, true};
            const ggml_context_ptr ctx(ggml_init(params));

            ggml_tensor * k      = layer.get_k_storage(jl);
            ggml_tensor * v_view = layer.get_v(ctx.get(), jl, 1, sinfo);
            ggml_tensor * v      = v_view->view_src;

            move_elements(k, stream * k->nb[2], k->nb[1], k->nb[1], from, to);

            if (v_trans) {
                // [n_embd_v, n_cells]
                const size_t n_type = ggml_type_size(v->type);

                for (int64_t i = 0; i < v->ne[0]; ++i) {
                    move_elements(v, stream * v->nb[2] + i * v->ne[1] * n_type, n_type, n_type, from, to);
                }
            } else {
                move_elements(v, stream * v->nb[2], v->nb[1], v->nb[1], from, to);
            }

            layer.seq_rm(seq_id, pos_min, -1);
            layer.apply_ubatch(sinfo, ubatch);
        }
    }
}

bool llama_kv_cache_staged::have_equal_cells(int32_t il_a, int32_t il_b) const {
    for (uint32_t s = 0; s < (get_n_stream() > 1 ? n_seq_max : 1); ++s) {
        const auto & a = layers[il_a]->get_cells(s);
        const auto & b = layers[il_b]->get_cells(s);

        for (uint32_t i = 0; i < a.size(); ++i) {
            if (a.is_empty(i) != b.is_empty(i)) {
                return false;
            }
            if (a.is_empty(i)) {
                continue;
            }
            if (a.pos_get(i) != b.pos_get(i) || a.seq_count(i) != b.seq_count(i)) {
                return false;
            }
            for (uint32_t seq_id = 0; seq_id < n_seq_max; ++seq_id) {
                if (a.seq_has(i, seq_id) != b.seq_has(i, seq_id)) {
                    return false;
                }
            }
        }
    }

    return true;
}

void llama_kv_cache_staged::join_equal_classes() {
    std::vector<uint32_t> classes_new = classes;

    for (int32_t il = 1; il < (int32_t) layers.size(); ++il) {
        if (get_leader(il) != il) {
            classes_new[il] = classes_new[get_leader(il)];
            continue;
        }

        for (int32_t jl = 0; jl < il; ++jl) {
            if (get_leader(jl) == jl && have_equal_cells(il, jl)) {
                classes_new[il] = classes_new[jl];
                break;
            }
        }
    }

    classes = std::move(classes_new);
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

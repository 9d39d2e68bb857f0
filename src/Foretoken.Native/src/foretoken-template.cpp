#include "foretoken-template.h"

#include <stdexcept>

static thread_local ftk_template_budget * current_budget = nullptr;
static thread_local int                   current_depth  = 0;

ftk_template_budget * ftk_template_budget::current() {
    return current_budget;
}

ftk_template_budget::ftk_template_budget(const std::atomic<bool> * cancel, uint64_t n_messages, uint64_t n_bytes) :
    outer(current_budget),
    cancel(cancel),
    max_steps(STEPS + STEPS_PER_MESSAGE * n_messages),
    max_bytes(BYTES + BYTES_PER_BYTE * n_bytes) {
    current_budget = this;
}

ftk_template_budget::~ftk_template_budget() {
    // nothing outlives the rendering, so what is still held is held by values that hold each other
    for (const kept_value & item : kept) {
        item.empty(item.value.get());
    }
    kept.clear();

    current_budget = outer;
}

void ftk_template_budget::stop(std::string reason) {
    if (why.empty()) {
        why = std::move(reason);
    }

    throw std::runtime_error(why);
}

void ftk_template_budget::add(uint64_t n_steps, uint64_t n_bytes) {
    if (!why.empty()) {
        throw std::runtime_error(why);
    }

    // sums of what a hostile template asks for must not wrap around
    n_steps = n_steps < max_steps ? n_steps : max_steps + 1;
    n_bytes = n_bytes < max_bytes ? n_bytes : max_bytes + 1;

    steps += n_steps;
    bytes += n_bytes;

    if (steps > max_steps) {
        stop("it takes more than " + std::to_string(max_steps) + " steps; does it loop without end, or over too much?");
    }
    if (bytes > max_bytes) {
        stop("it makes more than " + std::to_string(max_bytes >> 20) + " MiB of text");
    }
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
        cancelled = true;
        stop("cancelled");
    }
}

void ftk_template_budget::keep(std::shared_ptr<void> value, void (*empty)(void *)) {
    kept.push_back({std::move(value), empty});

    if (kept.size() >= sweep_at) {
        sweep();
    }
}

// from the newest on, because a value mostly holds older ones
void ftk_template_budget::sweep() {
    for (auto it = kept.rbegin(); it != kept.rend(); ++it) {
        if (it->value.use_count() == 1) {
            it->empty(it->value.get());
            it->value.reset();
        }
    }

    size_t n_left = 0;
    for (kept_value & item : kept) {
        if (item.value) {
            std::swap(kept[n_left++], item);
        }
    }
    kept.resize(n_left);

    // as many new ones as are left: the time of all sweeps is in proportion to what is made
    sweep_at = 2 * n_left + 4096;
}

ftk_template_level::ftk_template_level() {
    if (current_depth >= ftk_template_budget::MAX_DEPTH) {
        const std::string reason = "its statements, expressions, calls or values are more than " + std::to_string(ftk_template_budget::MAX_DEPTH) + " deep in each other; does it call itself without end?";

        if (current_budget != nullptr) {
            current_budget->stop(reason);
        }
        throw std::runtime_error(reason);
    }

    if (current_budget != nullptr) {
        current_budget->add(1, 0);
    }

    ++current_depth; // last: the destructor does not run where the constructor throws
}

ftk_template_level::~ftk_template_level() {
    --current_depth;
}

void ftk_template_height_check(int height) {
    if (height <= ftk_template_budget::MAX_DEPTH) {
        return;
    }

    const std::string reason = "an expression in it has more than " + std::to_string(ftk_template_budget::MAX_DEPTH) + " operators, or its statements are as deep in each other";

    if (current_budget != nullptr) {
        current_budget->stop(reason);
    }
    throw std::runtime_error(reason);
}

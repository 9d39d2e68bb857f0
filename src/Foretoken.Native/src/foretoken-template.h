#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Chat templates are programs of other people: they may loop without end, call themselves, double a text again and again.
// common/jinja reports here what it does, and is stopped with an exception where a limit is reached.

// one per conversation that is rendered, and per template that is read: all that happens on the thread while it lives counts.
// Without one nothing is counted but the depth
class ftk_template_budget {
public:
    static constexpr uint64_t STEPS     = 2000000;      // statements and expressions that run, values and nodes that are made
    static constexpr uint64_t BYTES     = 128ull << 20; // of text that is made or copied
    static constexpr int      MAX_DEPTH = 400;          // of statements, expressions, calls and values in each other

    // what a longer conversation may take beyond that
    static constexpr uint64_t STEPS_PER_MESSAGE = 1000;
    static constexpr uint64_t BYTES_PER_BYTE    = 64;

    explicit ftk_template_budget(const std::atomic<bool> * cancel = nullptr, uint64_t n_messages = 0, uint64_t n_bytes = 0);
    ~ftk_template_budget();

    ftk_template_budget(const ftk_template_budget &)             = delete;
    ftk_template_budget & operator=(const ftk_template_budget &) = delete;

    // what stopped the template; empty: nothing. common/jinja and its callers catch some exceptions and go on, so this is asked
    // at the end
    const std::string & reached() const { return why; }
    bool                is_cancelled() const { return cancelled; }

    void              add(uint64_t n_steps, uint64_t n_bytes);
    [[noreturn]] void stop(std::string reason);

    // Values that hold others are kept until the end, or until nothing else holds them, and are then emptied one by one:
    // freeing one would otherwise free what it holds, and so on, in calls that are as deep as the values are in each other.
    // Values that hold each other are freed only so
    void keep(std::shared_ptr<void> value, void (*empty)(void *));

    static ftk_template_budget * current();

private:
    struct kept_value {
        std::shared_ptr<void> value;
        void (*empty)(void *);
    };

    void sweep();

    ftk_template_budget * const     outer;
    const std::atomic<bool> * const cancel;
    const uint64_t                  max_steps;
    const uint64_t                  max_bytes;

    uint64_t    steps     = 0;
    uint64_t    bytes     = 0;
    bool        cancelled = false;
    std::string why;

    std::vector<kept_value> kept;
    size_t                  sweep_at = 4096;
};

inline void ftk_template_step(uint64_t n = 1) {
    if (ftk_template_budget * budget = ftk_template_budget::current()) {
        budget->add(n, 0);
    }
}

inline void ftk_template_text(uint64_t n_bytes) {
    if (ftk_template_budget * budget = ftk_template_budget::current()) {
        budget->add(0, n_bytes);
    }
}

// a text is looked for in another, in the worst case anew from each character
inline void ftk_template_search(uint64_t n_bytes, uint64_t n_pattern) {
    ftk_template_text(n_bytes / 64 * n_pattern);
}

// for the time of one call of a function that calls itself
class ftk_template_level {
public:
    ftk_template_level();
    ~ftk_template_level();

    ftk_template_level(const ftk_template_level &)             = delete;
    ftk_template_level & operator=(const ftk_template_level &) = delete;
};

template <typename T, typename = void>
struct ftk_is_template_array : std::false_type {};
template <typename T>
struct ftk_is_template_array<T, std::void_t<decltype(std::declval<T &>().pop_at(0))>> : std::true_type {};

template <typename T, typename = void>
struct ftk_is_template_object : std::false_type {};
template <typename T>
struct ftk_is_template_object<T, std::void_t<decltype(std::declval<T &>().unordered)>> : std::true_type {};

template <typename T>
void ftk_template_made(const std::shared_ptr<T> & value) {
    ftk_template_budget * budget = ftk_template_budget::current();
    if (budget == nullptr) {
        return;
    }

    budget->add(1, 0);
    if constexpr (ftk_is_template_array<T>::value) {
        budget->keep(value, [](void * kept) { static_cast<T *>(kept)->val_arr.clear(); });
    } else if constexpr (ftk_is_template_object<T>::value) {
        budget->keep(value, [](void * kept) {
            static_cast<T *>(kept)->val_obj.clear();
            static_cast<T *>(kept)->unordered.clear();
        });
    }
}

// how many nodes a node stands on: trees are run and freed by functions that call themselves
void ftk_template_height_check(int height);

template <typename T>
int ftk_template_height(const T & part) {
    (void) part;
    return 0;
}

template <typename Node>
int ftk_template_height(const std::unique_ptr<Node> & node) {
    return node ? node->height : 0;
}

template <typename First, typename Second>
int ftk_template_height(const std::pair<First, Second> & pair) {
    const int first  = ftk_template_height(pair.first);
    const int second = ftk_template_height(pair.second);
    return first > second ? first : second;
}

template <typename Item>
int ftk_template_height(const std::vector<Item> & items) {
    int res = 0;
    for (const auto & item : items) {
        const int height = ftk_template_height(item);
        res              = height > res ? height : res;
    }
    return res;
}

template <typename... Parts>
int ftk_template_node_height(const Parts &... parts) {
    int res = 0;
    ((res = ftk_template_height(parts) > res ? ftk_template_height(parts) : res), ...);
    ftk_template_height_check(res + 1);
    ftk_template_step();
    return res + 1;
}

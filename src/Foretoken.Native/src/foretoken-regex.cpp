#include "foretoken-regex.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <type_traits>

//
// sets of characters
//

struct regex_set {
    std::array<bool, 256> low = {};

    std::vector<std::pair<uint32_t, uint32_t>> high; // from 256 on: first and last
    bool                                       negated = false;

    void add(uint32_t first, uint32_t last) {
        for (uint32_t c = first; c <= last && c < 256; ++c) {
            low[c] = true;
        }
        if (last >= 256) {
            high.emplace_back(std::max<uint32_t>(first, 256), last);
        }
    }

    // of \s \S \d \D \w \W; false: not one of them
    bool add_class(uint32_t letter) {
        const auto is_in = [&](uint32_t c) {
            switch (letter) {
                case 's':
                case 'S':
                    return c == ' ' || (c >= '\t' && c <= '\r');
                case 'd':
                case 'D':
                    return c >= '0' && c <= '9';
                default:
                    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
            }
        };

        switch (letter) {
            case 's':
            case 'd':
            case 'w':
                for (uint32_t c = 0; c < 128; ++c) {
                    low[c] = low[c] || is_in(c);
                }
                return true;
            case 'S':
            case 'D':
            case 'W':
                for (uint32_t c = 0; c < 256; ++c) {
                    low[c] = low[c] || !is_in(c);
                }
                high.emplace_back(256, UINT32_MAX);
                return true;
            default:
                return false;
        }
    }

    bool contains(uint32_t c) const {
        if (c < 256) {
            return low[c] != negated;
        }

        const auto it = std::upper_bound(high.begin(), high.end(), c, [](uint32_t value, const auto & range) { return value < range.first; });
        return (it != high.begin() && c <= (it - 1)->second) != negated;
    }

    // the ranges sorted and joined, so that the one before is the only one that may hold a character
    void finish() {
        std::sort(high.begin(), high.end());

        std::vector<std::pair<uint32_t, uint32_t>> joined;
        for (const auto & range : high) {
            if (!joined.empty() && range.first <= joined.back().second) {
                joined.back().second = std::max(joined.back().second, range.second);
            } else {
                joined.push_back(range);
            }
        }
        high = std::move(joined);
    }
};

//
// programs: what an expression is compiled to
//

enum regex_op {
    REGEX_SET,   // one character of a set
    REGEX_SPLIT, // go on at the next instruction; if that leads nowhere, at the target
    REGEX_RETRY, // go on at the target; if that leads nowhere, at the next instruction
    REGEX_JUMP,
    REGEX_NEXT,  // the next character is of a set (or, negated, is not, or there is none)
    REGEX_LOOK,  // a program of its own matches here (or, negated, does not)
    REGEX_BEGIN, // the beginning of the range
    REGEX_END,   // the end of the range
    REGEX_SAVE,  // a group begins (even) or ends (odd) here
    REGEX_MATCH,
};

struct regex_instruction {
    regex_op op;
    size_t   arg     = 0; // the index of a set, an instruction or a program
    bool     negated = false;
    size_t   branch  = 0; // of SPLIT and RETRY: which one of them
};

struct regex_program {
    std::vector<regex_instruction> code;

    size_t n_branches = 0;

    // characters that it looks at, at most; SIZE_MAX: any number
    size_t n_chars = 0;
};

struct regex_compiled {
    std::vector<regex_set>     sets;
    std::vector<regex_program> programs; // the first is the expression, the others are what it looks ahead for

    size_t n_groups = 0;
};

class regex_compiler {
public:
    //   what:   the expression, for errors
    //   search: one that is looked for: groups are remembered, and what only such expressions need is read, too
    regex_compiler(std::vector<uint32_t> expression, std::string what, bool search) :
        expression(std::move(expression)),
        what(std::move(what)),
        search(search) {}

    regex_compiled compile() {
        add_program(0);
        if (at < expression.size()) {
            fail("a parenthesis that closes nothing");
        }

        for (regex_set & set : res.sets) {
            set.finish();
        }

        return std::move(res);
    }

private:
    // the expressions are llama.cpp's own; the limits are there so that none can exhaust the stack or the memory
    static constexpr size_t MAX_DEPTH        = 64;
    static constexpr size_t MAX_INSTRUCTIONS = 1 << 16;

    static constexpr size_t UNBOUNDED = SIZE_MAX;

    // the targets are relative to the instruction, so that pieces of code can be joined and repeated
    using fragment = std::vector<regex_instruction>;

    [[noreturn]] void fail(const std::string & why) const {
        throw std::runtime_error(what + " has, at character " + std::to_string(at) + ", " + why);
    }

    bool is(uint32_t c) const {
        return at < expression.size() && expression[at] == c;
    }

    bool take(const char * text) {
        size_t i = at;
        for (; *text != '\0'; ++text, ++i) {
            if (i == expression.size() || expression[i] != (uint32_t) (unsigned char) *text) {
                return false;
            }
        }
        at = i;
        return true;
    }

    void append(fragment & to, const fragment & from) const {
        to.insert(to.end(), from.begin(), from.end());
        if (to.size() > MAX_INSTRUCTIONS) {
            throw std::runtime_error(what + " is too long when its repetitions are written out");
        }
    }

    size_t add_program(size_t depth) {
        const size_t index = res.programs.size();
        res.programs.emplace_back();

        regex_program program;
        program.code = parse_alternatives(depth);
        program.code.push_back({REGEX_MATCH});
        for (size_t pc = 0; pc < program.code.size(); ++pc) {
            regex_instruction & instruction = program.code[pc];
            if (instruction.op == REGEX_SPLIT || instruction.op == REGEX_RETRY || instruction.op == REGEX_JUMP) {
                instruction.arg += pc; // an unsigned sum wraps around for targets in front
            }
            if (instruction.op == REGEX_SPLIT || instruction.op == REGEX_RETRY) {
                instruction.branch = program.n_branches++;
            }
        }

        program.n_chars     = get_n_chars(program.code);
        res.programs[index] = std::move(program);
        return index;
    }

    // a program that never goes back looks no further than it has characters; what it looks ahead for comes behind them
    size_t get_n_chars(const fragment & code) const {
        size_t n_chars = 0;
        size_t n_ahead = 0;

        for (size_t pc = 0; pc < code.size(); ++pc) {
            const auto & cur  = code[pc];
            const bool   goes = cur.op == REGEX_SPLIT || cur.op == REGEX_RETRY || cur.op == REGEX_JUMP;

            if (goes && cur.arg <= pc) {
                return SIZE_MAX;
            }
            n_chars += cur.op == REGEX_SET ? 1 : 0;
            n_ahead = std::max<size_t>(n_ahead, cur.op == REGEX_NEXT ? 1 : cur.op == REGEX_LOOK ? res.programs[cur.arg].n_chars :
                                                                                                  0);
        }

        return n_ahead == SIZE_MAX ? SIZE_MAX : n_chars + n_ahead;
    }

    fragment parse_alternatives(size_t depth) {
        if (depth > MAX_DEPTH) {
            fail("more than " + std::to_string(MAX_DEPTH) + " groups in each other");
        }

        fragment left = parse_sequence(depth);
        if (!is('|')) {
            return left;
        }

        std::vector<fragment> alternatives;
        alternatives.push_back(std::move(left));
        while (is('|')) {
            ++at;
            alternatives.push_back(parse_sequence(depth));
        }

        // split, first, jump to the end, split, second, jump to the end, …, last
        fragment joined = alternatives.back();
        for (size_t i = alternatives.size() - 1; i-- > 0;) {
            fragment next;
            next.push_back({REGEX_SPLIT, alternatives[i].size() + 2});
            append(next, alternatives[i]);
            next.push_back({REGEX_JUMP, joined.size() + 1});
            append(next, joined);
            joined = std::move(next);
        }
        return joined;
    }

    fragment parse_sequence(size_t depth) {
        fragment sequence;
        while (at < expression.size() && !is('|') && !is(')')) {
            const fragment atom = parse_atom(depth);
            append(sequence, parse_quantifier(atom));
        }
        return sequence;
    }

    fragment parse_atom(size_t depth) {
        const bool ahead     = take("(?=");
        const bool not_ahead = !ahead && take("(?!");
        if (ahead || not_ahead) {
            const size_t program = add_program(depth + 1);
            close_group();

            // one character of a set needs no program
            const auto & code = res.programs[program].code;
            if (code.size() == 2 && code[0].op == REGEX_SET) {
                return {{REGEX_NEXT, code[0].arg, not_ahead}};
            }
            return {{REGEX_LOOK, program, not_ahead}};
        }

        if (take("(?:")) {
            fragment group = parse_alternatives(depth + 1);
            close_group();
            return group;
        }
        if (!(is('(') && at + 1 < expression.size() && expression[at + 1] == '?') && take("(")) {
            const size_t index = res.n_groups++;

            fragment group = parse_alternatives(depth + 1);
            close_group();
            if (search) {
                group.insert(group.begin(), {REGEX_SAVE, 2 * index});
                group.push_back({REGEX_SAVE, 2 * index + 1});
            }
            return group;
        }

        regex_set set;
        if (is('[')) {
            ++at;
            parse_class(set);
        } else if (is('$')) {
            ++at;
            return {{REGEX_END}};
        } else if (search && is('^')) {
            ++at;
            return {{REGEX_BEGIN}};
        } else if (search && is('.')) {
            ++at;
            set.add('\r', '\r');
            set.add('\n', '\n');
            set.negated = true;
        } else if (is('\\')) {
            if (!parse_escaped_class(set)) {
                const uint32_t c = parse_escaped_character();
                set.add(c, c);
            }
        } else {
            const uint32_t c = expression[at];
            if (c < 128 && std::string("(^.*+?{}]").find((char) c) != std::string::npos) {
                fail(std::string("a '") + (char) c + "' that is not supported");
            }
            ++at;
            set.add(c, c);
        }

        res.sets.push_back(std::move(set));
        return {{REGEX_SET, res.sets.size() - 1}};
    }

    void close_group() {
        if (!is(')')) {
            fail("an open group");
        }
        ++at;
    }

    bool parse_escaped_class(regex_set & set) {
        const bool is_word = at + 1 < expression.size() && (expression[at + 1] == 'w' || expression[at + 1] == 'W');
        if (is('\\') && at + 1 < expression.size() && (search || !is_word) && set.add_class(expression[at + 1])) {
            at += 2;
            return true;
        }
        return false;
    }

    uint32_t parse_escaped_character() {
        if (++at == expression.size()) {
            fail("a backslash that escapes nothing");
        }

        const uint32_t c         = expression[at];
        const bool     is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (is_letter && c != 'r' && c != 'n' && c != 't') {
            fail(std::string("an escape '") + (char) c + "' that is not supported");
        }

        ++at;
        return c == 'r' ? '\r' : c == 'n' ? '\n' :
                         c == 't'         ? '\t' :
                                            c;
    }

    void parse_class(regex_set & set) {
        if (is('^')) {
            ++at;
            set.negated = true;
        }

        while (at < expression.size() && !is(']')) {
            if (parse_escaped_class(set)) {
                continue;
            }

            const uint32_t first = parse_class_character();
            uint32_t       last  = first;
            if (is('-') && at + 1 < expression.size() && expression[at + 1] != ']') {
                ++at;
                last = parse_class_character();
                if (last < first) {
                    fail("a range whose end is in front of its beginning");
                }
            }
            set.add(first, last);
        }

        if (at == expression.size()) {
            fail("an open class");
        }
        ++at;
    }

    uint32_t parse_class_character() {
        return is('\\') ? parse_escaped_character() : expression[at++];
    }

    size_t parse_number() {
        size_t number = 0;
        size_t digits = 0;
        for (; at < expression.size() && expression[at] >= '0' && expression[at] <= '9'; ++at, ++digits) {
            number = std::min<size_t>(number * 10 + (expression[at] - '0'), MAX_INSTRUCTIONS);
        }
        if (digits == 0) {
            fail("a repetition without a number");
        }
        return number;
    }

    fragment parse_quantifier(const fragment & atom) {
        size_t min = 1;
        size_t max = 1;
        if (is('?') || is('*') || is('+')) {
            min = is('+') ? 1 : 0;
            max = is('?') ? 1 : UNBOUNDED;
            ++at;
        } else if (is('{')) {
            ++at;
            min = parse_number();
            max = min;
            if (is(',')) {
                ++at;
                max = is('}') ? UNBOUNDED : parse_number();
            }
            if (!is('}') || max < min) {
                fail("a repetition that does not end");
            }
            ++at;
        } else {
            return atom;
        }
        const bool lazy = search && is('?');
        if (lazy) {
            ++at;
        }
        if (is('?') || is('+')) {
            fail("a repetition that is not greedy");
        }

        const regex_op go_on = lazy ? REGEX_RETRY : REGEX_SPLIT; // at the next instruction
        const regex_op again = lazy ? REGEX_SPLIT : REGEX_RETRY; // at the target

        fragment repeated;
        for (size_t i = 0; i < min; ++i) {
            append(repeated, atom);
        }
        if (max == UNBOUNDED && min > 0) {
            // once more, as long as that leads somewhere
            repeated.push_back({again, (size_t) 0 - atom.size()});
        } else if (max == UNBOUNDED) {
            repeated.push_back({go_on, atom.size() + 2});
            append(repeated, atom);
            repeated.push_back({REGEX_JUMP, (size_t) 0 - (atom.size() + 1)});
        } else {
            for (size_t i = min; i < max; ++i) {
                repeated.push_back({go_on, (max - i) * (atom.size() + 1)});
                append(repeated, atom);
            }
        }
        return repeated;
    }

    std::vector<uint32_t> expression;

    const std::string what;
    const bool        search;

    size_t         at = 0;
    regex_compiled res;
};

//
// matching
//

// What follows from an instruction and a position does not depend on how a search came there, so each branch is taken at
// each position once: if it is met again, it led nowhere. This makes the time linear, whatever the expression.
template <typename CharT>
class regex_matcher {
public:
    explicit regex_matcher(const regex_compiled & compiled) :
        compiled(compiled),
        ahead(compiled.programs.size()),
        saved(2 * compiled.n_groups, SIZE_MAX) {}

    void begin_range(const CharT * range_text, size_t range_length) {
        text   = range_text;
        length = range_length;

        taken.assign((main().n_branches * (length + 1) + 63) / 64, 0);
        for (std::vector<bool> & table : ahead) {
            table.clear();
        }
    }

    // where the match that begins at 'begin' ends, or SIZE_MAX. An empty match counts unless 'not_empty' is set, and with 'whole'
    // only one that ends with the range
    size_t match_at(size_t begin, bool not_empty, bool whole = false) {
        jobs.clear();
        jobs.push_back({0, begin});
        std::fill(saved.begin(), saved.end(), SIZE_MAX);

        while (!jobs.empty()) {
            size_t pc  = jobs.back().pc;
            size_t pos = jobs.back().pos;
            jobs.pop_back();

            if (pc >= main().code.size()) {
                // back in front of where a group began or ended
                saved[pc - main().code.size()] = pos;
                continue;
            }

            while (true) {
                const regex_instruction & instruction = main().code[pc];
                if (instruction.op == REGEX_MATCH) {
                    if ((not_empty && pos == begin) || (whole && pos != length)) {
                        break;
                    }
                    // what was taken here led somewhere; what was taken further back is not met again
                    for (size_t i = 0; i < main().n_branches; ++i) {
                        const size_t bit = pos * main().n_branches + i;
                        taken[bit / 64] &= ~(1ull << (bit % 64));
                    }
                    return pos;
                }

                if (instruction.op == REGEX_SPLIT || instruction.op == REGEX_RETRY) {
                    const size_t   bit  = pos * main().n_branches + instruction.branch;
                    const uint64_t mask = 1ull << (bit % 64);
                    if ((taken[bit / 64] & mask) != 0) {
                        break;
                    }
                    taken[bit / 64] |= mask;

                    const bool retry = instruction.op == REGEX_RETRY;
                    jobs.push_back({retry ? pc + 1 : instruction.arg, pos});
                    pc = retry ? instruction.arg : pc + 1;
                } else if (instruction.op == REGEX_JUMP) {
                    pc = instruction.arg;
                } else if (instruction.op == REGEX_SAVE) {
                    jobs.push_back({main().code.size() + instruction.arg, saved[instruction.arg]});
                    saved[instruction.arg] = pos;
                    ++pc;
                } else if (holds(instruction, pos)) {
                    pos += instruction.op == REGEX_SET ? 1 : 0;
                    ++pc;
                } else {
                    break;
                }
            }
        }

        return SIZE_MAX;
    }

    // where the last match begins that its first group found which is not empty, or SIZE_MAX
    size_t get_first_group() const {
        for (size_t i = 0; i + 1 < saved.size(); i += 2) {
            if (saved[i] != SIZE_MAX && saved[i + 1] != SIZE_MAX && saved[i] < saved[i + 1]) {
                return saved[i];
            }
        }

        return SIZE_MAX;
    }

private:
    // an instruction, or, behind them, the end of a group that is put back
    struct job {
        size_t pc;
        size_t pos;
    };

    const regex_program & main() const {
        return compiled.programs[0];
    }

    // of the instructions that look at the text
    bool holds(const regex_instruction & instruction, size_t pos) {
        switch (instruction.op) {
            case REGEX_SET:
                return pos < length && is_in(instruction.arg, pos);
            case REGEX_NEXT:
                return (pos < length && is_in(instruction.arg, pos)) != instruction.negated;
            case REGEX_BEGIN:
                return pos == 0;
            case REGEX_END:
                return pos == length;
            default:
                return looks_ahead(instruction.arg, pos) != instruction.negated;
        }
    }

    bool is_in(size_t set, size_t pos) const {
        return compiled.sets[set].contains((uint32_t) (std::make_unsigned_t<CharT>) text[pos]);
    }

    // whether a program matches at a position. Where it looks at any number of characters, it is known of all positions at once
    bool looks_ahead(size_t index, size_t pos) {
        const size_t n_chars = compiled.programs[index].n_chars;
        if (n_chars < length) {
            return look_ahead(index, pos, std::min(length, pos + n_chars))[0];
        }

        std::vector<bool> & table = ahead[index];
        if (table.empty()) {
            table = look_ahead(index, 0, length);
        }
        return table[pos];
    }

    // of positions [begin, end]: from the end on, so that each step uses what is known of the next
    std::vector<bool> look_ahead(size_t index, size_t begin, size_t end) {
        const auto & code = compiled.programs[index].code;

        std::vector<bool> res(end - begin + 1);
        std::vector<bool> here(code.size());
        std::vector<bool> next(code.size());
        for (size_t pos = end + 1; pos-- > begin;) {
            std::swap(here, next);
            here.assign(code.size(), false);

            for (bool changed = true; changed;) {
                changed = false;
                for (size_t pc = code.size(); pc-- > 0;) {
                    if (!here[pc] && leads_on(code, pc, pos, here, next)) {
                        here[pc] = true;
                        changed  = true;
                    }
                }
            }
            res[pos - begin] = here[0];
        }

        return res;
    }

    bool leads_on(const std::vector<regex_instruction> & code, size_t pc, size_t pos, const std::vector<bool> & here, const std::vector<bool> & next) {
        switch (code[pc].op) {
            case REGEX_MATCH:
                return true;
            case REGEX_JUMP:
                return here[code[pc].arg];
            case REGEX_SAVE:
                return here[pc + 1];
            case REGEX_SPLIT:
            case REGEX_RETRY:
                return here[code[pc].arg] || here[pc + 1];
            case REGEX_SET:
                return pos < length && next[pc + 1] && holds(code[pc], pos);
            default:
                return here[pc + 1] && holds(code[pc], pos);
        }
    }

    const regex_compiled & compiled;

    const CharT * text   = nullptr;
    size_t        length = 0;

    std::vector<uint64_t>          taken;
    std::vector<job>               jobs;
    std::vector<std::vector<bool>> ahead;
    std::vector<size_t>            saved; // where groups begin and end
};

template <typename CharT>
static regex_compiled compile_regex(const std::basic_string<CharT> & regex, const std::string & what, bool search) {
    std::vector<uint32_t> expression;
    for (const CharT c : regex) {
        expression.push_back((uint32_t) (std::make_unsigned_t<CharT>) c);
    }

    return regex_compiler(std::move(expression), what, search).compile();
}

// a text is cut piece by piece, and the expressions are the few of llama.cpp's own: each is compiled once
template <typename CharT>
static const regex_compiled & get_compiled(const std::basic_string<CharT> & regex) {
    static std::mutex                                         mutex;
    static std::map<std::basic_string<CharT>, regex_compiled> cache;
    const std::lock_guard<std::mutex>                         lock(mutex);

    const auto it = cache.find(regex);

    // an element of a map stays where it is
    return it != cache.end() ? it->second : cache.emplace(regex, compile_regex(regex, "an expression of the pre-tokenizer", false)).first->second;
}

template <typename CharT>
static std::vector<size_t> regex_split(const std::basic_string<CharT> & text, const std::basic_string<CharT> & regex, const std::vector<size_t> & offsets) {
    const regex_compiled & compiled = get_compiled(regex);

    regex_matcher<CharT> matcher(compiled);

    std::vector<size_t> res;
    res.reserve(offsets.size());

    size_t start = 0;
    for (const size_t length : offsets) {
        matcher.begin_range(text.data() + start, length);

        size_t end_of_last = 0;
        bool   was_empty   = false;
        for (size_t pos = 0; pos <= length;) {
            // behind an empty match, one that is not empty may begin at the same place
            const size_t end = matcher.match_at(pos, was_empty);
            was_empty        = end == pos;
            if (end == SIZE_MAX) {
                ++pos;
                continue;
            }

            if (pos > end_of_last) {
                res.push_back(pos - end_of_last);
            }
            res.push_back(end - pos);
            end_of_last = end;
            pos         = end;
        }

        if (end_of_last < length) {
            res.push_back(length - end_of_last);
        }
        start += length;
    }

    return res;
}

std::vector<size_t> ftk_regex_split(const std::string & text, const std::string & regex, const std::vector<size_t> & offsets) {
    return regex_split(text, regex, offsets);
}

std::vector<size_t> ftk_regex_split(const std::wstring & text, const std::wstring & regex, const std::vector<size_t> & offsets) {
    return regex_split(text, regex, offsets);
}

//
// searching
//

struct ftk_regex {
    regex_compiled compiled;

    // the characters that a match can begin with; empty: any, or none
    std::vector<bool> first;

    bool is_anchored = false; // "^...$"
};

// false: a match may be empty
static bool get_first(const regex_compiled & compiled, std::vector<bool> & first) {
    const auto & code = compiled.programs[0].code;

    first.assign(256, false);

    std::vector<bool>   seen(code.size(), false);
    std::vector<size_t> open = {0};
    while (!open.empty()) {
        const size_t at = open.back();
        open.pop_back();
        if (seen[at]) {
            continue;
        }
        seen[at] = true;

        switch (code[at].op) {
            case REGEX_MATCH:
                return false;
            case REGEX_SET:
                for (uint32_t c = 0; c < 256; ++c) {
                    first[c] = first[c] || compiled.sets[code[at].arg].contains(c);
                }
                break;
            case REGEX_JUMP:
                open.push_back(code[at].arg);
                break;
            case REGEX_SPLIT:
            case REGEX_RETRY:
                open.push_back(code[at].arg);
                open.push_back(at + 1);
                break;
            default:
                open.push_back(at + 1);
                break;
        }
    }

    return true;
}

std::shared_ptr<const ftk_regex> ftk_regex_compile(const std::string & regex, std::string & why) {
    auto res = std::make_shared<ftk_regex>();

    try {
        res->compiled = compile_regex(regex, "it", true);
    } catch (const std::runtime_error & err) {
        why = err.what();
        return nullptr;
    }

    res->is_anchored = !regex.empty() && regex.front() == '^' && regex.back() == '$';

    if (!get_first(res->compiled, res->first)) {
        res->first.clear();
    }

    return res;
}

size_t ftk_regex_find(const ftk_regex & regex, const std::string & text) {
    regex_matcher<char> matcher(regex.compiled);

    const auto get_start = [&](size_t begin) {
        const size_t group = matcher.get_first_group();
        return group != SIZE_MAX ? group : begin;
    };

    if (regex.is_anchored) {
        matcher.begin_range(text.data(), text.size());
        if (matcher.match_at(0, false, true) != SIZE_MAX) {
            return get_start(0);
        }
    }

    bool has_begun = false;

    for (size_t i = 0; i <= text.size(); ++i) {
        if (!regex.first.empty() && (i == text.size() || !regex.first[(uint8_t) text[i]])) {
            continue;
        }
        if (!has_begun) {
            matcher.begin_range(text.data(), text.size());
            has_begun = true;
        }
        if (matcher.match_at(i, false) != SIZE_MAX) {
            return get_start(i);
        }
    }

    return std::string::npos;
}

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

    // of \s \S \d \D; false: not one of them
    bool add_class(uint32_t letter) {
        const auto is_in = [&](uint32_t c) { return letter == 's' || letter == 'S' ? c == ' ' || (c >= '\t' && c <= '\r') : c >= '0' && c <= '9'; };

        switch (letter) {
            case 's':
            case 'd':
                for (uint32_t c = 0; c < 128; ++c) {
                    low[c] = low[c] || is_in(c);
                }
                return true;
            case 'S':
            case 'D':
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
    REGEX_NEXT, // the next character is of a set (or, negated, is not, or there is none)
    REGEX_LOOK, // a program of its own matches here (or, negated, does not)
    REGEX_END,  // the end of the range
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
};

struct regex_compiled {
    std::vector<regex_set>     sets;
    std::vector<regex_program> programs; // the first is the expression, the others are what it looks ahead for
};

class regex_compiler {
public:
    explicit regex_compiler(std::vector<uint32_t> expression) :
        expression(std::move(expression)) {}

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

    [[noreturn]] void fail(const std::string & what) const {
        throw std::runtime_error("an expression of the pre-tokenizer has, at character " + std::to_string(at) + ", " + what);
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

    static void append(fragment & to, const fragment & from) {
        to.insert(to.end(), from.begin(), from.end());
        if (to.size() > MAX_INSTRUCTIONS) {
            throw std::runtime_error("an expression of the pre-tokenizer is too long when its repetitions are written out");
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

        res.programs[index] = std::move(program);
        return index;
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

        if (take("(?:") || (!(is('(') && at + 1 < expression.size() && expression[at + 1] == '?') && take("("))) {
            fragment group = parse_alternatives(depth + 1);
            close_group();
            return group;
        }

        regex_set set;
        if (is('[')) {
            ++at;
            parse_class(set);
        } else if (is('$')) {
            ++at;
            return {{REGEX_END}};
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
        if (is('\\') && at + 1 < expression.size() && set.add_class(expression[at + 1])) {
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
        if (is('?') || is('+')) {
            fail("a repetition that is not greedy");
        }

        fragment repeated;
        for (size_t i = 0; i < min; ++i) {
            append(repeated, atom);
        }
        if (max == UNBOUNDED && min > 0) {
            // once more, as long as that leads somewhere
            repeated.push_back({REGEX_RETRY, (size_t) 0 - atom.size()});
        } else if (max == UNBOUNDED) {
            repeated.push_back({REGEX_SPLIT, atom.size() + 2});
            append(repeated, atom);
            repeated.push_back({REGEX_JUMP, (size_t) 0 - (atom.size() + 1)});
        } else {
            for (size_t i = min; i < max; ++i) {
                repeated.push_back({REGEX_SPLIT, (max - i) * (atom.size() + 1)});
                append(repeated, atom);
            }
        }
        return repeated;
    }

    std::vector<uint32_t> expression;

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
        ahead(compiled.programs.size()) {}

    void begin_range(const CharT * range_text, size_t range_length) {
        text   = range_text;
        length = range_length;

        taken.assign((main().n_branches * (length + 1) + 63) / 64, 0);
        for (std::vector<bool> & table : ahead) {
            table.clear();
        }
    }

    // where the match that begins at 'begin' ends, or SIZE_MAX. An empty match counts unless 'not_empty' is set
    size_t match_at(size_t begin, bool not_empty) {
        jobs.clear();
        jobs.push_back({0, begin});

        while (!jobs.empty()) {
            size_t pc  = jobs.back().pc;
            size_t pos = jobs.back().pos;
            jobs.pop_back();

            while (true) {
                const regex_instruction & instruction = main().code[pc];
                if (instruction.op == REGEX_MATCH) {
                    if (not_empty && pos == begin) {
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

private:
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
            case REGEX_END:
                return pos == length;
            default:
                return look_ahead(instruction.arg)[pos] != instruction.negated;
        }
    }

    bool is_in(size_t set, size_t pos) const {
        return compiled.sets[set].contains((uint32_t) (std::make_unsigned_t<CharT>) text[pos]);
    }

    // whether a program matches, for each position: from the end on, so that each step uses what is known of the next
    const std::vector<bool> & look_ahead(size_t index) {
        std::vector<bool> & table = ahead[index];
        if (!table.empty()) {
            return table;
        }

        const auto & code = compiled.programs[index].code;

        std::vector<bool> res(length + 1);
        std::vector<bool> here(code.size());
        std::vector<bool> next(code.size());
        for (size_t pos = length + 1; pos-- > 0;) {
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
            res[pos] = here[0];
        }

        ahead[index] = std::move(res);
        return ahead[index];
    }

    bool leads_on(const std::vector<regex_instruction> & code, size_t pc, size_t pos, const std::vector<bool> & here, const std::vector<bool> & next) {
        switch (code[pc].op) {
            case REGEX_MATCH:
                return true;
            case REGEX_JUMP:
                return here[code[pc].arg];
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
};

template <typename CharT>
static regex_compiled compile_regex(const std::basic_string<CharT> & regex) {
    std::vector<uint32_t> expression;
    for (const CharT c : regex) {
        expression.push_back((uint32_t) (std::make_unsigned_t<CharT>) c);
    }

    return regex_compiler(std::move(expression)).compile();
}

// a text is cut piece by piece, and the expressions are the few of llama.cpp's own: each is compiled once
template <typename CharT>
static const regex_compiled & get_compiled(const std::basic_string<CharT> & regex) {
    static std::mutex                                         mutex;
    static std::map<std::basic_string<CharT>, regex_compiled> cache;
    const std::lock_guard<std::mutex>                         lock(mutex);

    const auto it = cache.find(regex);

    // an element of a map stays where it is
    return it != cache.end() ? it->second : cache.emplace(regex, compile_regex(regex)).first->second;
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

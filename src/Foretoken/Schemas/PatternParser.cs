using System.Globalization;
using System.Text.RegularExpressions;

namespace Foretoken.Schemas;

/// <summary>
/// Reads a regular expression as .NET writes it. The tree describes the whole string, as <c>[RegularExpression]</c> does, whether
/// or not the expression has anchors: such a string matches under every reading of an unanchored pattern.
/// </summary>
internal sealed class PatternParser
{
    internal const int MaxLength = 10_000;
    internal const int MaxDepth = 50;
    internal const int MaxNodes = 10_000;

    private readonly string _text;
    private int _at;
    private int _depth;
    private int _nodes;

    private PatternParser(string text)
    {
        _text = text;
    }

    private bool AtEnd => _at == _text.Length;

    /// <exception cref="PatternException">It is not a regular expression, or no finite automaton can follow it.</exception>
    internal static PatternNode Parse(string pattern)
    {
        if (pattern.Length > MaxLength)
        {
            throw new PatternException($"it has {pattern.Length} characters; {MaxLength} are possible");
        }
        try
        {
            _ = new Regex(pattern, RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
        }
        catch (ArgumentException e)
        {
            throw new PatternException($"it is not a regular expression: {e.Message}");
        }
        PatternParser parser = new(pattern);
        PatternNode node = parser.ParseChoice(default);
        if (!parser.AtEnd)
        {
            throw new PatternException($"a ')' at {parser._at} closes nothing");
        }
        return ResolveAnchors(node, isFirst: true, isLast: true);
    }

    private struct Flags
    {
        internal bool IgnoreCase;
        internal bool DotMatchesNewline;
    }

    private PatternNode ParseChoice(Flags flags)
    {
        if (++_depth > MaxDepth)
        {
            throw new PatternException($"its groups are nested deeper than {MaxDepth} levels");
        }
        List<PatternNode> alternatives = [ParseSequence(ref flags)];
        while (!AtEnd && _text[_at] == '|')
        {
            _at++;
            alternatives.Add(ParseSequence(ref flags));
        }
        _depth--;
        return alternatives.Count == 1 ? alternatives[0] : new PatternChoice(alternatives);
    }

    // inline options such as (?i) go on until the group ends
    private PatternNode ParseSequence(ref Flags flags)
    {
        List<PatternNode> items = [];
        while (!AtEnd && _text[_at] is not ('|' or ')'))
        {
            if (++_nodes > MaxNodes)
            {
                throw new PatternException($"it has more than {MaxNodes} parts");
            }
            int start = _at;
            PatternNode? atom = ParseAtom(ref flags);
            if (atom is null)
            {
                continue;
            }
            items.Add(ParseQuantifier(atom, _text[start.._at]));
        }
        return items.Count == 1 ? items[0] : new PatternSequence(items);
    }

    private PatternNode? ParseAtom(ref Flags flags)
    {
        char c = _text[_at];
        switch (c)
        {
            case '(':
                return ParseGroup(ref flags);
            case '[':
                _at++;
                return Set(ParseClass(flags));
            case '.':
                _at++;
                CharSet lines = CharSet.Of(('\n', '\n'), ('\r', '\r'), (0x2028, 0x2029));
                return Set(CharClass.Exactly(flags.DotMatchesNewline ? CharSet.All : lines.Complement()));
            case '^':
                _at++;
                return new PatternAnchor(PatternPlace.Start, "^");
            case '$':
                _at++;
                return new PatternAnchor(PatternPlace.End, "$");
            case '*' or '+' or '?':
                throw new PatternException($"'{c}' at {_at} has nothing to repeat");
            case '{' when ReadCounts(_at) is not null:
                throw new PatternException($"'{{' at {_at} has nothing to repeat");
            case '\\':
                return ParseEscape(flags);
            default:
                return Literal(ReadCharacter(), flags);
        }
    }

    private int ReadCharacter()
    {
        char c = _text[_at++];
        if (!char.IsSurrogate(c))
        {
            return c;
        }
        if (char.IsHighSurrogate(c) && !AtEnd && char.IsLowSurrogate(_text[_at]))
        {
            return char.ConvertToUtf32(c, _text[_at++]);
        }
        throw new PatternException($"half of a surrogate pair stands alone at {_at - 1}");
    }

    private static PatternSet Literal(int c, Flags flags)
    {
        CharSet set = CharSet.Of(c);
        return new PatternSet(flags.IgnoreCase ? set.IgnoringCase() : set);
    }

    private static PatternSet Set(CharClass set) =>
        set.Inner.IsEmpty
            ? throw new PatternException("one of its classes has no character in it")
            : new PatternSet(set.Inner);

    private PatternNode? ParseGroup(ref Flags flags)
    {
        int open = _at++;
        if (_at + 1 < _text.Length && _text[_at] == '?')
        {
            _at++;
            char kind = _text[_at];
            if (kind == '#')
            {
                int end = _text.IndexOf(')', _at);
                _at = end < 0 ? _text.Length : end + 1;
                return null;
            }
            if (kind == '>')
            {
                throw Unsupported(open, "an atomic group");
            }
            if (kind is '=' or '!')
            {
                throw Unsupported(open, "lookahead");
            }
            if (kind == '<' && _at + 1 < _text.Length && _text[_at + 1] is '=' or '!')
            {
                throw Unsupported(open, "lookbehind");
            }
            if (kind == '(')
            {
                throw Unsupported(open, "a condition");
            }
            if (kind is '<' or '\'' or 'P')
            {
                int end = _text.IndexOf(kind == '\'' ? '\'' : '>', _at + 1);
                if (_text.AsSpan(_at, end - _at).Contains('-'))
                {
                    throw Unsupported(open, "a balancing group");
                }
                _at = end + 1;
            }
            else
            {
                Flags inner = flags;
                ReadOptions(open, ref inner);
                if (_text[_at] == ')')
                {
                    _at++;
                    flags = inner;
                    return null;
                }
                _at++;
                return CloseGroup(open, ParseChoice(inner));
            }
        }
        return CloseGroup(open, ParseChoice(flags));
    }

    private PatternNode CloseGroup(int open, PatternNode node)
    {
        if (AtEnd)
        {
            throw new PatternException($"the '(' at {open} is not closed");
        }
        _at++;
        return node;
    }

    // the letters of (?i-s) and (?i-s:
    private void ReadOptions(int open, ref Flags flags)
    {
        bool on = true;
        for (; !AtEnd && _text[_at] is not (':' or ')'); _at++)
        {
            switch (_text[_at])
            {
                case '-':
                    on = false;
                    break;
                case '+':
                    on = true;
                    break;
                case 'i' or 'I':
                    flags.IgnoreCase = on;
                    break;
                case 's' or 'S':
                    flags.DotMatchesNewline = on;
                    break;
                case 'n' or 'N':
                    break;
                case 'm' or 'M' or 'x' or 'X' when !on:
                    break;
                default:
                    throw Unsupported(open, $"the option '{_text[_at]}'");
            }
        }
        if (AtEnd)
        {
            throw new PatternException($"the '(' at {open} is not closed");
        }
    }

    private static PatternException Unsupported(int at, string what) =>
        new($"{what} at {at} is not possible in a grammar; write the pattern without it");

    private PatternNode ParseEscape(Flags flags)
    {
        int start = _at;
        switch (_at + 1 < _text.Length ? _text[_at + 1] : '\0')
        {
            case 'A' or 'G':
                _at += 2;
                return new PatternAnchor(PatternPlace.Start, _text[start.._at]);
            case 'z' or 'Z':
                _at += 2;
                return new PatternAnchor(PatternPlace.End, _text[start.._at]);
            case 'b':
                _at += 2;
                return new PatternAnchor(PatternPlace.WordBoundary, "\\b");
            case 'B':
                throw Unsupported(start, "\\B");
            case >= '1' and <= '9' or 'k':
                throw Unsupported(start, "a reference to a group");
        }
        if (ReadShorthand() is { } shorthand)
        {
            return Set(shorthand);
        }
        int c = ReadEscapedCharacter();
        if (
            char.IsHighSurrogate((char)c)
            && c <= 0xFFFF
            && _at + 1 < _text.Length
            && _text[_at] == '\\'
            && _text[_at + 1] == 'u'
        )
        {
            int low = ReadEscapedCharacter();
            if (low is >= 0xDC00 and <= 0xDFFF)
            {
                c = char.ConvertToUtf32((char)c, (char)low);
            }
        }
        if (c is >= 0xD800 and <= 0xDFFF)
        {
            throw new PatternException($"half of a surrogate pair stands alone at {start}");
        }
        return Literal(c, flags);
    }

    /// <summary>\d, \w, \s, \p{…} and their opposites; null when something else stands there.</summary>
    private CharClass? ReadShorthand()
    {
        char kind = _text[_at + 1];
        CharClass? known = char.ToLowerInvariant(kind) switch
        {
            'd' => CharClass.Digit,
            'w' => CharClass.Word,
            's' => CharClass.Space,
            _ => null,
        };
        if (known is { } shorthand)
        {
            _at += 2;
            return char.IsUpper(kind) ? shorthand.Negated() : shorthand;
        }
        if (kind is not ('p' or 'P'))
        {
            return null;
        }
        int end = _text.IndexOf('}', _at);
        string name = _text[(_at + 3)..end];
        CharClass category = CharClass.Category(name) ?? throw Unsupported(_at, $"\\{kind}{{{name}}}");
        _at = end + 1;
        return kind == 'P' ? category.Negated() : category;
    }

    private int ReadEscapedCharacter()
    {
        char kind = _text[_at + 1];
        _at += 2;
        return kind switch
        {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\f',
            'v' => '\v',
            'a' => '\a',
            'e' => 0x1B,
            'x' => ReadHex(2),
            'u' => ReadHex(4),
            'c' => char.ToUpperInvariant(_text[_at++]) - '@',
            >= '0' and <= '7' => ReadOctal(kind - '0'),
            _ => kind,
        };
    }

    private int ReadHex(int digits)
    {
        _at += digits;
        return int.Parse(_text.AsSpan(_at - digits, digits), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private int ReadOctal(int value)
    {
        for (int i = 0; i < 2 && !AtEnd && _text[_at] is >= '0' and <= '7'; i++)
        {
            value = (8 * value) + _text[_at++] - '0';
        }
        return value & 0xFF;
    }

    private CharClass ParseClass(Flags flags)
    {
        bool negated = !AtEnd && _text[_at] == '^';
        _at += negated ? 1 : 0;
        CharClass all = CharClass.Nothing;
        CharClass? subtracted = null;
        for (bool isFirst = true; isFirst || _text[_at] != ']'; isFirst = false)
        {
            if (_text[_at] == '\\' && ReadShorthand() is { } shorthand)
            {
                all = all.Union(shorthand);
                continue;
            }
            if (_text[_at] == '-' && !isFirst && _text[_at + 1] == '[')
            {
                _at += 2;
                subtracted = ParseClass(flags);
                continue;
            }
            int first = ReadClassCharacter();
            int last = first;
            if (_text[_at] == '-' && _text[_at + 1] is not (']' or '['))
            {
                _at++;
                last = ReadClassCharacter();
            }
            if (last > 0xFFFF || first is >= 0xD800 and <= 0xDFFF || last is >= 0xD800 and <= 0xDFFF)
            {
                throw new PatternException("a class holds characters beyond U+FFFF, which .NET sees as two");
            }
            all = all.Union(CharClass.Exactly(CharSet.Of((first, last)).Intersect(CharSet.All)));
        }
        _at++;
        if (flags.IgnoreCase)
        {
            all = all.IgnoringCase();
        }
        if (negated)
        {
            // letters that .NET takes for other cases of k, i and s
            all = flags.IgnoreCase
                ? all.Union(CharClass.Exactly(CharSet.Of((0x130, 0x131), (0x17F, 0x17F), (0x212A, 0x212A))))
                : all;
            all = all.Negated();
        }
        return subtracted is { } less ? all.Except(less) : all;
    }

    private int ReadClassCharacter()
    {
        if (_text[_at] != '\\')
        {
            return ReadCharacter();
        }
        if (_text[_at + 1] == 'b')
        {
            _at += 2;
            return '\b';
        }
        return ReadEscapedCharacter();
    }

    private PatternNode ParseQuantifier(PatternNode atom, string text)
    {
        if (AtEnd)
        {
            return atom;
        }
        (int Min, int? Max, int Length)? counts = _text[_at] switch
        {
            '*' => (0, null, 1),
            '+' => (1, null, 1),
            '?' => (0, 1, 1),
            '{' => ReadCounts(_at),
            _ => null,
        };
        if (counts is not { } found)
        {
            return atom;
        }
        if (atom is PatternAnchor)
        {
            throw new PatternException($"the quantifier at {_at} has nothing to repeat but '{text}'");
        }
        if (atom is PatternSet { Set: { Ranges: [{ First: > 0xFFFF }, ..] } })
        {
            throw new PatternException(
                $"the quantifier at {_at} repeats '{text}', of which .NET sees the second half only"
            );
        }
        _at += found.Length;
        // lazy or greedy, the strings are the same
        if (!AtEnd && _text[_at] == '?')
        {
            _at++;
        }
        return new PatternRepeat(atom, found.Min, found.Max);
    }

    /// <summary>{2}, {2,} and {2,3}; null for a brace that is only a character.</summary>
    private (int Min, int? Max, int Length)? ReadCounts(int at)
    {
        int end = _text.IndexOf('}', at);
        if (end < 0)
        {
            return null;
        }
        string[] parts = _text[(at + 1)..end].Split(',');
        if (
            parts.Length > 2
            || parts.Any(part => !part.All(char.IsAsciiDigit))
            || parts[0].Length == 0
            || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int min)
        )
        {
            return null;
        }
        int? max = min;
        if (parts.Length == 2)
        {
            max = int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int upper) ? upper : null;
        }
        return (min, max, end + 1 - at);
    }

    // places that are certain are taken out, all others refused
    private static PatternNode ResolveAnchors(PatternNode node, bool isFirst, bool isLast)
    {
        switch (node)
        {
            case PatternAnchor anchor:
                return ResolveSequence([anchor], isFirst, isLast);
            case PatternSequence sequence:
                return ResolveSequence(sequence.Items, isFirst, isLast);
            case PatternChoice choice:
                return new PatternChoice([.. choice.Items.Select(item => ResolveAnchors(item, isFirst, isLast))]);
            case PatternRepeat repeat:
                return repeat with { Item = ResolveAnchors(repeat.Item, isFirst: false, isLast: false) };
            default:
                return node;
        }
    }

    private static PatternNode ResolveSequence(IReadOnlyList<PatternNode> items, bool isFirst, bool isLast)
    {
        bool[] last = new bool[items.Count];
        for (int i = items.Count - 1; i >= 0; i--)
        {
            last[i] = isLast && (i == items.Count - 1 || (last[i + 1] && items[i + 1] is PatternAnchor));
        }
        List<PatternNode> resolved = [];
        for (int i = 0; i < items.Count; i++)
        {
            bool first = isFirst && resolved.Count == 0;
            if (items[i] is not PatternAnchor anchor)
            {
                resolved.Add(ResolveAnchors(items[i], first, last[i]));
                continue;
            }
            bool holds = anchor.Place switch
            {
                PatternPlace.Start => first,
                PatternPlace.End => last[i],
                _ => IsWordBoundary(
                    first ? null : resolved.LastOrDefault(),
                    last[i] ? null : items.Skip(i + 1).FirstOrDefault(item => item is not PatternAnchor),
                    first,
                    last[i]
                ),
            };
            if (!holds)
            {
                throw new PatternException(
                    $"'{anchor.Text}' stands where a grammar cannot tell whether it holds; at the start and at the end of the pattern it can"
                );
            }
        }
        return resolved.Count == 1 ? resolved[0] : new PatternSequence(resolved);
    }

    private static bool IsWordBoundary(PatternNode? before, PatternNode? after, bool isFirst, bool isLast)
    {
        bool? left = isFirst ? false : IsWord(before, fromEnd: true);
        bool? right = isLast ? false : IsWord(after, fromEnd: false);
        return left is not null && right is not null && left != right;
    }

    /// <summary>Whether the first or last character is one of a word; null where that depends.</summary>
    private static bool? IsWord(PatternNode? node, bool fromEnd)
    {
        switch (node)
        {
            case PatternSet set:
                return set.Set.IsSubsetOf(CharClass.Word.Outer) ? true
                    : set.Set.Intersect(CharClass.Word.Outer).IsEmpty ? false
                    : null;
            case PatternSequence { Items.Count: > 0 } sequence:
                return IsWord(fromEnd ? sequence.Items[^1] : sequence.Items[0], fromEnd);
            case PatternChoice choice:
                bool?[] each = [.. choice.Items.Select(item => IsWord(item, fromEnd)).Distinct()];
                return each.Length == 1 ? each[0] : null;
            case PatternRepeat { Min: > 0 } repeat:
                return IsWord(repeat.Item, fromEnd);
            default:
                return null;
        }
    }
}

using System.Globalization;
using System.Text;

namespace Foretoken.Schemas;

/// <summary>
/// Writes a pattern as llama.cpp reads patterns in schemas: about the text of a JSON string with its escapes, anchored, and of
/// classes, groups and counts only, so that nothing is left to the reading of literals.
/// </summary>
internal sealed class PatternWriter
{
    /// <summary>llama.cpp repeats a rule this often at most.</summary>
    internal const int MaxRepeat = 2000;

    internal const int MaxLength = 100_000;

    private const int MaxGroupDepth = 90;
    private const int MaxGroups = 1500;
    private const int MaxWays = 1000;
    private const int MaxShortest = 20_000;

    // any text of a JSON string that decodes to characters, without and with those that are two UTF-16 code units
    private const string Escapes =
        @"[\x5C][\x22\x5C\x2Fbfnrt]|[\x5C]u([0-9A-Ca-cEFef][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2})";

    private const string BasicCharacter = @"([^\x22\x5C\x00-\x1F\x7F\U00010000-\U0010FFFF]|" + Escapes + ")";

    private const string AnyCharacter =
        @"([^\x22\x5C\x00-\x1F\x7F]|"
        + Escapes
        + @"|[\x5C]u[Dd][89ABab][0-9A-Fa-f]{2}[\x5C]u[Dd][C-Fc-f][0-9A-Fa-f]{2})";

    // of these every one has a short escape or none; the others are worth writing only where nothing else is possible
    private static readonly CharSet Raw = CharSet.Of((0, 0x1F), ('"', '"'), ('\\', '\\'), (0x7F, 0x7F)).Complement();

    private readonly StringBuilder _text = new("^");
    private int _depth;
    private int _groups;

    private PatternWriter() { }

    /// <summary>How many rules the grammar of the pattern has at least.</summary>
    internal long Cost { get; private set; }

    /// <summary>What is allowed beyond the pattern; null where nothing is.</summary>
    internal string? Loosened { get; private set; }

    /// <exception cref="PatternException">The grammar would be too large.</exception>
    internal static (string Text, long Cost, string? Loosened) Write(PatternNode pattern)
    {
        PatternWriter writer = new();
        PatternNode simple = writer.Simplify(pattern);
        if (simple.Ways > MaxWays)
        {
            throw new PatternException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"its nested counts allow {simple.Ways:F0} ways of reading one text; {MaxWays} are possible"
                )
            );
        }
        if (simple.Shortest > MaxShortest)
        {
            throw new PatternException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"its shortest text has {simple.Shortest:F0} characters; {MaxShortest} are possible"
                )
            );
        }
        writer.Append(simple, isUnbounded: false, isWhole: true);
        writer._text.Append('$');
        return (writer._text.ToString(), writer.Cost, writer.Loosened);
    }

    /// <summary>A string of any characters.</summary>
    internal static string AnyText(int min, int? max)
    {
        // what has a longest length counts code units in .NET and characters elsewhere; in the basic plane these are the same
        return $"^{(max is null ? AnyCharacter : BasicCharacter)}{Count(min, max)}$";
    }

    private static string Count(int min, int? max) =>
        (min, max) switch
        {
            (0, null) => "*",
            (1, null) => "+",
            (0, 1) => "?",
            (1, 1) => "",
            (_, null) => string.Create(CultureInfo.InvariantCulture, $"{{{min},}}"),
            _ when min == max => string.Create(CultureInfo.InvariantCulture, $"{{{min}}}"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{{{min},{max}}}"),
        };

    /// <summary>Without counts that are too high, and without repetitions of what may be empty, which a grammar would follow without end.</summary>
    private PatternNode Simplify(PatternNode node)
    {
        switch (node)
        {
            case PatternSequence sequence:
                return new PatternSequence([.. sequence.Items.Select(Simplify).Where(item => !IsEmpty(item))]);
            case PatternChoice choice:
                return new PatternChoice([.. choice.Items.Select(Simplify)]);
            case PatternRepeat { Max: 0 }:
                return PatternNode.Empty;
            case PatternRepeat repeat:
                PatternNode item = Simplify(repeat.Item);
                int min = Math.Min(repeat.Min, MaxRepeat);
                int? max = repeat.Max > MaxRepeat || repeat.Min > MaxRepeat ? null : repeat.Max;
                if (min != repeat.Min || max != repeat.Max)
                {
                    Loosened ??= $"what occurs {Count(repeat.Min, repeat.Max)} may occur {Count(min, max)}";
                }
                if (!item.IsNullable)
                {
                    return new PatternRepeat(item, min, max);
                }
                int budget = PatternParser.MaxNodes;
                return NotEmpty(item, ref budget) is { } rest ? new PatternRepeat(rest, 0, max) : PatternNode.Empty;
            default:
                return node;
        }
    }

    private static bool IsEmpty(PatternNode node) => node is PatternSequence { Items.Count: 0 };

    /// <summary>What matches the same strings but the empty one; null when there are none.</summary>
    private static PatternNode? NotEmpty(PatternNode node, ref int budget)
    {
        if (--budget < 0)
        {
            throw new PatternException("it repeats parts that may be empty in too many ways");
        }
        if (!node.IsNullable)
        {
            return node;
        }
        switch (node)
        {
            case PatternChoice choice:
                List<PatternNode> alternatives = [];
                foreach (PatternNode item in choice.Items)
                {
                    if (NotEmpty(item, ref budget) is { } alternative)
                    {
                        alternatives.Add(alternative);
                    }
                }
                return alternatives.Count switch
                {
                    0 => null,
                    1 => alternatives[0],
                    _ => new PatternChoice(alternatives),
                };
            case PatternSequence sequence:
                // what comes first of that which is not empty, and anything behind it
                List<PatternNode> firsts = [];
                for (int i = 0; i < sequence.Items.Count; i++)
                {
                    budget -= sequence.Items.Count - i;
                    if (NotEmpty(sequence.Items[i], ref budget) is { } first)
                    {
                        firsts.Add(new PatternSequence([first, .. sequence.Items.Skip(i + 1)]));
                    }
                }
                return firsts.Count switch
                {
                    0 => null,
                    1 => firsts[0],
                    _ => new PatternChoice(firsts),
                };
            case PatternRepeat repeat:
                return NotEmpty(repeat.Item, ref budget) is { } once ? new PatternRepeat(once, 1, repeat.Max) : null;
            default:
                return null;
        }
    }

    private void Append(PatternNode node, bool isUnbounded, bool isWhole = false)
    {
        if (_text.Length > MaxLength)
        {
            throw new PatternException($"the grammar of it has more than {MaxLength} characters");
        }
        switch (node)
        {
            case PatternSet set:
                AppendSet(set.Set, isUnbounded);
                break;
            case PatternSequence sequence:
                foreach (PatternNode item in sequence.Items)
                {
                    Append(item, isUnbounded: false);
                }
                break;
            case PatternChoice choice:
                Open(!isWhole);
                for (int i = 0; i < choice.Items.Count; i++)
                {
                    _text.Append(i > 0 ? "|" : "");
                    Append(choice.Items[i], isUnbounded);
                }
                Close(!isWhole);
                break;
            case PatternRepeat repeat:
                AppendRepeat(repeat);
                break;
        }
    }

    private void AppendRepeat(PatternRepeat repeat)
    {
        Cost += repeat.Max ?? repeat.Min;
        bool needsGroup = repeat.Item is not PatternSet;
        Open(needsGroup);
        Append(repeat.Item, isUnbounded: repeat.Max is null, isWhole: needsGroup);
        Close(needsGroup);
        _text.Append(Count(repeat.Min, repeat.Max));
    }

    private void Open(bool needed)
    {
        if (!needed)
        {
            return;
        }
        if (++_depth > MaxGroupDepth || ++_groups > MaxGroups)
        {
            throw new PatternException(
                $"it has more than {MaxGroups} groups, or groups nested deeper than {MaxGroupDepth} levels"
            );
        }
        Cost++;
        _text.Append('(');
    }

    private void Close(bool needed)
    {
        if (needed)
        {
            _depth--;
            _text.Append(')');
        }
    }

    private void AppendSet(CharSet set, bool isUnbounded)
    {
        // a repetition without limit may be of characters that .NET counts as two
        CharSet raw = set.Intersect(Raw);
        if (raw.Ranges.Any(range => range.First <= 0xFFFF) && !isUnbounded)
        {
            raw = raw.Intersect(CharSet.BasicPlane);
        }
        List<string> parts = [];
        if (!raw.IsEmpty)
        {
            parts.Add(Class(raw));
        }
        string shorts = string.Concat(
            "\"\\\b\f\n\r\t"
                .Where(c => set.Contains(c) && (raw.IsEmpty || c is not ('\b' or '\f')))
                .Select(c =>
                    c switch
                    {
                        '\b' => "b",
                        '\f' => "f",
                        '\n' => "n",
                        '\r' => "r",
                        '\t' => "t",
                        '"' => @"\x22",
                        _ => @"\x5C",
                    }
                )
        );
        if (shorts.Length > 0)
        {
            parts.Add($@"[\x5C][{shorts}]");
        }
        if (parts.Count == 0)
        {
            foreach ((int first, int last) in set.Ranges)
            {
                for (int c = first; c <= last; c++)
                {
                    parts.Add(string.Create(CultureInfo.InvariantCulture, $@"[\x5C]u00[{c >> 4:x}][{c & 15:x}]"));
                }
            }
        }
        // a part that is more than one class needs a group, in a sequence for what repeats it
        bool needsGroup = parts.Count > 1 || shorts.Length > 0 || raw.IsEmpty;
        Open(needsGroup);
        _text.AppendJoin('|', parts);
        Close(needsGroup);
    }

    private static string Class(CharSet set)
    {
        StringBuilder text = new("[");
        foreach ((int first, int last) in set.Ranges)
        {
            Character(text, first);
            if (last > first)
            {
                text.Append('-');
                Character(text, last);
            }
        }
        return text.Append(']').ToString();
    }

    private static void Character(StringBuilder text, int c)
    {
        if (c < 0x80 && char.IsAsciiLetterOrDigit((char)c))
        {
            text.Append((char)c);
            return;
        }
        text.Append(
            CultureInfo.InvariantCulture,
            $"{(c <= 0xFF ? $@"\x{c:X2}" : c <= 0xFFFF ? $@"\u{c:X4}" : $@"\U{c:X8}")}"
        );
    }
}

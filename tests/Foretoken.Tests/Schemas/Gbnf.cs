using System.Globalization;
using System.Text;

namespace Foretoken.Tests.Schemas;

/// <summary>
/// Reads a grammar of llama.cpp's notation by itself, writes texts that it allows, and tells whether it allows one: what a model can
/// answer, without a model.
/// </summary>
internal sealed class Gbnf
{
    private readonly Dictionary<string, Node> _rules = [];
    private readonly Dictionary<string, int> _depths = [];

    private Gbnf() { }

    private abstract record Node;

    private sealed record Class(List<(int First, int Last)> Ranges, bool Negated) : Node
    {
        internal bool Has(int c) => Ranges.Exists(range => range.First <= c && c <= range.Last) != Negated;
    }

    private sealed record Reference(string Name) : Node;

    private sealed record Sequence(List<Node> Items) : Node;

    private sealed record Choice(List<Node> Items) : Node;

    private sealed record Repeat(Node Item, int Min, int? Max) : Node;

    public static Gbnf Parse(string text)
    {
        Gbnf grammar = new();
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int at = line.IndexOf("::=", StringComparison.Ordinal);
            Reader reader = new(line[(at + 3)..]);
            grammar._rules[line[..at].Trim()] = reader.ReadAll();
        }
        grammar.FindDepths();
        return grammar;
    }

    /// <summary>A text of the grammar; repetitions go at most <paramref name="extra"/> beyond their least.</summary>
    public string Sample(Random random, int extra = 2, int depth = 12)
    {
        StringBuilder text = new();
        Write(_rules["root"], random, extra, depth, text);
        return text.ToString();
    }

    public bool Allows(string text)
    {
        int[] runes = [.. text.EnumerateRunes().Select(rune => rune.Value)];
        return Match(new Reference("root"), runes, 0, []).Contains(runes.Length);
    }

    private void FindDepths()
    {
        for (bool changed = true; changed; )
        {
            changed = false;
            foreach ((string name, Node rule) in _rules)
            {
                int depth = Depth(rule);
                if (depth < _depths.GetValueOrDefault(name, int.MaxValue))
                {
                    _depths[name] = depth;
                    changed = true;
                }
            }
        }
    }

    private int Depth(Node node) =>
        node switch
        {
            Reference reference => _depths.TryGetValue(reference.Name, out int depth) ? depth + 1 : 1_000_000,
            Sequence sequence => sequence.Items.Select(Depth).DefaultIfEmpty(0).Max(),
            Choice choice => choice.Items.Min(Depth),
            Repeat repeat => repeat.Min == 0 ? 0 : Depth(repeat.Item),
            _ => 0,
        };

    private void Write(Node node, Random random, int extra, int depth, StringBuilder text)
    {
        switch (node)
        {
            case Class set:
                WriteCharacter(set, random, text);
                break;
            case Reference reference:
                Write(_rules[reference.Name], random, extra, depth - 1, text);
                break;
            case Sequence sequence:
                sequence.Items.ForEach(item => Write(item, random, extra, depth, text));
                break;
            case Choice choice:
                List<Node> possible = [.. choice.Items.Where(item => Depth(item) <= depth)];
                Node chosen = possible.Count > 0 ? possible[random.Next(possible.Count)] : choice.Items.MinBy(Depth)!;
                Write(chosen, random, extra, depth, text);
                break;
            case Repeat repeat:
                int most =
                    Depth(repeat.Item) <= depth ? Math.Min(repeat.Max ?? int.MaxValue, repeat.Min + extra) : repeat.Min;
                for (int i = random.Next(repeat.Min, most + 1); i > 0; i--)
                {
                    Write(repeat.Item, random, extra, depth, text);
                }
                break;
        }
    }

    private static void WriteCharacter(Class set, Random random, StringBuilder text)
    {
        while (true)
        {
            (int first, int last) =
                !set.Negated ? set.Ranges[random.Next(set.Ranges.Count)]
                : random.Next(4) == 0 ? (0, 0x10FFFF)
                : (0x20, 0x17F);
            int c = random.Next(first, last + 1);
            if (c is (< 0xD800 or > 0xDFFF) && set.Has(c))
            {
                text.Append(char.ConvertFromUtf32(c));
                return;
            }
        }
    }

    // where a node can end that begins at a place
    private HashSet<int> Match(Node node, int[] text, int at, Dictionary<(Node, int), HashSet<int>> known)
    {
        if (known.TryGetValue((node, at), out HashSet<int>? ends))
        {
            return ends;
        }
        ends = known[(node, at)] = [];
        switch (node)
        {
            case Class set when at < text.Length && set.Has(text[at]):
                ends.Add(at + 1);
                break;
            case Reference reference:
                ends.UnionWith(Match(_rules[reference.Name], text, at, known));
                break;
            case Sequence sequence:
                HashSet<int> places = [at];
                foreach (Node item in sequence.Items)
                {
                    places = [.. places.SelectMany(place => Match(item, text, place, known))];
                }
                ends.UnionWith(places);
                break;
            case Choice choice:
                ends.UnionWith(choice.Items.SelectMany(item => Match(item, text, at, known)));
                break;
            case Repeat repeat:
                HashSet<int> reached = [at];
                for (
                    int i = 0;
                    reached.Count > 0 && (repeat.Max is null || i <= repeat.Max) && i <= text.Length + repeat.Min;
                    i++
                )
                {
                    if (i >= repeat.Min)
                    {
                        ends.UnionWith(reached);
                    }
                    reached = [.. reached.SelectMany(place => Match(repeat.Item, text, place, known))];
                }
                break;
        }
        return ends;
    }

    private sealed class Reader(string text)
    {
        private int _at;

        public Node ReadAll()
        {
            Node node = ReadChoice();
            Assert.Equal(text.Length, _at);
            return node;
        }

        private void SkipSpace()
        {
            while (_at < text.Length && text[_at] == ' ')
            {
                _at++;
            }
        }

        private Choice ReadChoice()
        {
            List<Node> items = [ReadSequence()];
            while (_at < text.Length && text[_at] == '|')
            {
                _at++;
                items.Add(ReadSequence());
            }
            return new Choice(items);
        }

        private Sequence ReadSequence()
        {
            List<Node> items = [];
            for (SkipSpace(); _at < text.Length && text[_at] is not ('|' or ')'); SkipSpace())
            {
                Node item = ReadItem();
                SkipSpace();
                items.Add(ReadCount(item));
            }
            return new Sequence(items);
        }

        private Node ReadItem()
        {
            switch (text[_at])
            {
                case '"':
                    List<Node> characters = [];
                    for (_at++; text[_at] != '"'; )
                    {
                        int c = ReadCharacter();
                        characters.Add(new Class([(c, c)], Negated: false));
                    }
                    _at++;
                    return new Sequence(characters);
                case '[':
                    _at++;
                    bool negated = text[_at] == '^';
                    _at += negated ? 1 : 0;
                    List<(int, int)> ranges = [];
                    while (text[_at] != ']')
                    {
                        int first = ReadCharacter();
                        int last = first;
                        if (text[_at] == '-' && text[_at + 1] != ']')
                        {
                            _at++;
                            last = ReadCharacter();
                        }
                        ranges.Add((first, last));
                    }
                    _at++;
                    return new Class(ranges, negated);
                case '(':
                    _at++;
                    Choice group = ReadChoice();
                    Assert.Equal(')', text[_at++]);
                    return group;
                default:
                    int start = _at;
                    while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] == '-'))
                    {
                        _at++;
                    }
                    Assert.True(_at > start, $"'{text[start..]}' is no item of a grammar");
                    return new Reference(text[start.._at]);
            }
        }

        private Node ReadCount(Node item)
        {
            if (_at == text.Length)
            {
                return item;
            }
            switch (text[_at])
            {
                case '*':
                    _at++;
                    return new Repeat(item, 0, null);
                case '+':
                    _at++;
                    return new Repeat(item, 1, null);
                case '?':
                    _at++;
                    return new Repeat(item, 0, 1);
                case '{':
                    int end = text.IndexOf('}', _at);
                    string[] parts = text[(_at + 1)..end].Split(',');
                    _at = end + 1;
                    int min = int.Parse(parts[0], CultureInfo.InvariantCulture);
                    return new Repeat(
                        item,
                        min,
                        parts.Length == 1 ? min
                            : parts[1].Trim().Length == 0 ? null
                            : int.Parse(parts[1], CultureInfo.InvariantCulture)
                    );
                default:
                    return item;
            }
        }

        private int ReadCharacter()
        {
            if (text[_at] != '\\')
            {
                Rune.DecodeFromUtf16(text.AsSpan(_at), out Rune rune, out int length);
                _at += length;
                return rune.Value;
            }
            char kind = text[_at + 1];
            _at += 2;
            int digits = kind switch
            {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if (digits == 0)
            {
                return kind switch
                {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    _ => kind,
                };
            }
            _at += digits;
            return int.Parse(text.AsSpan(_at - digits, digits), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        }
    }
}

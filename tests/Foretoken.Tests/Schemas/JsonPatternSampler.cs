using System.Globalization;
using System.Text;

namespace Foretoken.Tests.Schemas;

/// <summary>
/// Writes texts at random that a pattern allows, reading it as llama.cpp does: anchored, of classes, groups, alternatives and
/// counts, and nothing else.
/// </summary>
internal sealed class JsonPatternSampler
{
    private readonly string _pattern;
    private readonly Random _random;
    private int _at;

    private JsonPatternSampler(string pattern, Random random)
    {
        _pattern = pattern;
        _random = random;
    }

    public static string Sample(string pattern, Random random)
    {
        Assert.StartsWith("^", pattern, StringComparison.Ordinal);
        Assert.EndsWith("$", pattern, StringComparison.Ordinal);
        JsonPatternSampler sampler = new(pattern[1..^1], random);
        Func<string> write = sampler.ReadChoice();
        Assert.Equal(sampler._pattern.Length, sampler._at);
        return $"\"{write()}\"";
    }

    private Func<string> ReadChoice()
    {
        List<Func<string>> alternatives = [ReadSequence()];
        while (_at < _pattern.Length && _pattern[_at] == '|')
        {
            _at++;
            alternatives.Add(ReadSequence());
        }
        return () => alternatives[_random.Next(alternatives.Count)]();
    }

    private Func<string> ReadSequence()
    {
        List<Func<string>> items = [];
        while (_at < _pattern.Length && _pattern[_at] is not ('|' or ')'))
        {
            items.Add(ReadRepeated());
        }
        return () => string.Concat(items.Select(item => item()));
    }

    private Func<string> ReadRepeated()
    {
        Func<string> item;
        char c = _pattern[_at++];
        if (c == '(')
        {
            item = ReadChoice();
            Assert.Equal(')', _pattern[_at++]);
        }
        else if (c == '[')
        {
            item = ReadClass();
        }
        else
        {
            Assert.True(char.IsAsciiLetterOrDigit(c), $"'{c}' is neither a class nor a group");
            item = () => c.ToString();
        }
        (int min, int? max) =
            _at == _pattern.Length
                ? (1, 1)
                : _pattern[_at] switch
                {
                    '*' => (0, null),
                    '+' => (1, null),
                    '?' => (0, 1),
                    '{' => ReadCounts(),
                    _ => (1, (int?)1),
                };
        if (_at < _pattern.Length && _pattern[_at] is '*' or '+' or '?')
        {
            _at++;
        }
        return () =>
        {
            int count = _random.Next(min, Math.Min(max ?? int.MaxValue, min + 4) + 1);
            StringBuilder text = new();
            for (int i = 0; i < count; i++)
            {
                text.Append(item());
            }
            return text.ToString();
        };
    }

    private (int Min, int? Max) ReadCounts()
    {
        int end = _pattern.IndexOf('}', _at);
        string[] parts = _pattern[(_at + 1)..end].Split(',');
        _at = end + 1;
        int min = int.Parse(parts[0], CultureInfo.InvariantCulture);
        return parts.Length == 1 ? (min, min)
            : parts[1].Length == 0 ? (min, null)
            : (min, int.Parse(parts[1], CultureInfo.InvariantCulture));
    }

    private Func<string> ReadClass()
    {
        bool negated = _pattern[_at] == '^';
        _at += negated ? 1 : 0;
        List<(int First, int Last)> ranges = [];
        while (_pattern[_at] != ']')
        {
            int first = ReadCharacter();
            int last = first;
            if (_pattern[_at] == '-')
            {
                _at++;
                last = ReadCharacter();
            }
            ranges.Add((first, last));
        }
        _at++;
        return () =>
        {
            while (true)
            {
                (int first, int last) = negated
                    ? _random.Next(3) == 0
                        ? (0, 0x10FFFF)
                        : (0x20, 0x17F)
                    : ranges[_random.Next(ranges.Count)];
                int c = _random.Next(first, last + 1);
                if (
                    c is (< 0xD800 or > 0xDFFF)
                    && ranges.Exists(range => range.First <= c && c <= range.Last) != negated
                )
                {
                    return char.ConvertFromUtf32(c);
                }
            }
        };
    }

    private int ReadCharacter()
    {
        char c = _pattern[_at++];
        if (c != '\\')
        {
            Assert.True(char.IsAsciiLetterOrDigit(c), $"'{c}' in a class is not escaped");
            return c;
        }
        int digits = _pattern[_at++] switch
        {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            char other => throw new FormatException($"\\{other} is not an escape of a grammar"),
        };
        _at += digits;
        return int.Parse(_pattern.AsSpan(_at - digits, digits), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}

using System.Globalization;

namespace Foretoken.Schemas;

/// <summary>A set of Unicode characters, without surrogates, as sorted ranges that do not touch.</summary>
internal sealed class CharSet
{
    private const int Last = 0x10FFFF;

    private CharSet(List<(int First, int Last)> ranges)
    {
        Ranges = ranges;
    }

    internal IReadOnlyList<(int First, int Last)> Ranges { get; }

    internal static CharSet Empty { get; } = new([]);

    internal static CharSet All { get; } = new([(0, 0xD7FF), (0xE000, Last)]);

    /// <summary>The characters that one UTF-16 code unit holds.</summary>
    internal static CharSet BasicPlane { get; } = new([(0, 0xD7FF), (0xE000, 0xFFFF)]);

    internal bool IsEmpty => Ranges.Count == 0;

    internal static CharSet Of(params IEnumerable<(int First, int Last)> ranges)
    {
        List<(int First, int Last)> merged = [];
        foreach ((int first, int last) in ranges.OrderBy(range => range.First))
        {
            if (merged.Count > 0 && first <= merged[^1].Last + 1)
            {
                merged[^1] = (merged[^1].First, Math.Max(merged[^1].Last, last));
            }
            else
            {
                merged.Add((first, last));
            }
        }
        return new CharSet(merged);
    }

    internal static CharSet Of(int character) => new([(character, character)]);

    /// <summary>Those of the basic plane that are of one of the categories.</summary>
    internal static CharSet OfCategories(Predicate<UnicodeCategory> isOne)
    {
        List<(int First, int Last)> ranges = [];
        for (int c = 0; c <= 0xFFFF; c++)
        {
            if (c is (< 0xD800 or > 0xDFFF) && isOne(CharUnicodeInfo.GetUnicodeCategory((char)c)))
            {
                if (ranges.Count > 0 && ranges[^1].Last == c - 1)
                {
                    ranges[^1] = (ranges[^1].First, c);
                }
                else
                {
                    ranges.Add((c, c));
                }
            }
        }
        return new CharSet(ranges);
    }

    internal CharSet Union(CharSet other) => Of([.. Ranges, .. other.Ranges]);

    internal CharSet Intersect(CharSet other)
    {
        List<(int First, int Last)> common = [];
        for (int i = 0, j = 0; i < Ranges.Count && j < other.Ranges.Count; )
        {
            int first = Math.Max(Ranges[i].First, other.Ranges[j].First);
            int last = Math.Min(Ranges[i].Last, other.Ranges[j].Last);
            if (first <= last)
            {
                common.Add((first, last));
            }
            if (Ranges[i].Last < other.Ranges[j].Last)
            {
                i++;
            }
            else
            {
                j++;
            }
        }
        return new CharSet(common);
    }

    internal CharSet Complement()
    {
        List<(int First, int Last)> rest = [];
        int next = 0;
        foreach ((int first, int last) in Ranges)
        {
            if (first > next)
            {
                rest.Add((next, first - 1));
            }
            next = last + 1;
        }
        if (next <= Last)
        {
            rest.Add((next, Last));
        }
        return new CharSet(rest).Intersect(All);
    }

    internal CharSet Except(CharSet other) => Intersect(other.Complement());

    internal bool IsSubsetOf(CharSet other) => Except(other).IsEmpty;

    internal bool Contains(int character) => Ranges.Any(range => range.First <= character && character <= range.Last);

    /// <summary>With the other case of every letter.</summary>
    internal CharSet IgnoringCase()
    {
        // ranges longer than an alphabet hold both cases already
        const int LongestAlphabet = 1024;
        List<(int First, int Last)> cases = [.. Ranges];
        foreach ((int first, int last) in Ranges)
        {
            for (int c = first; c <= last && last - first <= LongestAlphabet && c <= 0xFFFF; c++)
            {
                char upper = char.ToUpperInvariant((char)c);
                char lower = char.ToLowerInvariant((char)c);
                cases.Add((upper, upper));
                cases.Add((lower, lower));
            }
        }
        return Of(cases);
    }
}

using System.Globalization;
using System.Text.RegularExpressions;

namespace Foretoken.Gguf;

/// <summary>Name of one file of a split model: <c>prefix-00001-of-00003.gguf</c>, as llama.cpp expects it.</summary>
/// <param name="Prefix">Path up to the numbers.</param>
/// <param name="Index">Which shard, from 0. The name counts from 1.</param>
/// <param name="Count">How many shards there are.</param>
internal sealed partial record GgufShardName(string Prefix, int Index, int Count)
{
    /// <summary>Most shards: <c>split.count</c> has 16 bits.</summary>
    public const int MaxCount = ushort.MaxValue;

    internal const string NumberKey = "split.no";
    internal const string CountKey = "split.count";
    internal const string TensorCountKey = "split.tensors.count";

    /// <summary>The path of this shard.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Prefix}-{Index + 1:D5}-of-{Count:D5}.gguf");

    /// <summary>The paths of all shards of this model, in order.</summary>
    public IEnumerable<string> All() =>
        Enumerable.Range(0, Count).Select(index => (this with { Index = index }).ToString());

    /// <summary>Recognises the name of a shard.</summary>
    /// <param name="path">A path.</param>
    /// <returns>The parts of the name, or <see langword="null"/> for any other name.</returns>
    public static GgufShardName? Parse(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        Match match = Pattern().Match(path);
        if (
            !match.Success
            || !int.TryParse(match.Groups[2].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            || !int.TryParse(match.Groups[3].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            || number < 1
            || number > count
            || count > MaxCount
        )
        {
            return null;
        }

        return new GgufShardName(match.Groups[1].Value, number - 1, count);
    }

    [GeneratedRegex(@"^(.+)-(\d{5})-of-(\d{5})\.gguf$", RegexOptions.CultureInvariant | RegexOptions.Singleline)]
    private static partial Regex Pattern();
}

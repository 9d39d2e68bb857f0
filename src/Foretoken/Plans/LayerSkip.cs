namespace Foretoken.Plans;

/// <summary>A layer, or a sublayer, that a whole sequence does without, in prefill and in decode.</summary>
/// <param name="Layer">The layer, from 0.</param>
/// <param name="Part">What of it is left out.</param>
public readonly record struct LayerSkip(int Layer, LayerPart Part = LayerPart.Block) : IComparable<LayerSkip>
{
    /// <summary>Whether a model can do without it.</summary>
    /// <param name="layerCount">Layers of the model.</param>
    /// <remarks>
    /// The first layer takes the embeddings, and its cache tells which positions a sequence holds; the last one picks the
    /// token whose logits are computed. So the first is needed, and the last one as a block.
    /// </remarks>
    public bool IsPossible(int layerCount) =>
        Part switch
        {
            LayerPart.Block => Layer >= 1 && Layer < layerCount - 1,
            LayerPart.Attention or LayerPart.FeedForward => Layer >= 1 && Layer < layerCount,
            _ => false,
        };

    /// <summary>Orders by layer, then by part.</summary>
    /// <param name="other">The other one.</param>
    public int CompareTo(LayerSkip other) => (Layer, Part).CompareTo((other.Layer, other.Part));

    /// <summary>Whether one is before the other.</summary>
    public static bool operator <(LayerSkip left, LayerSkip right) => left.CompareTo(right) < 0;

    /// <summary>Whether one is before the other or the same.</summary>
    public static bool operator <=(LayerSkip left, LayerSkip right) => left.CompareTo(right) <= 0;

    /// <summary>Whether one is behind the other.</summary>
    public static bool operator >(LayerSkip left, LayerSkip right) => left.CompareTo(right) > 0;

    /// <summary>Whether one is behind the other or the same.</summary>
    public static bool operator >=(LayerSkip left, LayerSkip right) => left.CompareTo(right) >= 0;

    /// <summary>For people, for example <c>blocks 14, 25; attention of 17, 26; feed-forward of 3</c>.</summary>
    internal static string Describe(IEnumerable<LayerSkip> skips)
    {
        List<string> parts = [];
        foreach (IGrouping<LayerPart, LayerSkip> group in skips.Order().GroupBy(skip => skip.Part).OrderBy(g => g.Key))
        {
            string what = group.Key switch
            {
                LayerPart.Block => group.Skip(1).Any() ? "blocks" : "block",
                LayerPart.Attention => "attention of",
                _ => "feed-forward of",
            };
            parts.Add($"{what} {string.Join(", ", group.Select(skip => skip.Layer))}");
        }

        return string.Join("; ", parts);
    }

    /// <inheritdoc/>
    public override string ToString() => Describe([this]);
}

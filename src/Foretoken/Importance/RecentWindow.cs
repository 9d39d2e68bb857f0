using System.Buffers;

namespace Foretoken.Importance;

/// <summary>
/// Recent window: the attention that the last 8 tokens pay in the last layer of the stage, averaged over them and over the
/// heads, then over 7 neighbouring tokens.
/// </summary>
/// <remarks>
/// As FastKV (arXiv 2502.01068) and SnapKV (arXiv 2404.14469) choose, with the attention sinks cleared before pooling.
/// </remarks>
internal sealed class RecentWindow : IImportancePolicy
{
    private const int Queries = 8;
    private const int PoolWidth = 7;

    /// <inheritdoc/>
    public string Name => "recent-window";

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
        [new AttentionProbe(layerEnd - 1, ProbeReduction.Mean, FirstQuery: -Queries)];

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        AttentionScores.EnsureCount(probes, 1, Name);
        float[] rented = ArrayPool<float>.Shared.Rent(importance.Length);
        try
        {
            Span<float> mean = rented.AsSpan(0, importance.Length);
            AttentionScores.MeanOverHeads(probes, 0, mean);
            AttentionScores.ClearSinks(mean);
            Pooling.Mean(mean, importance, PoolWidth);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }
}

namespace Foretoken.Importance;

/// <summary>
/// Causal attention context contribution: the attention that a token receives in the last layer of the stage, from tokens at
/// or after it, averaged over them and over the heads.
/// </summary>
/// <remarks>
/// s(j) = mean over heads of sum over i ≥ j of A[i, j] / (n - j), in which i runs over all queries or over every 16th one. It
/// stands in for the ACC of LAT (arXiv 2201.03327), in the causal form of kvpress' observed attention. A baseline: it finds
/// what the text dwells on, not what the question asks for. Probing every query costs about the attention scores of one layer
/// once more; the samples cost a sixteenth of that.
/// </remarks>
internal sealed class AttentionContextContribution : IImportancePolicy
{
    private readonly int _stride;

    /// <summary>Creates the policy.</summary>
    /// <param name="sampled">Whether every 16th query is probed; by default, all are.</param>
    public AttentionContextContribution(bool sampled = false)
    {
        _stride = sampled ? AttentionFeatures.ColumnStride : 1;
        Name = sampled ? "sampled-attention-context-contribution" : "attention-context-contribution";
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
        [new AttentionProbe(layerEnd - 1, ProbeReduction.Mean, FirstQuery: _stride - 1, _stride)];

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        AttentionScores.EnsureCount(probes, 1, Name);
        AttentionScores.MeanOverHeads(probes, 0, importance);
    }
}

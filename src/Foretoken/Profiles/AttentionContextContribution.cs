namespace Foretoken.Profiles;

/// <summary>
/// Causal attention context contribution: the attention that a token receives in the last layer of the stage, from all tokens
/// at or after it, averaged over them and over the heads.
/// </summary>
/// <remarks>
/// s(j) = mean over heads of sum over i ≥ j of A[i, j] / (n - j). It stands in for the ACC of LAT (arXiv 2201.03327), in the
/// causal form of kvpress' observed attention. A baseline: it finds what the text dwells on, not what the question asks for.
/// Probing every query costs about the attention scores of one layer once more.
/// </remarks>
public sealed class AttentionContextContribution : IImportancePolicy
{
    /// <inheritdoc/>
    public string Name => "attention-context-contribution";

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
        [new AttentionProbe(layerEnd - 1, ProbeReduction.Mean, FirstQuery: 0)];

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        AttentionScores.EnsureCount(probes, 1, Name);
        AttentionScores.MeanOverHeads(probes, 0, importance);
    }
}

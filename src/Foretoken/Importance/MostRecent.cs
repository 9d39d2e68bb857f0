namespace Foretoken.Importance;

/// <summary>Keeps the most recent tokens: a baseline without probes.</summary>
internal sealed class MostRecent : IImportancePolicy
{
    /// <inheritdoc/>
    public string Name => "most-recent";

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) => [];

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        for (int i = 0; i < importance.Length; i++)
        {
            importance[i] = i;
        }
    }
}

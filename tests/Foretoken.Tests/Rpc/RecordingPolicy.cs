using Foretoken.Importance;

namespace Foretoken.Tests.Rpc;

/// <summary>Takes the probes of another policy and keeps copies of what they measured.</summary>
internal sealed class RecordingPolicy(IImportancePolicy inner) : IImportancePolicy
{
    public string Name => inner.Name;

    /// <summary>Every probe of every boundary, in order: [heads, keys], row-major.</summary>
    internal List<float[]> Scores { get; } = [];

    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
        inner.GetProbes(layerBegin, layerEnd);

    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        for (int i = 0; i < probes.Count; i++)
        {
            Scores.Add(probes.Scores(i).ToArray());
        }
        inner.ComputeImportance(probes, importance);
    }
}

using Foretoken.Importance;

namespace Foretoken.Tests.Sessions;

/// <summary>The earlier a token, the more important: 284 at the fifth of 320 tokens that arrive, 0 from where the tail begins.</summary>
internal sealed class FallingImportance(float threshold) : IImportancePolicy
{
    public string Name => "falling";

    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) => [];

    public float? GetThreshold(int layer) => threshold;

    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        for (int i = 0; i < importance.Length; i++)
        {
            importance[i] = Math.Max(0, 288 - i);
        }
    }
}

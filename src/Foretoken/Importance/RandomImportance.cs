using System.Globalization;

namespace Foretoken.Importance;

/// <summary>Keeps tokens at random: the baseline that every other policy must beat. The same seed keeps the same tokens.</summary>
/// <param name="seed">Any number.</param>
internal sealed class RandomImportance(int seed = 0) : IImportancePolicy
{
    /// <inheritdoc/>
    public string Name { get; } =
        string.Create(CultureInfo.InvariantCulture, $"{ImportancePolicies.RandomName}:{seed}");

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) => [];

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        for (int i = 0; i < importance.Length; i++)
        {
            // 24 bits: the numbers a float holds exactly
            importance[i] = Hash((uint)i) >> 40;
        }
    }

    // splitmix64 (Steele, Lea, Flood, 2014): stateless, so that requests on several threads do not disturb each other
    private ulong Hash(uint index)
    {
        ulong z = ((ulong)(uint)seed << 32) + ((index + 1) * 0x9E3779B97F4A7C15ul);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ul;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBul;
        return z ^ (z >> 31);
    }
}

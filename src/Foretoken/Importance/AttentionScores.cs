using System.Numerics.Tensors;
using Foretoken.Plans;

namespace Foretoken.Importance;

/// <summary>Pieces that the attention-based policies share.</summary>
internal static class AttentionScores
{
    /// <summary>Checks that the target has one place per token.</summary>
    public static void EnsureLength(in BoundaryProbes probes, Span<float> importance)
    {
        if (importance.Length != probes.TokenCount)
        {
            throw new ArgumentException(
                $"There are {probes.TokenCount} tokens, but room for {importance.Length} importances.",
                nameof(importance)
            );
        }
    }

    /// <summary>Checks that exactly the probes are there that a policy asked for.</summary>
    public static void EnsureCount(in BoundaryProbes probes, int minimum, string policy)
    {
        if (probes.Count < minimum)
        {
            throw new ArgumentException(
                $"'{policy}' needs {minimum} probe(s); {probes.Count} were taken.",
                nameof(probes)
            );
        }
    }

    /// <summary>Mean over the heads of one probe.</summary>
    public static void MeanOverHeads(in BoundaryProbes probes, int probe, Span<float> target)
    {
        int heads = probes.HeadCount(probe);
        target.Clear();
        for (int head = 0; head < heads; head++)
        {
            TensorPrimitives.Add(target, probes.Scores(probe, head), target);
        }

        TensorPrimitives.Multiply(target, 1f / heads, target);
    }

    /// <summary>
    /// The tokens over which a head's mean is taken: neither the sinks, whose attention says nothing, nor the tail, which
    /// attends to itself. All tokens where nothing else is left.
    /// </summary>
    public static Range Body(int tokens) =>
        tokens > AlwaysKept.CountByPlace(tokens) ? AlwaysKept.SinkTokens..(tokens - AlwaysKept.TailTokens) : ..;

    /// <summary>Clears the sinks, so that pooling does not smear their attention over their neighbours.</summary>
    public static void ClearSinks(Span<float> scores) =>
        scores[..Math.Min(AlwaysKept.SinkTokens, scores.Length)].Clear();
}

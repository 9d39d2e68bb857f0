using System.Buffers;
using System.Numerics.Tensors;

namespace Foretoken.Importance;

/// <summary>
/// Head-normalised window, the default: the most attention that one of the last 24 tokens pays in each of the last 4 layers of
/// the stage, every head divided by its own mean, the maximum over the heads, averaged over 15 neighbouring tokens and over the
/// layers.
/// </summary>
/// <remarks>
/// <para>
/// The few heads that retrieve are buried when heads are averaged. Divided by its own mean, a head that looks sharply at a
/// place stands out, and the maximum lets it decide.
/// </para>
/// <para>
/// The window is wider than that of <see cref="RecentWindow"/>, and takes the maximum over its queries, because behind a
/// question there is still the end of the chat template, and often a word on the form of the answer: a mean over the last 8
/// would mostly ask what those attend to.
/// </para>
/// <para>
/// A head's mean is taken over the tokens from the 5th to the 33rd from the end: the sinks and the tail, which are always
/// kept, would dominate it. The sinks are cleared before pooling.
/// </para>
/// </remarks>
internal sealed class HeadNormalizedWindow : IImportancePolicy
{
    private const int Queries = 24;
    private const int Layers = 4;
    private const int PoolWidth = 15;

    /// <inheritdoc/>
    public string Name => "head-normalized-window";

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd)
    {
        int first = Math.Max(layerBegin, layerEnd - Layers);
        AttentionProbe[] probes = new AttentionProbe[layerEnd - first];
        for (int i = 0; i < probes.Length; i++)
        {
            probes[i] = new AttentionProbe(first + i, ProbeReduction.Max, FirstQuery: -Queries);
        }

        return probes;
    }

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        AttentionScores.EnsureCount(probes, 1, Name);
        int n = importance.Length;
        Range body = AttentionScores.Body(n);
        float[] rented = ArrayPool<float>.Shared.Rent(3 * n);
        try
        {
            Span<float> row = rented.AsSpan(0, n);
            Span<float> maximum = rented.AsSpan(n, n);
            Span<float> pooled = rented.AsSpan(2 * n, n);
            importance.Clear();
            for (int probe = 0; probe < probes.Count; probe++)
            {
                maximum.Clear();
                for (int head = 0; head < probes.HeadCount(probe); head++)
                {
                    ReadOnlySpan<float> scores = probes.Scores(probe, head);
                    ReadOnlySpan<float> bodyScores = scores[body];
                    float mean = TensorPrimitives.Sum(bodyScores) / bodyScores.Length;
                    if (mean > 0)
                    {
                        TensorPrimitives.Divide(scores, mean, row);
                        TensorPrimitives.Max(maximum, row, maximum);
                    }
                }

                AttentionScores.ClearSinks(maximum);
                Pooling.Mean(maximum, pooled, PoolWidth);
                TensorPrimitives.Add(importance, pooled, importance);
            }

            TensorPrimitives.Divide(importance, probes.Count, importance);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }
}

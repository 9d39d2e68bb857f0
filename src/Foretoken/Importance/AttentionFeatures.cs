using System.Buffers;
using System.Globalization;
using System.Numerics.Tensors;

namespace Foretoken.Importance;

/// <summary>
/// The features that learned importance reads from the attention of the layers below a boundary: for every layer, source,
/// pool and head, in this order, how much a token and its neighbours receive beside the head's mean.
/// </summary>
/// <remarks>
/// <para>
/// With a the attention that the tokens of a stage receive in one layer from one source in one head, the first 4 set to 0:
/// x = ln(u / m + 0.02), where u is the centred moving average of a over 7 or 31 tokens, and m the mean of a over the tokens
/// from the 5th to the 33rd from the end. Few heads retrieve, and averages over heads bury them: every head has its weight.
/// </para>
/// <para>
/// Sources: 0, the mean over the last 8 queries; 1, the maximum over the last 32 queries; 2, the causal mean over every
/// <see cref="ColumnStride"/>th query (all of them cost much more and tell little more).
/// </para>
/// <para>Thread-safe.</para>
/// </remarks>
internal static class AttentionFeatures
{
    /// <summary>Sources per layer: 3.</summary>
    public const int SourceCount = 3;

    /// <summary>Every which query the causal mean is taken from: 16.</summary>
    public const int ColumnStride = 16;

    internal const int MeanQueries = 8;
    internal const int MaxQueries = 32;
    private const float Floor = 0.02f;

    private static readonly int[] Pools = [7, 31];

    /// <summary>What weights were learned on; they mean nothing on other features.</summary>
    internal static string Definition { get; } =
        string.Create(
            CultureInfo.InvariantCulture,
            $"mean:{MeanQueries},max:{MaxQueries},column:{ColumnStride};pool:{string.Join(',', Pools)}"
        );

    /// <summary>Pools per source: 2.</summary>
    public static int PoolCount => Pools.Length;

    /// <summary>Features of one layer.</summary>
    /// <param name="heads">Heads of the layer.</param>
    public static int CountPerLayer(int heads) => SourceCount * PoolCount * heads;

    /// <summary>The probes that the features of some layers need: per layer one for each source.</summary>
    /// <param name="layerBegin">First layer.</param>
    /// <param name="layerEnd">Layer behind the last one.</param>
    public static IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd)
    {
        AttentionProbe[] probes = new AttentionProbe[Math.Max(0, layerEnd - layerBegin) * SourceCount];
        for (int i = 0; i < probes.Length; i++)
        {
            int layer = layerBegin + (i / SourceCount);
            probes[i] = (i % SourceCount) switch
            {
                0 => new AttentionProbe(layer, ProbeReduction.Mean, FirstQuery: -MeanQueries),
                1 => new AttentionProbe(layer, ProbeReduction.Max, FirstQuery: -MaxQueries),
                _ => new AttentionProbe(layer, ProbeReduction.Mean, FirstQuery: ColumnStride - 1, ColumnStride),
            };
        }

        return probes;
    }

    /// <summary>Computes the features of one head and source.</summary>
    /// <param name="attention">Attention received, [tokens].</param>
    /// <param name="features">Receives one row per pool, [pools, tokens] row-major.</param>
    public static void Compute(ReadOnlySpan<float> attention, Span<float> features) =>
        Compute(attention, Floor, features);

    internal static void Compute(ReadOnlySpan<float> attention, float floor, Span<float> features)
    {
        int n = attention.Length;
        ArgumentOutOfRangeException.ThrowIfNotEqual(features.Length, PoolCount * n);
        float[] rented = ArrayPool<float>.Shared.Rent(n);
        try
        {
            Span<float> cleared = rented.AsSpan(0, n);
            attention.CopyTo(cleared);
            AttentionScores.ClearSinks(cleared);
            ReadOnlySpan<float> body = cleared[AttentionScores.Body(n)];
            float mean = TensorPrimitives.Sum(body) / body.Length;
            for (int pool = 0; pool < PoolCount; pool++)
            {
                Span<float> row = features.Slice(pool * n, n);
                Pooling.Mean(cleared, row, Pools[pool]);
                // a head whose queries saw nothing of the body says the same of every token
                TensorPrimitives.Multiply(row, mean > 0 ? 1 / mean : 0, row);
                TensorPrimitives.Add(row, floor, row);
                TensorPrimitives.Log(row, row);
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }
}

using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Foretoken.Importance;

/// <summary>
/// The features that learned importance reads from the tokens themselves: for every source and pool, in this order, how much a
/// token and its neighbours repeat what the end or the beginning of the prompt says.
/// </summary>
/// <remarks>
/// <para>
/// A question and the passage that answers it mostly share a rare word. Heads that look for repeated tokens are few in the
/// lowest layers, and those that are there do not see far: at 2,048 tokens, a fact at the beginning of the document was
/// taken for unimportant in front of layer 4 although the question named it word for word. Counting needs no head.
/// </para>
/// <para>
/// What is counted stands for an ideal head of that sort: every query of a source shares an attention of 1 among all other tokens
/// that are the same, so that a rare token counts more than a frequent one. The scores a of a source are the means over its
/// queries; features are made of them as of any head's (<see cref="AttentionFeatures"/>), but x = ln(u / m + 4): every document
/// repeats something, and only what stands out says anything.
/// </para>
/// <para>
/// Sources: 0, the last 32 tokens as queries; 1, the first 128. Seen are the new tokens of a prefill, not those that were in the
/// cache before. Thread-safe.
/// </para>
/// </remarks>
internal static class MatchFeatures
{
    /// <summary>Sources: 2.</summary>
    public const int SourceCount = 2;

    private const int Tail = 32;
    private const int Head = 128;
    private const float Floor = 4;

    /// <summary>Features of a token.</summary>
    public static int Count => SourceCount * AttentionFeatures.PoolCount;

    /// <summary>What weights were learned on; they mean nothing on other features.</summary>
    internal static string Definition { get; } = string.Create(CultureInfo.InvariantCulture, $"match:-{Tail},{Head}");

    /// <summary>Computes all features, [sources, pools, tokens] row-major: one row per weight.</summary>
    internal static float[] Compute(ReadOnlySpan<int> tokens)
    {
        int size = AttentionFeatures.PoolCount * tokens.Length;
        float[] features = new float[SourceCount * size];
        for (int source = 0; source < SourceCount; source++)
        {
            Compute(tokens, source, features.AsSpan(source * size, size));
        }

        return features;
    }

    /// <summary>Computes the features of one source.</summary>
    /// <param name="tokens">All new tokens of the prefill, [tokens].</param>
    /// <param name="source">Which source, from 0.</param>
    /// <param name="features">Receives one row per pool, [pools, tokens] row-major.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such source, or <paramref name="features"/> has another size.</exception>
    public static void Compute(ReadOnlySpan<int> tokens, int source, Span<float> features)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(source);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(source, SourceCount);
        float[] rented = ArrayPool<float>.Shared.Rent(tokens.Length);
        try
        {
            Span<float> scores = rented.AsSpan(0, tokens.Length);
            Score(tokens, Queries(source, tokens.Length), scores);
            AttentionFeatures.Compute(scores, Floor, features);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    private static Range Queries(int source, int tokens) =>
        source == 0 ? Math.Max(0, tokens - Tail).. : ..Math.Min(Head, tokens);

    private static void Score(ReadOnlySpan<int> tokens, Range queries, Span<float> scores)
    {
        (int from, int count) = queries.GetOffsetAndLength(tokens.Length);
        // of every token that occurs: how often, and how often among the queries
        Dictionary<int, (int All, int Queries)> occurrences = [];
        for (int i = 0; i < tokens.Length; i++)
        {
            ref (int All, int Queries) one = ref CollectionsMarshal.GetValueRefOrAddDefault(
                occurrences,
                tokens[i],
                out _
            );
            one.All++;
            one.Queries += i >= from && i < from + count ? 1 : 0;
        }

        for (int i = 0; i < tokens.Length; i++)
        {
            (int all, int asking) = occurrences[tokens[i]];
            // no query attends to itself
            int others = asking - (i >= from && i < from + count ? 1 : 0);
            scores[i] = others == 0 ? 0 : (float)others / (all - 1) / count;
        }
    }
}

using System.Numerics.Tensors;

namespace Foretoken.Importance;

/// <summary>
/// Turns importances that are logarithms of shares of attention (<see cref="IImportancePolicy.IsLogShare"/>) into the numbers
/// that tokens are selected by: neighbours count together, and the beginning counts more. Thread-safe.
/// </summary>
/// <remarks>
/// <para>
/// A passage that the answer quotes or copies is of little use with holes in it, which ChunkKV (arXiv 2502.00299) saw for KV
/// caches: a token of a span with the shares s counts ln(0.7 mean(s) + 0.3 s), so that good spans come whole and a token that
/// stands out comes alone. Where little is kept, spans are shorter, so that several places of a prompt can still be kept.
/// </para>
/// <para>
/// An answer about a whole text often starts as the text does. Nothing in the layers below a boundary tells so, and a fit over
/// all kinds of prompts sees it seldom; but where it is so, everything hangs on it. Therefore a token that is d tokens behind
/// the first new one counts 2 exp(-d / 48) nats more.
/// </para>
/// </remarks>
internal static class TokenRanking
{
    /// <summary>Tokens of a span at most: 16.</summary>
    public const int SpanTokens = 16;

    /// <summary>Spans among which a choice remains at least, as long as that takes tokens to be chosen: 4.</summary>
    internal const int LeastSpans = 4;

    internal const double SpanShare = 0.7;
    internal const double LeadBonus = 2;
    internal const double LeadTokens = 48;

    /// <summary>How long spans are.</summary>
    /// <param name="chosen">How many tokens are kept beside those that are always kept.</param>
    /// <returns>A power of 2 from 1 to <see cref="SpanTokens"/>, so that shorter spans lie within longer ones.</returns>
    public static int SpanLength(int chosen)
    {
        int length = SpanTokens;
        while (length > 1 && length * LeastSpans > chosen)
        {
            length /= 2;
        }

        return length;
    }

    /// <summary>Turns importances into what tokens are selected by.</summary>
    /// <param name="importance">One number per token that arrives at the boundary, [tokens]; replaced.</param>
    /// <param name="places">The tokens' places among the new tokens of the prefill, [tokens], ascending from 0.</param>
    /// <param name="spanLength">Places of a span; a span may hold fewer tokens, because others have left before. With 1 every token counts for itself.</param>
    /// <exception cref="ArgumentException">There are not as many places as importances.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="spanLength"/> is not positive.</exception>
    public static void Rank(Span<float> importance, ReadOnlySpan<int> places, int spanLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(spanLength);
        if (places.Length != importance.Length)
        {
            throw new ArgumentException(
                $"There are {importance.Length} tokens, but {places.Length} places.",
                nameof(places)
            );
        }

        for (int i = 0; i < importance.Length; i++)
        {
            importance[i] += (float)(LeadBonus * Math.Exp(-places[i] / LeadTokens));
        }

        int end;
        for (int from = 0; spanLength > 1 && from < importance.Length; from = end)
        {
            end = from + 1;
            while (end < importance.Length && places[end] / spanLength == places[from] / spanLength)
            {
                end++;
            }

            ShareWithin(importance[from..end]);
        }
    }

    private static void ShareWithin(Span<float> span)
    {
        // the largest is taken out, so that no exponential overflows
        float largest = TensorPrimitives.Max<float>(span);
        double sum = 0;
        foreach (float value in span)
        {
            sum += Math.Exp(value - largest);
        }

        double shared = SpanShare * sum / span.Length;
        foreach (ref float value in span)
        {
            value = largest + (float)Math.Log(shared + ((1 - SpanShare) * Math.Exp(value - largest)));
        }
    }
}

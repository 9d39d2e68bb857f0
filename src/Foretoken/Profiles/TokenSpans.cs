using System.Numerics.Tensors;

namespace Foretoken.Profiles;

/// <summary>Neighbouring tokens that are kept or left out together. Thread-safe.</summary>
/// <remarks>
/// A passage that the answer quotes or copies is of little use with holes in it, which ChunkKV (arXiv 2502.00299) saw for KV
/// caches: so where there is room, neighbours share one importance. Where little is kept, spans are shorter, so that several
/// places of a prompt can still be kept.
/// </remarks>
public static class TokenSpans
{
    /// <summary>Tokens of a span at most: 32.</summary>
    public const int MostTokens = 32;

    /// <summary>Spans among which a choice remains at least, as long as that takes tokens to be chosen: 4.</summary>
    internal const int LeastSpans = 4;

    /// <summary>How long spans are.</summary>
    /// <param name="most">Tokens of a span at most, at least 1; see <see cref="IImportancePolicy.SpanTokens"/>.</param>
    /// <param name="chosen">How many tokens are kept beside those that are always kept.</param>
    /// <returns>A number from 1 to <paramref name="most"/>.</returns>
    public static int LengthFor(int most, int chosen) => Math.Clamp(chosen / LeastSpans, 1, most);

    /// <summary>
    /// Gives every token of a span the same importance: ln(mean of exp(x)) over the importances x of the span, which are
    /// logarithms.
    /// </summary>
    /// <param name="importance">One number per token, [tokens]; replaced.</param>
    /// <param name="length">Tokens of a span; the last one may have fewer. With 1 nothing changes.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is not positive.</exception>
    public static void Share(Span<float> importance, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        for (int from = 0; length > 1 && from < importance.Length; from += length)
        {
            Span<float> span = importance[from..Math.Min(from + length, importance.Length)];
            // the largest is taken out, so that no exponential overflows
            float largest = TensorPrimitives.Max<float>(span);
            double sum = 0;
            foreach (float value in span)
            {
                sum += Math.Exp(value - largest);
            }

            span.Fill(largest + (float)Math.Log(sum / span.Length));
        }
    }
}

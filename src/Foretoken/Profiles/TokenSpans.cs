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
    /// <param name="most">Tokens of a span at most, a power of 2; see <see cref="IImportancePolicy.SpanTokens"/>.</param>
    /// <param name="chosen">How many tokens are kept beside those that are always kept.</param>
    /// <returns>A power of 2 from 1 to <paramref name="most"/>, so that shorter spans lie within longer ones.</returns>
    public static int LengthFor(int most, int chosen)
    {
        int length = most;
        while (length > 1 && length * LeastSpans > chosen)
        {
            length /= 2;
        }

        return length;
    }

    /// <summary>
    /// Gives every token of a span the same importance: ln(mean of exp(x)) over the importances x of the span's tokens, which
    /// are logarithms.
    /// </summary>
    /// <param name="importance">One number per token that arrives at the boundary, [tokens]; replaced.</param>
    /// <param name="positions">The tokens' positions in the sequence, [tokens], ascending.</param>
    /// <param name="length">Positions of a span; a span may hold fewer tokens, because others have left before. With 1 nothing changes.</param>
    /// <exception cref="ArgumentException">There are not as many positions as importances.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is not positive.</exception>
    public static void Share(Span<float> importance, ReadOnlySpan<int> positions, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        if (positions.Length != importance.Length)
        {
            throw new ArgumentException(
                $"There are {importance.Length} tokens, but {positions.Length} positions.",
                nameof(positions)
            );
        }

        int end;
        for (int from = 0; length > 1 && from < importance.Length; from = end)
        {
            end = from + 1;
            while (end < importance.Length && positions[end] / length == positions[from] / length)
            {
                end++;
            }

            Span<float> span = importance[from..end];
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

using System.Buffers;
using Foretoken.Plans;

namespace Foretoken.Importance;

/// <summary>Chooses the tokens that go on at a boundary.</summary>
/// <remarks>Thread-safe.</remarks>
internal static class TokenSelector
{
    /// <summary>
    /// Keeps the first 4 and the last 32 tokens, the protected ones, and of the rest those with the highest importance; of equal
    /// ones the earlier.
    /// </summary>
    /// <param name="importance">One number per token that arrives at the boundary, [tokens]. Not-a-number counts as least.</param>
    /// <param name="isProtected">One flag per token, [tokens]; empty when none is protected.</param>
    /// <param name="keep">How many tokens to keep; more are kept when more are always kept.</param>
    /// <returns>Indices of the kept tokens, strictly ascending.</returns>
    /// <exception cref="ArgumentException"><paramref name="isProtected"/> has another length than <paramref name="importance"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="keep"/> is negative or exceeds the number of tokens.</exception>
    public static int[] Select(ReadOnlySpan<float> importance, ReadOnlySpan<bool> isProtected, int keep) =>
        Select(importance, isProtected, keep, keep, threshold: null, out _);

    /// <summary>
    /// Keeps the tokens whose importance passes a threshold, those with the highest importance first, but at least and at most
    /// so many; the first 4 and the last 32 tokens and the protected ones always.
    /// </summary>
    /// <param name="importance">One number per token that arrives at the boundary, [tokens]. Not-a-number counts as least and passes no threshold.</param>
    /// <param name="isProtected">One flag per token, [tokens]; empty when none is protected.</param>
    /// <param name="atLeast">How many tokens to keep at least.</param>
    /// <param name="atMost">How many tokens to keep at most; more are kept when more are always kept.</param>
    /// <param name="threshold">Importance from which a token passes; <see langword="null"/> to keep <paramref name="atMost"/>.</param>
    /// <param name="bound">What decided the number.</param>
    /// <returns>Indices of the kept tokens, strictly ascending.</returns>
    /// <remarks>
    /// The threshold of Learned Token Pruning (LTP, arXiv 2107.00910), between two bounds that keep the promise of a speedup
    /// and a floor of quality. Of two thresholds the higher keeps a part of what the lower keeps.
    /// </remarks>
    /// <exception cref="ArgumentException"><paramref name="isProtected"/> has another length than <paramref name="importance"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="atLeast"/> is negative or above <paramref name="atMost"/>, or that exceeds the number of tokens.
    /// </exception>
    public static int[] Select(
        ReadOnlySpan<float> importance,
        ReadOnlySpan<bool> isProtected,
        int atLeast,
        int atMost,
        float? threshold,
        out SelectionBound bound
    )
    {
        int n = importance.Length;
        ArgumentOutOfRangeException.ThrowIfNegative(atLeast);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(atLeast, atMost);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(atMost, n);
        if (!isProtected.IsEmpty && isProtected.Length != n)
        {
            throw new ArgumentException(
                $"There are {n} tokens, but {isProtected.Length} flags of protection.",
                nameof(isProtected)
            );
        }

        bool[] kept = ArrayPool<bool>.Shared.Rent(n);
        ulong[] keys = ArrayPool<ulong>.Shared.Rent(n);
        try
        {
            int always = 0;
            int candidates = 0;
            int passing = 0;
            for (int i = 0; i < n; i++)
            {
                kept[i] = AlwaysKept.ByPlace(i, n) || (!isProtected.IsEmpty && isProtected[i]);
                if (kept[i])
                {
                    always++;
                }
                else
                {
                    keys[candidates++] = ((ulong)Descending(importance[i]) << 32) | (uint)i;
                    passing += importance[i] >= threshold ? 1 : 0;
                }
            }

            int keep = threshold is null ? atMost : Math.Clamp(always + passing, atLeast, atMost);
            int chosen = Math.Max(0, keep - always);
            if (chosen > 0)
            {
                keys.AsSpan(0, candidates).Sort();
                foreach (ulong key in keys.AsSpan(0, chosen))
                {
                    kept[(int)(uint)key] = true;
                }
            }

            int[] indices = new int[always + chosen];
            int count = 0;
            for (int i = 0; i < n; i++)
            {
                if (kept[i])
                {
                    indices[count++] = i;
                }
            }

            bound =
                indices.Length == n ? SelectionBound.AllTokens
                : threshold is null || atLeast == atMost ? SelectionBound.Share
                : always + passing < atLeast ? SelectionBound.LowerBound
                : always + passing > atMost ? SelectionBound.UpperBound
                : SelectionBound.Threshold;
            return indices;
        }
        finally
        {
            ArrayPool<bool>.Shared.Return(kept);
            ArrayPool<ulong>.Shared.Return(keys);
        }
    }

    /// <summary>Keeps a share of the tokens that arrive, as <see cref="Select(ReadOnlySpan{float}, ReadOnlySpan{bool}, int)"/> does.</summary>
    /// <param name="importance">As there.</param>
    /// <param name="isProtected">As there.</param>
    /// <param name="retention">Share of the tokens to keep, 0 to 1; the number is rounded, halves to even.</param>
    /// <returns>Indices of the kept tokens, strictly ascending.</returns>
    /// <exception cref="ArgumentException">As there.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="retention"/> is not from 0 to 1.</exception>
    public static int[] Select(ReadOnlySpan<float> importance, ReadOnlySpan<bool> isProtected, double retention)
    {
        if (!(retention >= 0 && retention <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(retention), retention, "A retention is a share from 0 to 1.");
        }

        return Select(importance, isProtected, PrefillPlan.CountKept(retention, importance.Length, 0));
    }

    // bits whose ascending order is the descending order of the floats; not-a-number comes last, -0 equals 0
    private static uint Descending(float value)
    {
        if (float.IsNaN(value))
        {
            return uint.MaxValue;
        }

        uint bits = BitConverter.SingleToUInt32Bits(value == 0 ? 0f : value);
        uint ascending = (bits & 0x8000_0000) != 0 ? ~bits : bits | 0x8000_0000;
        return ~ascending;
    }
}

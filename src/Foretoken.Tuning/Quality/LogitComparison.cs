namespace Foretoken.Tuning.Quality;

/// <summary>How far the next-token distribution of one pass is from that of another. Thread-safe.</summary>
internal static class LogitComparison
{
    /// <summary>
    /// KL(p || q) = sum of p ln(p / q) of the distributions p = softmax(<paramref name="reference"/>) and q =
    /// softmax(<paramref name="other"/>), nats. Computed in double precision; exactly 0 for equal logits.
    /// </summary>
    /// <exception cref="ArgumentException">The lengths differ or are 0.</exception>
    internal static double KlDivergence(ReadOnlySpan<float> reference, ReadOnlySpan<float> other)
    {
        if (reference.Length != other.Length || reference.IsEmpty)
        {
            throw new ArgumentException(
                $"Logits of one vocabulary are compared, not {reference.Length} with {other.Length}.",
                nameof(other)
            );
        }

        double p0 = LogSumExp(reference);
        double q0 = LogSumExp(other);
        double sum = 0;
        for (int i = 0; i < reference.Length; i++)
        {
            double logP = reference[i] - p0;
            double p = Math.Exp(logP);
            // a token that is ruled out (a logit of minus infinity) adds nothing
            if (p > 0)
            {
                sum += p * (logP - (other[i] - q0));
            }
        }

        // rounding may leave a trace below zero, which no divergence is
        return Math.Max(0, sum);
    }

    /// <summary>Index of the largest logit; of equal ones the first, as greedy sampling takes it.</summary>
    internal static int ArgMax(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best])
            {
                best = i;
            }
        }

        return best;
    }

    private static double LogSumExp(ReadOnlySpan<float> logits)
    {
        double max = double.NegativeInfinity;
        foreach (float logit in logits)
        {
            max = Math.Max(max, logit);
        }

        double sum = 0;
        foreach (float logit in logits)
        {
            sum += Math.Exp(logit - max);
        }

        return max + Math.Log(sum);
    }
}

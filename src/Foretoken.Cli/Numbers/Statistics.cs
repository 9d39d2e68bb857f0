using Foretoken.Cli.Bench;
using MathNet.Numerics.Distributions;
using MathNet.Numerics.Statistics;

namespace Foretoken.Cli.Numbers;

/// <summary>The few statistics that the benchmark reports.</summary>
internal static class Statistics
{
    /// <summary>From so many rounds on, the bootstrap of medians covers what it claims; with fewer it claims too much.</summary>
    internal const int RoundsForBootstrap = 5;

    private const int Resamples = 2000;
    private const double Tail = 0.025;

    // the median of normal values scatters this much more than their mean: sqrt(pi / 2)
    private const double MedianOverMean = 1.2533;

    /// <summary>The middle value, or the mean of the two middle ones.</summary>
    internal static double Median(IReadOnlyCollection<double> values) => Quantile(values, 0.5);

    /// <summary>
    /// A quantile, interpolated between neighbours (type 7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996).
    /// </summary>
    internal static double Quantile(IReadOnlyCollection<double> values, double share)
    {
        if (values.Count == 0)
        {
            throw new ArgumentException("There is no quantile of nothing.", nameof(values));
        }
        return SortedArrayStatistics.QuantileCustom([.. values.Order()], share, QuantileDefinition.R7);
    }

    /// <summary>
    /// A quantile with the 95 % interval between two order statistics, which assumes nothing about the distribution. Without an
    /// interval where there are too few values for one: 6 for the median, 72 for the 95th percentile.
    /// </summary>
    internal static Percentile Percentile(IReadOnlyCollection<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        double value = Quantile(sorted, share);
        int n = sorted.Length;
        // of n values as many are below the quantile as a binomial variable says
        int low = 0;
        while (low < n && Binomial.CDF(share, n, low) <= Tail)
        {
            low++;
        }
        int high = n;
        while (high > 0 && 1 - Binomial.CDF(share, n, high - 1) <= Tail)
        {
            high--;
        }
        return low >= 1 && high < n
            ? new Percentile(value, sorted[low - 1], sorted[high])
            : new Percentile(value, null, null);
    }

    /// <summary>Median of the numerators over median of the denominators.</summary>
    internal static double RatioOfMedians(
        IReadOnlyCollection<double> numerators,
        IReadOnlyCollection<double> denominators
    ) => Median(numerators) / Median(denominators);

    /// <summary>
    /// 95 % interval of the ratio of the medians of all numerators and all denominators. Whole rounds are drawn with replacement
    /// (percentile bootstrap; Efron, 1979), since the runs of a round share the state of the machine; with fewer rounds than
    /// <see cref="RoundsForBootstrap"/> it comes from Student's t over the logarithms of the rounds' ratios.
    /// </summary>
    /// <param name="rounds">Numerators and denominators of each round, at least one of either.</param>
    /// <param name="seed">Seed of the bootstrap.</param>
    /// <returns>Null with fewer than three rounds: two say next to nothing about their scatter.</returns>
    internal static (double Low, double High)? RatioInterval(IReadOnlyList<RatioRound> rounds, int seed)
    {
        if (rounds.Count < 3)
        {
            return null;
        }
        return rounds.Count < RoundsForBootstrap ? StudentInterval(rounds) : BootstrapInterval(rounds, seed);
    }

    /// <summary>The variance within groups that share it: each one's own, weighted by its degrees of freedom.</summary>
    /// <returns>The variance and its degrees of freedom; no freedom when no group has two values.</returns>
    internal static (double Variance, int Freedom) Pooled(IEnumerable<IReadOnlyCollection<double>> groups)
    {
        double sum = 0;
        int freedom = 0;
        foreach (IReadOnlyCollection<double> group in groups.Where(group => group.Count > 1))
        {
            sum += group.Variance() * (group.Count - 1);
            freedom += group.Count - 1;
        }
        return (freedom == 0 ? 0 : sum / freedom, freedom);
    }

    /// <summary>
    /// How far two means are apart (Welch, "The generalization of Student's problem when several different population variances
    /// are involved", 1947).
    /// </summary>
    /// <returns>The difference, half of its 95 % interval, and the two-sided p-value.</returns>
    internal static (double Difference, double HalfWidth, double P) Difference(SampleMean before, SampleMean after)
    {
        double difference = after.Mean - before.Mean;
        double a = before.Variance / before.Count;
        double b = after.Variance / after.Count;
        if (a + b == 0)
        {
            return (difference, 0, difference == 0 ? 1 : 0);
        }
        double freedom = (a + b) * (a + b) / ((a * a / before.Freedom) + (b * b / after.Freedom));
        double error = Math.Sqrt(a + b);
        return (
            difference,
            StudentT.InvCDF(0, 1, freedom, 1 - Tail) * error,
            2 * (1 - StudentT.CDF(0, 1, freedom, Math.Abs(difference) / error))
        );
    }

    /// <summary>p-values that hold for all of them together (Holm, "A simple sequentially rejective multiple test procedure", 1979).</summary>
    internal static double[] Holm(IReadOnlyList<double> p)
    {
        double[] adjusted = new double[p.Count];
        double largest = 0;
        int rank = 0;
        foreach (int i in Enumerable.Range(0, p.Count).OrderBy(i => p[i]))
        {
            largest = Math.Max(largest, Math.Min(1, p[i] * (p.Count - rank)));
            adjusted[i] = largest;
            rank++;
        }
        return adjusted;
    }

    private static (double Low, double High) StudentInterval(IReadOnlyList<RatioRound> rounds)
    {
        double ratio = Ratio(rounds);
        double[] logs = [.. rounds.Select(round => Math.Log(RatioOfMedians(round.Numerators, round.Denominators)))];
        double half =
            StudentT.InvCDF(0, 1, logs.Length - 1, 1 - Tail)
            * logs.StandardDeviation()
            / Math.Sqrt(logs.Length)
            * MedianOverMean;
        return (ratio * Math.Exp(-half), ratio * Math.Exp(half));
    }

    private static (double Low, double High) BootstrapInterval(IReadOnlyList<RatioRound> rounds, int seed)
    {
#pragma warning disable CA5394 // a repeatable resampling, not a secret
        Random random = new(seed);
        double[] ratios = new double[Resamples];
        RatioRound[] drawn = new RatioRound[rounds.Count];
        for (int r = 0; r < Resamples; r++)
        {
            for (int i = 0; i < drawn.Length; i++)
            {
                drawn[i] = rounds[random.Next(rounds.Count)];
            }
            ratios[r] = Ratio(drawn);
        }
#pragma warning restore CA5394
        Array.Sort(ratios);
        return (ratios[(int)(Tail * Resamples)], ratios[(int)((1 - Tail) * Resamples) - 1]);
    }

    private static double Ratio(IReadOnlyList<RatioRound> rounds) =>
        RatioOfMedians(
            [.. rounds.SelectMany(round => round.Numerators)],
            [.. rounds.SelectMany(round => round.Denominators)]
        );
}

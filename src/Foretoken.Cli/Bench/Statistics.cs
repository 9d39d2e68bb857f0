namespace Foretoken.Cli.Bench;

/// <summary>The few statistics that the benchmark reports.</summary>
internal static class Statistics
{
    private const int Resamples = 2000;

    /// <summary>The middle value, or the mean of the two middle ones.</summary>
    internal static double Median(IReadOnlyCollection<double> values)
    {
        if (values.Count == 0)
        {
            throw new ArgumentException("There is no median of nothing.", nameof(values));
        }
        double[] sorted = [.. values.Order()];
        int half = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /// <summary>Median of the numerators over median of the denominators.</summary>
    internal static double RatioOfMedians(
        IReadOnlyCollection<double> numerators,
        IReadOnlyCollection<double> denominators
    ) => Median(numerators) / Median(denominators);

    /// <summary>
    /// 95 % interval of the ratio of medians by the percentile bootstrap (Efron, 1979): whole pairs are drawn with
    /// replacement, since the two runs of a pair share the state of the machine.
    /// </summary>
    /// <returns>Null with fewer than three pairs: there is nothing to resample.</returns>
    internal static (double Low, double High)? BootstrapRatioOfMedians(
        IReadOnlyList<double> numerators,
        IReadOnlyList<double> denominators,
        int seed
    )
    {
        int n = numerators.Count;
        if (n != denominators.Count)
        {
            throw new ArgumentException("Pairs have a numerator and a denominator each.", nameof(denominators));
        }
        if (n < 3)
        {
            return null;
        }
#pragma warning disable CA5394 // a repeatable resampling, not a secret
        Random random = new(seed);
        double[] ratios = new double[Resamples];
        double[] up = new double[n];
        double[] down = new double[n];
        for (int r = 0; r < Resamples; r++)
        {
            for (int i = 0; i < n; i++)
            {
                int pair = random.Next(n);
                up[i] = numerators[pair];
                down[i] = denominators[pair];
            }
            ratios[r] = RatioOfMedians(up, down);
        }
#pragma warning restore CA5394
        Array.Sort(ratios);
        return (ratios[(int)(0.025 * Resamples)], ratios[(int)(0.975 * Resamples) - 1]);
    }
}

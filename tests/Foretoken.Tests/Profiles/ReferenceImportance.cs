namespace Foretoken.Tests.Profiles;

/// <summary>The importances written down as plainly as their definitions, in double, to check the fast ones against.</summary>
internal static class ReferenceImportance
{
    /// <summary>Centred mean; mirrored at the ends with the outermost value repeated: d c b a | a b c d | d c b a.</summary>
    public static double[] Pool(double[] a, int width)
    {
        double[] pooled = new double[a.Length];
        for (int i = 0; i < a.Length; i++)
        {
            for (int k = i - (width / 2); k <= i + (width / 2); k++)
            {
                int j = k;
                while (j < 0 || j >= a.Length)
                {
                    j = j < 0 ? -1 - j : (2 * a.Length) - 1 - j;
                }

                pooled[i] += a[j] / width;
            }
        }

        return pooled;
    }

    public static double[] AttentionContextContribution(double[][] heads) => MeanOverHeads(heads);

    public static double[] RecentWindow(double[][] heads)
    {
        double[] mean = MeanOverHeads(heads);
        mean.AsSpan(0, Math.Min(4, mean.Length)).Clear();
        return Pool(mean, 7);
    }

    public static double[] HeadNormalizedWindow(double[][][] layers)
    {
        int n = layers[0][0].Length;
        double[] sum = new double[n];
        foreach (double[][] heads in layers)
        {
            double[] maximum = new double[n];
            foreach (double[] head in heads)
            {
                double mean = n > 36 ? head[4..(n - 32)].Average() : head.Average();
                for (int j = 0; j < n; j++)
                {
                    maximum[j] = Math.Max(maximum[j], head[j] / mean);
                }
            }

            maximum.AsSpan(0, Math.Min(4, n)).Clear();
            double[] pooled = Pool(maximum, 15);
            for (int j = 0; j < n; j++)
            {
                sum[j] += pooled[j] / layers.Length;
            }
        }

        return sum;
    }

    /// <summary>The first 4, the last 32, the protected ones and the highest scores; of equal ones the earlier.</summary>
    public static int[] Keep(double[] importance, bool[] isProtected, double retention)
    {
        int n = importance.Length;
        double[] s = [.. importance];
        for (int i = 0; i < n; i++)
        {
            if (i < 4 || i >= n - 32 || isProtected[i])
            {
                s[i] = double.PositiveInfinity;
            }
        }

        int k = Math.Max((int)Math.Round(retention * n), s.Count(double.IsPositiveInfinity));
        // LINQ's ordering is stable
        return [.. Enumerable.Range(0, n).OrderByDescending(i => s[i]).Take(k).Order()];
    }

    private static double[] MeanOverHeads(double[][] heads) =>
        [.. Enumerable.Range(0, heads[0].Length).Select(j => heads.Average(h => h[j]))];
}

using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>Fits a <see cref="MeasuredPrefillCost"/> to prefills.</summary>
internal static class MeasuredCostFit
{
    /// <summary>Chunks from which on a fit says more than counting does.</summary>
    internal const int LeastChunks = 12;

    /// <summary>Prefills from which on a fit says more than counting does.</summary>
    internal const int LeastRuns = 3;

    // prefills after which an older one counts half, and what it counts at least: its proportions stay worth something
    private const double HalfLife = 48;
    private const double LeastWeight = 0.03;

    // by how much the speed of a machine wanders from one prefill to the next
    private const double DriftPerRun = 0.1;

    // a run with less of the cores than this share of what runs usually get was disturbed
    private const double DisturbedShare = 0.7;
    private const double DisturbedWeight = 0.2;

    // how far prices may be from the guess, as a share of it: the matrix products are what the guess is scaled by
    private static readonly double[] Deviations = [3, 3, 2, 3, 0.5, 1.5, 1.5, 3, 0.5, 1.5, 1.5, 3, 3, 3];

    // the pairs within a chunk are computed by the same kernel as those with earlier keys: all of them, or the causal half
    private const double OwnPairDeviation = 0.35;

    private static readonly (int, int, double)[] Ties =
    [
        (CostTerm.Host + CostTerm.PastPair, CostTerm.Host + CostTerm.OwnPair, OwnPairDeviation),
        (CostTerm.Device + CostTerm.PastPair, CostTerm.Device + CostTerm.OwnPair, OwnPairDeviation),
    ];

    /// <summary>Fits a profile.</summary>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="layout">How its layers are computed.</param>
    /// <param name="runs">The prefills, in any order.</param>
    /// <param name="latest">The present, as <see cref="PrefillRun.Sequence"/>.</param>
    /// <returns>The profile; <see langword="null"/> when there are too few prefills to tell.</returns>
    internal static MeasuredPrefillCost? Fit(
        ModelShape shape,
        in PrefillLayout layout,
        IReadOnlyList<PrefillRun> runs,
        long latest
    )
    {
        if (!IsEnough(runs))
        {
            return null;
        }

        double[] weights =
        [
            .. runs.Select(run => Math.Max(LeastWeight, Math.Pow(2, -(latest - run.Sequence) / HalfLife))),
        ];
        double[] drifts = [.. runs.Select(run => DriftPerRun * Math.Sqrt(latest - run.Sequence))];
        double[] shares = [.. runs.Where(run => run.CpuShare is not null).Select(run => run.CpuShare!.Value)];
        if (shares.Length > 0)
        {
            double usual = RobustFit.WeightedMedian(shares, [.. shares.Select(_ => 1.0)]);
            for (int r = 0; r < runs.Count; r++)
            {
                weights[r] *= runs[r].CpuShare < DisturbedShare * usual ? DisturbedWeight : 1;
            }
        }

        double[] guess = Guess(shape, layout);
        Rows compute = new(CostTerm.ChunkTerms);
        Rows choosing = new(2);
        Rows overhead = new(1);
        double[] terms = new double[CostTerm.Count];
        for (int r = 0; r < runs.Count; r++)
        {
            PrefillRun run = runs[r];
            foreach (ChunkSample chunk in run.Chunks)
            {
                PrefillWork.CountChunk(layout, chunk, terms);
                compute.Add(terms.AsSpan(0, CostTerm.ChunkTerms), chunk.Seconds, r, weights[r]);
            }

            if (run.Boundaries > 0)
            {
                choosing.Add([run.Boundaries, run.RankedTokenLayers], run.SelectSeconds, r, weights[r]);
            }

            overhead.Add([1], run.OverheadSeconds, r, weights[r]);
        }

        FittedPrices computed = compute.Solve(drifts, guess, 0, Ties);
        double[] prices = new double[CostTerm.Count];
        double[,] covariance = new double[CostTerm.Count, CostTerm.Count];
        Place(computed, 0);
        Place(choosing.Solve(drifts, guess, CostTerm.Boundary, []), CostTerm.Boundary);
        Place(overhead.Solve(drifts, guess, CostTerm.Prefill, []), CostTerm.Prefill);
        return new MeasuredPrefillCost(
            shape,
            layout,
            prices,
            covariance,
            computed.Spread,
            computed.RunSpread,
            runs.Count,
            runs.Sum(run => run.Chunks.Count)
        );

        void Place(FittedPrices fitted, int first)
        {
            for (int j = 0; j < fitted.Prices.Length; j++)
            {
                prices[first + j] = fitted.Prices[j];
                for (int l = 0; l < fitted.Prices.Length; l++)
                {
                    covariance[first + j, first + l] = fitted.Covariance[j, l];
                }
            }
        }
    }

    /// <summary>Whether prefills tell more than counting does.</summary>
    internal static bool IsEnough(IReadOnlyList<PrefillRun> runs) =>
        runs.Count >= LeastRuns && runs.Sum(run => run.Chunks.Count) >= LeastChunks;

    /// <summary>What the prices would be if operations were all there is, with customary values for what is not counted.</summary>
    /// <remarks>Of the terms that are fitted together only the ratios matter.</remarks>
    private static double[] Guess(ModelShape shape, in PrefillLayout layout)
    {
        CountedPrefillCost counted = new(shape);
        double token = counted.OperationsPerToken;
        double pair = 2 * counted.OperationsPerPair;
        double[] guess = new double[CostTerm.Count];
        guess[CostTerm.Chunk] = 1e7;
        // one row at a time reads all weights for few operations
        guess[CostTerm.Logits] = 2 * counted.OperationsOfLogits;
        guess[CostTerm.ProbePair] = pair;
        foreach (int first in (ReadOnlySpan<int>)[CostTerm.Host, CostTerm.Device])
        {
            guess[first + CostTerm.Layer] = (4 * token) + 4e6;
            guess[first + CostTerm.TokenLayer] = token;
            guess[first + CostTerm.PastPair] = pair;
            // between all pairs of a chunk and the causal half of them
            guess[first + CostTerm.OwnPair] = 0.75 * pair;
        }

        // seconds: 0.2 ms per boundary, features of every head
        guess[CostTerm.Boundary] = 2e-4;
        guess[CostTerm.RankedTokenLayer] = 1e-8 * shape.HeadCount;
        guess[CostTerm.Prefill] = 5e-4;
        return guess;
    }

    private sealed class Rows(int width)
    {
        private readonly List<double[]> _counts = [];
        private readonly List<double> _seconds = [];
        private readonly List<int> _runs = [];
        private readonly List<double> _weights = [];

        internal void Add(ReadOnlySpan<double> counts, double seconds, int run, double weight)
        {
            // a clock without the resolution for it, or nothing measured
            if (seconds > 0)
            {
                _counts.Add(counts.ToArray());
                _seconds.Add(seconds);
                _runs.Add(run);
                _weights.Add(weight);
            }
        }

        internal FittedPrices Solve(double[] drifts, double[] guess, int first, (int, int, double)[] ties) =>
            RobustFit.Solve(
                _counts,
                _seconds,
                _runs,
                _weights,
                drifts,
                guess.AsSpan(first, width),
                Deviations.AsSpan(first, width),
                ties
            );
    }
}

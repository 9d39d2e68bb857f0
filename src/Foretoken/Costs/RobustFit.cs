using MathNet.Numerics.LinearAlgebra;

namespace Foretoken.Costs;

/// <summary>Prices that explain times, from noisy measurements in groups that share the state of the machine.</summary>
/// <remarks>
/// <para>
/// A time is modelled as <c>y = exp(u_r) · Σ x_j θ_j · exp(ε)</c>: counts x, prices θ, a random effect u of the run that the time
/// was measured in (the machine was busier or faster as a whole), and noise ε. Fitted by Gauss-Newton steps on the logarithm,
/// each of them generalised least squares with run effects marginalised out (mixed model, Laird and Ware 1982), with iterated
/// weights against outliers (Huber's first, then Tukey's biweight), and a normal prior on θ relative to a given guess, whose
/// common scale is fitted first. Prices stay positive.
/// </para>
/// <para>So what a run says about ratios of prices counts in full, however slow the machine was during that run.</para>
/// </remarks>
internal static class RobustFit
{
    private const int Iterations = 30;
    private const int HuberIterations = 6;
    private const double LeastMultiplier = 0.01;
    private const double LeastSpread = 0.01;
    private const double LeastRunSpread = 0.03;

    // spread of runs before there are enough of them to tell
    private const double UsualRunSpread = 0.1;

    // drift of a run that counts half for the spread of runs
    private const double UsualDrift = 0.2;

    /// <summary>Fits prices.</summary>
    /// <param name="counts">The counts, one array per measurement.</param>
    /// <param name="seconds">The times, positive.</param>
    /// <param name="runs">The run of each measurement, an index from 0.</param>
    /// <param name="weights">How much each measurement counts, 0 to 1.</param>
    /// <param name="drifts">Per run, by how much (logarithm) the machine's speed may have drifted since.</param>
    /// <param name="guess">Prices up to a common factor, positive.</param>
    /// <param name="deviations">Per price, standard deviation of its ratio to the guess.</param>
    /// <param name="ties">Pairs of prices whose ratios to the guess differ by no more than a standard deviation.</param>
    internal static FittedPrices Solve(
        IReadOnlyList<double[]> counts,
        IReadOnlyList<double> seconds,
        IReadOnlyList<int> runs,
        IReadOnlyList<double> weights,
        IReadOnlyList<double> drifts,
        ReadOnlySpan<double> guess,
        ReadOnlySpan<double> deviations,
        ReadOnlySpan<(int First, int Second, double Deviation)> ties
    )
    {
        int n = counts.Count;
        int k = guess.Length;
        double[] scaled = guess.ToArray();
        double[] multipliers = new double[k];
        Array.Fill(multipliers, 1);
        Matrix<double> precision = Matrix<double>.Build.Dense(k, k);
        for (int j = 0; j < k; j++)
        {
            precision[j, j] = 1 / (deviations[j] * deviations[j]);
        }

        foreach ((int first, int second, double deviation) in ties)
        {
            double tie = 1 / (deviation * deviation);
            precision[first, first] += tie;
            precision[second, second] += tie;
            precision[first, second] -= tie;
            precision[second, first] -= tie;
        }

        if (n == 0)
        {
            return Result(scaled, multipliers, precision, UsualRunSpread, UsualRunSpread);
        }

        double[] age = [.. weights];
        double[] ratios = new double[n];
        for (int i = 0; i < n; i++)
        {
            ratios[i] = seconds[i] / Dot(counts[i], scaled);
        }

        double scale = WeightedMedian(ratios, age);
        for (int j = 0; j < k; j++)
        {
            scaled[j] *= scale;
        }

        Runs groups = new(runs, drifts);
        double[] errors = new double[n];
        double[][] shares = new double[n][];
        double[] rowWeights = new double[n];
        double spread = 0;
        Matrix<double> information = precision;
        for (int iteration = 0; iteration < Iterations; iteration++)
        {
            for (int i = 0; i < n; i++)
            {
                double[] share = shares[i] ??= new double[k];
                double predicted = 0;
                for (int j = 0; j < k; j++)
                {
                    share[j] = counts[i][j] * scaled[j];
                    predicted += share[j] * multipliers[j];
                }

                for (int j = 0; j < k; j++)
                {
                    share[j] /= predicted;
                }

                errors[i] = Math.Log(seconds[i] / predicted);
            }

            spread = groups.Estimate(errors, age);
            for (int i = 0; i < n; i++)
            {
                double residual = Math.Abs(errors[i] - groups.Effect(i)) / spread;
                rowWeights[i] =
                    age[i] * (iteration < HuberIterations ? Math.Min(1, 1.5 / residual) : Biweight(residual / 5));
            }

            information = Accumulate(shares, errors, multipliers, rowWeights, groups, spread, out Vector<double> right);
            information += precision;
            // the guess is where all ratios are 1
            right += precision.RowSums();

            double[] next = SolvePositive(information, right, multipliers);
            double change = 0;
            for (int j = 0; j < k; j++)
            {
                change = Math.Max(change, Math.Abs(next[j] - multipliers[j]) / multipliers[j]);
            }

            multipliers = next;
            if (change < 1e-5 && iteration > HuberIterations)
            {
                break;
            }
        }

        return Result(scaled, multipliers, information, spread, groups.Spread);
    }

    /// <summary>The value at which half of the weight lies on either side.</summary>
    internal static double WeightedMedian(ReadOnlySpan<double> values, ReadOnlySpan<double> weights)
    {
        double[] keys = values.ToArray();
        double[] mass = weights.ToArray();
        Array.Sort(keys, mass);
        double half = 0;
        foreach (double m in mass)
        {
            half += m / 2;
        }

        double sum = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            sum += mass[i];
            if (sum > half)
            {
                return keys[i];
            }

            if (sum == half && i + 1 < keys.Length)
            {
                return (keys[i] + keys[i + 1]) / 2;
            }
        }

        return keys[^1];
    }

    private static double Dot(double[] a, ReadOnlySpan<double> b)
    {
        double sum = 0;
        for (int j = 0; j < a.Length; j++)
        {
            sum += a[j] * b[j];
        }

        return sum;
    }

    private static double Biweight(double x) => x >= 1 ? 0 : (1 - (x * x)) * (1 - (x * x));

    /// <summary>Normal equations, with the covariance of a run being <c>spread² W⁻¹ + effect² 1 1ᵀ</c> (Sherman-Morrison).</summary>
    private static Matrix<double> Accumulate(
        double[][] shares,
        double[] errors,
        double[] multipliers,
        double[] weights,
        Runs groups,
        double spread,
        out Vector<double> right
    )
    {
        int k = multipliers.Length;
        double variance = spread * spread;
        Matrix<double> left = Matrix<double>.Build.Dense(k, k);
        right = Vector<double>.Build.Dense(k);
        double[] sum = new double[k];
        for (int r = 0; r < groups.Count; r++)
        {
            Array.Clear(sum);
            double weight = 0;
            double target = 0;
            foreach (int i in groups.Rows(r))
            {
                double w = weights[i];
                // the logarithm, linear in the multipliers around where they are
                double t = errors[i] + Dot(shares[i], multipliers);
                weight += w;
                target += w * t;
                for (int j = 0; j < k; j++)
                {
                    double z = w * shares[i][j];
                    sum[j] += z;
                    right[j] += z * t / variance;
                    for (int l = 0; l < k; l++)
                    {
                        left[j, l] += z * shares[i][l] / variance;
                    }
                }
            }

            double effect = groups.EffectVariance(r);
            double shrink = effect / (variance + (effect * weight)) / variance;
            for (int j = 0; j < k; j++)
            {
                right[j] -= shrink * sum[j] * target;
                for (int l = 0; l < k; l++)
                {
                    left[j, l] -= shrink * sum[j] * sum[l];
                }
            }
        }

        return left;
    }

    /// <summary>Solves the normal equations; where a price would turn negative, or fall too far at once, by projected Gauss-Seidel.</summary>
    private static double[] SolvePositive(Matrix<double> left, Vector<double> right, double[] current)
    {
        int k = current.Length;
        double[] least = new double[k];
        for (int j = 0; j < k; j++)
        {
            least[j] = Math.Max(LeastMultiplier, current[j] / 3);
        }

        double[] x = left.Cholesky().Solve(right).ToArray();
        bool isInside = true;
        for (int j = 0; j < k; j++)
        {
            isInside &= x[j] >= least[j];
            x[j] = Math.Max(x[j], least[j]);
        }

        for (int sweep = 0; !isInside && sweep < 300; sweep++)
        {
            double change = 0;
            for (int j = 0; j < k; j++)
            {
                double rest = right[j];
                for (int l = 0; l < k; l++)
                {
                    rest -= l == j ? 0 : left[j, l] * x[l];
                }

                double value = Math.Max(least[j], rest / left[j, j]);
                change = Math.Max(change, Math.Abs(value - x[j]));
                x[j] = value;
            }

            isInside = change < 1e-9;
        }

        return x;
    }

    private static FittedPrices Result(
        double[] scaled,
        double[] multipliers,
        Matrix<double> information,
        double spread,
        double runSpread
    )
    {
        int k = scaled.Length;
        Matrix<double> inverse = information.Cholesky().Solve(Matrix<double>.Build.DenseIdentity(k));
        double[] prices = new double[k];
        double[,] covariance = new double[k, k];
        for (int j = 0; j < k; j++)
        {
            prices[j] = scaled[j] * multipliers[j];
            for (int l = 0; l < k; l++)
            {
                covariance[j, l] = inverse[j, l] * scaled[j] * scaled[l];
            }
        }

        return new FittedPrices(prices, covariance, spread, runSpread);
    }

    /// <summary>The measurements by run, and what the runs have in common.</summary>
    private sealed class Runs
    {
        private readonly int[] _runOf;
        private readonly List<int>[] _rows;
        private readonly double[] _drifts;
        private readonly double[] _medians;
        private readonly double[] _effects;
        private readonly double[] _variances;

        internal Runs(IReadOnlyList<int> runs, IReadOnlyList<double> drifts)
        {
            _runOf = [.. runs];
            _drifts = [.. drifts];
            _rows = [.. drifts.Select(_ => new List<int>())];
            for (int i = 0; i < _runOf.Length; i++)
            {
                _rows[_runOf[i]].Add(i);
            }

            _medians = new double[_rows.Length];
            _effects = new double[_rows.Length];
            _variances = new double[_rows.Length];
        }

        internal int Count => _rows.Length;

        internal double Spread { get; private set; }

        internal List<int> Rows(int run) => _rows[run];

        internal double Effect(int row) => _effects[_runOf[row]];

        internal double EffectVariance(int run) => _variances[run];

        /// <summary>Estimates the spread within runs, which is returned, the spread of runs, and the effect of each.</summary>
        internal double Estimate(double[] errors, double[] weights)
        {
            List<double> within = [];
            List<double> withinWeights = [];
            List<double> between = [];
            List<double> betweenWeights = [];
            for (int r = 0; r < _rows.Length; r++)
            {
                if (_rows[r].Count == 0)
                {
                    continue;
                }

                double[] own = [.. _rows[r].Select(i => errors[i])];
                double[] ownWeights = [.. _rows[r].Select(i => weights[i])];
                double median = _medians[r] = WeightedMedian(own, ownWeights);
                between.Add(median);
                // how steady the machine is, is told by runs that it had no time to drift away from
                betweenWeights.Add(ownWeights.Average() / (1 + Math.Pow(_drifts[r] / UsualDrift, 2)));
                if (own.Length > 1)
                {
                    // a median lies close to its own few values
                    double correction = Math.Sqrt(own.Length / (own.Length - 1.0));
                    for (int i = 0; i < own.Length; i++)
                    {
                        within.Add(correction * Math.Abs(own[i] - median));
                        withinWeights.Add(ownWeights[i]);
                    }
                }
            }

            // around where most runs are: the prices may not have followed them yet
            double center = between.Count == 0 ? 0 : WeightedMedian([.. between], [.. betweenWeights]);
            double runs = MedianDeviation([.. between.Select(median => Math.Abs(median - center))], betweenWeights);
            double spread = Math.Max(LeastSpread, within.Count > 3 ? MedianDeviation(within, withinWeights) : runs);
            Spread = Math.Max(LeastRunSpread, between.Count >= 3 ? runs : UsualRunSpread);
            for (int r = 0; r < _rows.Length; r++)
            {
                double deviation = Math.Sqrt((Spread * Spread) + (_drifts[r] * _drifts[r]));
                // Huber's weight on the run as a whole: an unusual one says little about the common scale
                deviation = Math.Max(deviation, Math.Abs(_medians[r] - center) / 2);
                _variances[r] = deviation * deviation;
                _effects[r] =
                    _medians[r] * _variances[r] / (_variances[r] + (spread * spread / Math.Max(1, _rows[r].Count)));
            }

            return spread;
        }

        // the median of absolute deviations, times what makes it the standard deviation of normal values
        private static double MedianDeviation(List<double> values, List<double> weights) =>
            1.4826 * WeightedMedian(values.ToArray(), weights.ToArray());
    }
}

/// <summary>Result of a <see cref="RobustFit"/>.</summary>
/// <param name="Prices">The prices, seconds.</param>
/// <param name="Covariance">Their covariance, seconds squared.</param>
/// <param name="Spread">Standard deviation of the logarithm within a run.</param>
/// <param name="RunSpread">Standard deviation of the logarithm from run to run.</param>
internal sealed record FittedPrices(double[] Prices, double[,] Covariance, double Spread, double RunSpread);

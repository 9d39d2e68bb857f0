using System.Numerics.Tensors;
using Foretoken.Plans;
using Foretoken.Skips;
using MathNet.Numerics.LinearAlgebra;

namespace Foretoken.Tuning.Skips;

/// <summary>
/// Learns which layers a prompt needs least: one logistic regression with an L2 penalty per layer, from a few dozen prompts whose
/// features are many more than they are.
/// </summary>
/// <remarks>
/// <para>
/// Labels at a capacity: of every prompt, the <c>count</c> layers whose skipping costs least are "skip", the others "keep".
/// With features centred over the prompts and scaled to a mean square length of 1, w minimises
/// sum log(1 + exp(-y f)) + (|w|^2 / s^2 + b^2 / t^2) / 2 with f = w x + b. In the dual this is a Newton iteration in as many
/// unknowns as there are prompts, with the kernel s^2 X X' + t^2 (Gaussian processes for machine learning, Rasmussen and
/// Williams 2006, algorithm 3.1). The prior of the bias keeps it finite where all labels agree.
/// </para>
/// <para>
/// The strength s is the one whose choices cost least on prompts that are left out one at a time. It has to beat the set that is
/// best for all prompts by more than one standard error of the difference per prompt: among a few dozen prompts the best of
/// several strengths is a little better by chance. If none does, the routers choose that set, whatever the prompt.
/// Deterministic.
/// </para>
/// </remarks>
internal static class LogisticRouterFit
{
    private const double BiasDeviation = 3;
    private const int MaxIterations = 100;
    private const double Tolerance = 1e-10;

    private static readonly double[] Strengths = [0.5, 1, 2, 4, 8, 16];

    /// <summary>Fits the routers of one kind of skip.</summary>
    /// <param name="routing">Where they read, and how many parts of which kind they choose.</param>
    /// <param name="layers">The candidate layers, ascending.</param>
    /// <param name="sameForAll">The layers that are best for all prompts, the best first; at least as many as are chosen.</param>
    /// <param name="features">Per prompt, [embedding].</param>
    /// <param name="costs">Per prompt what skipping each of the layers costs, [layers].</param>
    internal static SkipRouter Fit(
        SkipRouting routing,
        IReadOnlyList<int> layers,
        IReadOnlyList<int> sameForAll,
        IReadOnlyList<float[]> features,
        IReadOnlyList<double[]> costs
    )
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(features.Count, 1);
        ArgumentOutOfRangeException.ThrowIfNotEqual(costs.Count, features.Count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(routing.Count, layers.Count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(routing.Count, sameForAll.Count);
        Centred centred = Centred.Of(features);
        bool[][] keep = [.. costs.Select(cost => KeepLabels(cost, routing.Count))];
        int[] same = [.. sameForAll.Take(routing.Count)];
        double[] sameCosts =
        [
            .. costs.Select(cost => layers.Select((layer, i) => same.Contains(layer) ? cost[i] : 0).Sum()),
        ];
        float[] biases = new float[layers.Count];
        if (ChooseStrength(centred.Products, keep, costs, sameCosts, routing.Count) is not { } strength)
        {
            for (int layer = 0; layer < layers.Count; layer++)
            {
                biases[layer] = same.Contains(layers[layer]) ? -1 : 1;
            }

            return new SkipRouter(routing, [.. layers], default, biases);
        }

        int width = features[0].Length;
        float[] weights = new float[layers.Count * width];
        int[] all = [.. Enumerable.Range(0, features.Count)];
        for (int layer = 0; layer < layers.Count; layer++)
        {
            double[] dual = Solve(centred.Products, all, [.. keep.Select(labels => labels[layer])], strength);
            double[] w = new double[width];
            for (int i = 0; i < dual.Length; i++)
            {
                double factor = strength * strength * dual[i] / centred.Scale;
                for (int j = 0; j < width; j++)
                {
                    w[j] += factor * centred.Rows[i][j];
                }
            }

            double bias = BiasDeviation * BiasDeviation * dual.Sum();
            for (int j = 0; j < width; j++)
            {
                bias -= w[j] * centred.Mean[j];
                weights[(layer * width) + j] = (float)w[j];
            }

            biases[layer] = (float)bias;
        }

        return new SkipRouter(routing, [.. layers], weights, biases);
    }

    /// <summary>Per layer whether a prompt keeps it: all but the <paramref name="count"/> that cost least, of equal ones the lower.</summary>
    internal static bool[] KeepLabels(double[] costs, int count)
    {
        bool[] keep = new bool[costs.Length];
        Array.Fill(keep, true);
        foreach (int i in LayerRouters.LowestFirst(costs).Take(count))
        {
            keep[i] = false;
        }

        return keep;
    }

    /// <summary>The best strength; null where none beats what is best for all prompts, of which <paramref name="same"/> is the cost.</summary>
    private static double? ChooseStrength(
        double[][] products,
        bool[][] keep,
        IReadOnlyList<double[]> costs,
        double[] same,
        int count
    )
    {
        double best = 0;
        double? chosen = null;
        foreach (double strength in Strengths)
        {
            double[] saved = LeftOutCosts(products, keep, costs, count, strength);
            TensorPrimitives.Subtract(same, saved, saved);
            double mean = saved.Average();
            double variance = saved.Sum(value => (value - mean) * (value - mean)) / Math.Max(1, saved.Length - 1);
            if (mean > best && mean > Math.Sqrt(variance / saved.Length))
            {
                best = mean;
                chosen = strength;
            }
        }

        return chosen;
    }

    /// <summary>Cost of what is chosen for each prompt by routers that were fitted to the others.</summary>
    private static double[] LeftOutCosts(
        double[][] products,
        bool[][] keep,
        IReadOnlyList<double[]> costs,
        int count,
        double strength
    )
    {
        double[] total = new double[keep.Length];
        for (int left = 0; left < keep.Length; left++)
        {
            int[] others = [.. Enumerable.Range(0, keep.Length).Where(i => i != left)];
            double[] logits = new double[costs[left].Length];
            for (int layer = 0; layer < logits.Length; layer++)
            {
                double[] dual = Solve(products, others, [.. others.Select(i => keep[i][layer])], strength);
                for (int i = 0; i < others.Length; i++)
                {
                    logits[layer] += dual[i] * Kernel(products[left][others[i]], strength);
                }
            }

            total[left] = LayerRouters.LowestFirst(logits).Take(count).Sum(i => costs[left][i]);
        }

        return total;
    }

    /// <summary>The dual coefficients: at the optimum label minus probability, of each prompt.</summary>
    internal static double[] Solve(double[][] products, int[] prompts, bool[] keep, double strength)
    {
        int n = prompts.Length;
        Matrix<double> kernel = Matrix<double>.Build.Dense(
            n,
            n,
            (i, j) => Kernel(products[prompts[i]][prompts[j]], strength)
        );
        Vector<double> dual = Vector<double>.Build.Dense(n);
        Vector<double> logits = Vector<double>.Build.Dense(n);
        double loss = Loss(dual, logits, keep);
        for (int iteration = 0; iteration < MaxIterations; iteration++)
        {
            Vector<double> probability = logits.Map(f => 1 / (1 + Math.Exp(-f)));
            Vector<double> curvature = probability.Map(p => Math.Max(p * (1 - p), 1e-12));
            Vector<double> root = curvature.PointwiseSqrt();
            Vector<double> target =
                curvature.PointwiseMultiply(logits)
                + Vector<double>.Build.Dense(n, i => (keep[i] ? 1 : 0) - probability[i]);
            Matrix<double> system = Matrix<double>.Build.Dense(
                n,
                n,
                (i, j) => (i == j ? 1 : 0) + (root[i] * kernel[i, j] * root[j])
            );
            Vector<double> newton =
                target - root.PointwiseMultiply(system.Cholesky().Solve(root.PointwiseMultiply(kernel * target)));

            // halved until the penalised loss falls: far from the optimum a whole step may overshoot
            double before = loss;
            double step = 1;
            Vector<double> from = dual;
            for (int halving = 0; halving < 30; halving++, step /= 2)
            {
                Vector<double> tried = from + (step * (newton - from));
                Vector<double> triedLogits = kernel * tried;
                double triedLoss = Loss(tried, triedLogits, keep);
                if (triedLoss <= before)
                {
                    (dual, logits, loss) = (tried, triedLogits, triedLoss);
                    break;
                }
            }

            if (before - loss <= Tolerance * Math.Max(1, before))
            {
                break;
            }
        }

        return [.. dual];
    }

    private static double Kernel(double product, double strength) =>
        (strength * strength * product) + (BiasDeviation * BiasDeviation);

    // the penalty of weights and bias is half of dual' kernel dual
    private static double Loss(Vector<double> dual, Vector<double> logits, bool[] keep)
    {
        double loss = 0.5 * dual.DotProduct(logits);
        for (int i = 0; i < keep.Length; i++)
        {
            double margin = keep[i] ? logits[i] : -logits[i];
            loss += margin > 0 ? Math.Log(1 + Math.Exp(-margin)) : Math.Log(1 + Math.Exp(margin)) - margin;
        }

        return loss;
    }

    /// <summary>Features minus their mean, over the root of their mean square length, and their products.</summary>
    private sealed record Centred(double[] Mean, double[][] Rows, double Scale, double[][] Products)
    {
        internal static Centred Of(IReadOnlyList<float[]> features)
        {
            int width = features[0].Length;
            double[] mean = new double[width];
            foreach (float[] row in features)
            {
                for (int j = 0; j < width; j++)
                {
                    mean[j] += (double)row[j] / features.Count;
                }
            }

            double[][] rows = [.. features.Select(row => row.Select((value, j) => value - mean[j]).ToArray())];
            double square = rows.Average(row => TensorPrimitives.SumOfSquares<double>(row));
            // prompts that are all the same have nothing to be told apart by
            double scale = square > 0 ? Math.Sqrt(square) : 1;
            foreach (double[] row in rows)
            {
                TensorPrimitives.Divide(row, scale, row);
            }

            return new Centred(
                mean,
                rows,
                scale,
                [.. rows.Select(a => rows.Select(b => TensorPrimitives.Dot<double>(a, b)).ToArray())]
            );
        }
    }
}

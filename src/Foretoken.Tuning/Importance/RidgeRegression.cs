using System.Numerics.Tensors;
using MathNet.Numerics.LinearAlgebra;

namespace Foretoken.Tuning.Importance;

/// <summary>
/// Ridge regression from examples that come one by one: features and targets are centred per example, features scaled to unit
/// variance over all of them. Several targets share the features, of which each may read only the first ones.
/// </summary>
/// <remarks>Not thread-safe. Deterministic: the same examples in the same order give the same weights.</remarks>
internal sealed class RidgeRegression
{
    private readonly int _features;
    private readonly double[][] _gram;
    private readonly double[][] _products;

    /// <param name="features">Number of features.</param>
    /// <param name="targets">Number of targets.</param>
    internal RidgeRegression(int features, int targets)
    {
        _features = features;
        _gram = [.. Enumerable.Range(0, features).Select(i => new double[i + 1])];
        _products = [.. Enumerable.Range(0, targets).Select(_ => new double[features])];
    }

    /// <summary>Rows seen so far.</summary>
    internal long Rows { get; private set; }

    /// <summary>Adds an example.</summary>
    /// <param name="columns">The features, one column of rows each; centred in place.</param>
    /// <param name="targets">The targets, one column of rows each; centred in place.</param>
    /// <param name="weights">How much each row counts, 1 on average; empty when all count the same.</param>
    internal void Add(double[][] columns, double[][] targets, ReadOnlySpan<double> weights = default)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(columns.Length, _features);
        ArgumentOutOfRangeException.ThrowIfNotEqual(targets.Length, _products.Length);
        double[] roots = new double[weights.Length];
        TensorPrimitives.Sqrt(weights, roots);
        foreach (double[] column in columns.Concat(targets))
        {
            double sum = weights.IsEmpty ? TensorPrimitives.Sum<double>(column) : TensorPrimitives.Dot(column, weights);
            TensorPrimitives.Subtract(column, sum / column.Length, column);
            if (!weights.IsEmpty)
            {
                TensorPrimitives.Multiply(column, roots, column);
            }
        }

        Parallel.For(
            0,
            _features,
            i =>
            {
                double[] row = _gram[i];
                for (int j = 0; j <= i; j++)
                {
                    row[j] += TensorPrimitives.Dot<double>(columns[i], columns[j]);
                }

                for (int target = 0; target < targets.Length; target++)
                {
                    _products[target][i] += TensorPrimitives.Dot<double>(columns[i], targets[target]);
                }
            }
        );
        Rows += targets.Length > 0 ? targets[0].Length : 0;
    }

    /// <summary>Weights of the first features for one target.</summary>
    /// <param name="target">The target.</param>
    /// <param name="features">How many of the features may be read.</param>
    /// <param name="ridge">Added to the diagonal of the matrix of scaled features, whose diagonal is <see cref="Rows"/>.</param>
    internal double[] Solve(int target, int features, double ridge)
    {
        if (Rows == 0)
        {
            throw new InvalidOperationException("There is nothing to fit: no example was added.");
        }

        // a feature that never varies gets the weight 0
        double[] scale = new double[features];
        for (int i = 0; i < features; i++)
        {
            double deviation = Math.Sqrt(_gram[i][i] / Rows);
            scale[i] = deviation > 0 ? deviation : double.PositiveInfinity;
        }

        Matrix<double> gram = Matrix<double>.Build.Dense(
            features,
            features,
            (i, j) => (_gram[Math.Max(i, j)][Math.Min(i, j)] / (scale[i] * scale[j])) + (i == j ? ridge : 0)
        );
        Vector<double> product = Vector<double>.Build.Dense(features, i => _products[target][i] / scale[i]);
        Vector<double> solution = gram.Cholesky().Solve(product);
        return [.. solution.Select((weight, i) => weight / scale[i])];
    }
}

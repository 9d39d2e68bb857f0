using System.Numerics.Tensors;
using Foretoken.Profiles;

namespace Foretoken.Tuning;

/// <summary>Fits importance predictors, one per boundary, to examples that come one by one.</summary>
/// <remarks>
/// The features of a boundary are those of all layers below it, so all boundaries share one matrix of products. Not
/// thread-safe.
/// </remarks>
internal sealed class ImportanceFit
{
    /// <summary>Regularisation as a share of the rows: 300 at 79,000.</summary>
    internal const double RidgePerRow = 300.0 / 79_000;

    private readonly int _heads;
    private readonly int[] _boundaries;
    private readonly RidgeRegression _regression;

    /// <param name="heads">Attention heads per layer.</param>
    /// <param name="boundaries">The boundaries, ascending.</param>
    internal ImportanceFit(int heads, IReadOnlyList<int> boundaries)
    {
        _heads = heads;
        _boundaries = [.. boundaries];
        _regression = new RidgeRegression(_boundaries[^1] * AttentionFeatures.CountPerLayer(heads), _boundaries.Length);
    }

    /// <summary>Adds an example.</summary>
    internal void Add(TuningExample example)
    {
        Range body = AttentionScores.Body(example.TokenCount);
        double[][] features = Columns(example, _boundaries[^1], body);
        double[][] targets = new double[_boundaries.Length][];
        float[] target = new float[example.TokenCount];
        for (int i = 0; i < targets.Length; i++)
        {
            ImportanceTarget.Compute(AnswerFrom(example, _boundaries[i]), example.TokenCount, target);
            targets[i] = ToDouble(target.AsSpan(body));
        }

        _regression.Add(features, targets);
    }

    /// <summary>The weights for one of the boundaries, [layers, sources, pools, heads].</summary>
    /// <param name="index">Index of the boundary.</param>
    /// <param name="ridge">Regularisation; <see langword="null"/> for <see cref="RidgePerRow"/> times the rows.</param>
    internal double[] Solve(int index, double? ridge = null) =>
        _regression.Solve(
            index,
            _boundaries[index] * AttentionFeatures.CountPerLayer(_heads),
            ridge ?? RidgePerRow * _regression.Rows
        );

    /// <summary>The answer's attention in the layers at or above a boundary.</summary>
    internal static ReadOnlySpan<float> AnswerFrom(TuningExample example, int boundary) =>
        example.AnswerAttention.AsSpan(Math.Max(0, boundary - example.FirstAnswerLayer) * example.TokenCount);

    private static double[][] Columns(TuningExample example, int layers, Range body)
    {
        int n = example.TokenCount;
        int heads = example.HeadCount;
        int pools = AttentionFeatures.PoolCount;
        double[][] columns = new double[layers * AttentionFeatures.CountPerLayer(heads)][];
        Parallel.For(
            0,
            layers * AttentionFeatures.SourceCount * heads,
            i =>
            {
                // [layer, source, head] in the example; [layer, source, pool, head] in the features
                (int layerAndSource, int head) = Math.DivRem(i, heads);
                float[] rows = new float[pools * n];
                AttentionFeatures.Compute(example.Attention.AsSpan(i * n, n), rows);
                for (int pool = 0; pool < pools; pool++)
                {
                    columns[(((layerAndSource * pools) + pool) * heads) + head] = ToDouble(
                        rows.AsSpan(pool * n, n)[body]
                    );
                }
            }
        );
        return columns;
    }

    private static double[] ToDouble(ReadOnlySpan<float> values)
    {
        double[] result = new double[values.Length];
        TensorPrimitives.ConvertChecked(values, result);
        return result;
    }
}

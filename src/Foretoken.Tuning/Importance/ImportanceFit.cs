using System.Numerics.Tensors;
using Foretoken.Importance;

namespace Foretoken.Tuning.Importance;

/// <summary>Fits importance predictors, one per boundary, to examples that come one by one.</summary>
/// <remarks>
/// <para>
/// A token counts as much as the answer attends to it. Without that, the many tokens that hardly matter decide the fit, and
/// the few that hold what is asked for are predicted badly: on prompts of kinds that were not learned from, and a quarter of
/// the tokens kept in front of layer 5 of 30, all tokens of the value that was asked for were among them in 31 of 32 prompts
/// instead of 17.
/// </para>
/// <para>
/// The features of a boundary are those of all layers below it, so all boundaries share one matrix of products. Not
/// thread-safe.
/// </para>
/// </remarks>
internal sealed class ImportanceFit
{
    /// <summary>Regularisation as a share of the rows.</summary>
    internal const double RidgePerRow = 0.02;

    private readonly int _heads;
    private readonly int _embedding;
    private readonly PredictorInputs _inputs;
    private readonly int _matches;
    private readonly bool _isWeighted;

    // boundaries that share the attention features of the layers below them, of which each reads the first
    private readonly int[] _shared;
    private readonly RidgeRegression? _sharedRegression;

    // boundaries whose residual stream is read: each has features of its own
    private readonly Dictionary<int, RidgeRegression> _own = [];

    /// <param name="heads">Attention heads per layer.</param>
    /// <param name="boundaries">The boundaries, ascending.</param>
    /// <param name="residualBoundaries">Those of them whose residual stream is read.</param>
    /// <param name="inputs">What the predictors of <paramref name="residualBoundaries"/> read; the others read the attention.</param>
    /// <param name="embedding">Width of the residual stream.</param>
    /// <param name="isWeighted">Whether a token counts as much as the answer attends to it; otherwise all count the same.</param>
    internal ImportanceFit(
        int heads,
        IReadOnlyList<int> boundaries,
        IReadOnlyList<int>? residualBoundaries = null,
        PredictorInputs inputs = PredictorInputs.Attention,
        int embedding = 0,
        bool isWeighted = true
    )
    {
        _heads = heads;
        _embedding = embedding;
        _inputs = inputs;
        _matches = inputs.HasFlag(PredictorInputs.Matches) ? MatchFeatures.Count : 0;
        _isWeighted = isWeighted;
        _shared = [.. boundaries.Except(residualBoundaries ?? [])];
        _sharedRegression =
            _shared.Length == 0 ? null : new RidgeRegression(_matches + AttentionCount(_shared[^1]), _shared.Length);
        foreach (int layer in residualBoundaries ?? [])
        {
            _own.Add(layer, new RidgeRegression(_matches + OwnAttention(layer) + embedding, targets: 1));
        }
    }

    /// <summary>Adds an example.</summary>
    internal void Add(TuningExample example)
    {
        Range body = AttentionScores.Body(example.TokenCount);
        int deepest = Math.Max(_shared.LastOrDefault(), _own.Keys.DefaultIfEmpty().Max());
        double[][] attention = AttentionColumns(example, deepest, body);
        double[] weights = _isWeighted ? Weights(example, body) : [];
        foreach ((int layer, RidgeRegression regression) in _own)
        {
            regression.Add(
                [
                    .. MatchColumns(example, body),
                    .. attention.Take(OwnAttention(layer)).Select(column => (double[])column.Clone()),
                    .. ResidualColumns(example.Residuals[layer], body),
                ],
                [Target(example, layer, body)],
                weights
            );
        }

        _sharedRegression?.Add(
            // in front, because every boundary reads the first of them
            [.. MatchColumns(example, body), .. attention.Take(AttentionCount(_shared[^1]))],
            [.. _shared.Select(layer => Target(example, layer, body))],
            weights
        );
    }

    /// <summary>The weights for a boundary.</summary>
    /// <param name="layer">The boundary.</param>
    /// <param name="ridge">Regularisation; <see langword="null"/> for <see cref="RidgePerRow"/> times the rows.</param>
    internal ImportanceWeights Solve(int layer, double? ridge = null)
    {
        RidgeRegression regression =
            _own.GetValueOrDefault(layer)
            ?? _sharedRegression
            ?? throw new ArgumentOutOfRangeException(nameof(layer), layer, "Nothing was fitted for this boundary.");
        int attention = _matches + (regression == _sharedRegression ? AttentionCount(layer) : OwnAttention(layer));
        float[] weights =
        [
            .. regression
                .Solve(
                    regression == _sharedRegression ? Array.IndexOf(_shared, layer) : 0,
                    attention + (regression == _sharedRegression ? 0 : _embedding),
                    ridge ?? RidgePerRow * regression.Rows
                )
                .Select(weight => (float)weight),
        ];
        return new ImportanceWeights(layer, weights[.._matches], weights[_matches..attention], weights[attention..]);
    }

    private int AttentionCount(int layer) => layer * AttentionFeatures.CountPerLayer(_heads);

    private int OwnAttention(int layer) => _inputs.HasFlag(PredictorInputs.Attention) ? AttentionCount(layer) : 0;

    /// <summary>How much the tokens of the body count, 1 on average: as much as the answer attends to them.</summary>
    internal static double[] Weights(TuningExample example, Range body)
    {
        // the same for all boundaries, so that they can share their products: what the answer attends to in all layers
        double[] weights = Target(example, example.FirstAnswerLayer, body);
        TensorPrimitives.Exp(weights, weights);
        TensorPrimitives.Multiply(weights, weights.Length / TensorPrimitives.Sum<double>(weights), weights);
        return weights;
    }

    private static double[] Target(TuningExample example, int layer, Range body)
    {
        float[] target = new float[example.TokenCount];
        ImportanceTarget.Compute(AnswerFrom(example, layer), example.TokenCount, target);
        return ToDouble(target.AsSpan(body));
    }

    /// <summary>The answer's attention in the layers at or above a boundary.</summary>
    internal static ReadOnlySpan<float> AnswerFrom(TuningExample example, int boundary) =>
        example.AnswerAttention.AsSpan(Math.Max(0, boundary - example.FirstAnswerLayer) * example.TokenCount);

    private static double[][] AttentionColumns(TuningExample example, int layers, Range body)
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

    private double[][] MatchColumns(TuningExample example, Range body)
    {
        int n = example.TokenCount;
        float[] rows = _matches == 0 ? [] : MatchFeatures.Compute(example.Tokens.Span);
        return [.. Enumerable.Range(0, _matches).Select(i => ToDouble(rows.AsSpan(i * n, n)[body]))];
    }

    private double[][] ResidualColumns(float[] residual, Range body)
    {
        (int from, int count) = body.GetOffsetAndLength(residual.Length / _embedding);
        double[][] columns = [.. Enumerable.Range(0, _embedding).Select(_ => new double[count])];
        float[] features = new float[_embedding];
        for (int token = 0; token < count; token++)
        {
            ResidualFeatures.Compute(residual.AsSpan((from + token) * _embedding, _embedding), features);
            for (int i = 0; i < features.Length; i++)
            {
                columns[i][token] = features[i];
            }
        }

        return columns;
    }

    private static double[] ToDouble(ReadOnlySpan<float> values)
    {
        double[] result = new double[values.Length];
        TensorPrimitives.ConvertChecked(values, result);
        return result;
    }
}

using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Foretoken.Importance;

namespace Foretoken.Tuning.Importance;

/// <summary>What networks are trained on: tokens of examples that come one by one, with their residual streams.</summary>
/// <remarks>
/// As in <see cref="ImportanceFit"/>, a token counts as much as the answer attends to it: tokens are drawn in proportion to that,
/// so that some are there several times and others not at all. Not thread-safe. Deterministic.
/// </remarks>
internal sealed class NetworkSamples
{
    /// <summary>Numbers of all residual streams in front of one boundary, at most (256 MiB); where there are more, fewer tokens are drawn.</summary>
    internal const int MaxNumbers = 1 << 26;

    private readonly int _embedding;
    private readonly int _rowsPerExample;
    private readonly Dictionary<int, List<float>> _residuals;
    private readonly List<(TuningExample Example, int[] Tokens)> _examples = [];

    /// <param name="boundaries">The boundaries whose residual streams are read.</param>
    /// <param name="embedding">Width of the residual stream.</param>
    /// <param name="examples">How many examples will come.</param>
    internal NetworkSamples(IEnumerable<int> boundaries, int embedding, int examples)
    {
        _embedding = embedding;
        _rowsPerExample = Math.Max(1, MaxNumbers / embedding / examples);
        _residuals = boundaries.ToDictionary(layer => layer, _ => new List<float>());
    }

    /// <summary>Adds an example.</summary>
    internal void Add(TuningExample example)
    {
        Range body = AttentionScores.Body(example.TokenCount);
        double[] weights = ImportanceFit.Weights(example, body);
        int first = body.GetOffsetAndLength(example.TokenCount).Offset;
        int[] tokens = [.. Draw(weights, Math.Min(weights.Length, _rowsPerExample)).Select(token => first + token)];
        foreach ((int layer, List<float> rows) in _residuals)
        {
            foreach (int token in tokens)
            {
                rows.AddRange(example.Residuals[layer].AsSpan(token * _embedding, _embedding));
            }
        }

        // without the residual streams, which are most of it
        _examples.Add((example with { Residuals = new Dictionary<int, float[]>() }, tokens));
    }

    /// <summary>Trains the network of a boundary on what the rest of its predictor leaves over.</summary>
    /// <param name="layer">The boundary.</param>
    /// <param name="linear">What reads the attention there; <see langword="null"/> when the network predicts alone.</param>
    /// <param name="options">How it is trained.</param>
    /// <param name="progress">Told after every epoch.</param>
    /// <param name="cancellationToken">Stops the training.</param>
    internal ResidualNetwork Train(
        int layer,
        ImportancePredictor? linear,
        NetworkTrainerOptions options,
        IProgress<NetworkEpoch>? progress,
        CancellationToken cancellationToken
    )
    {
        LearnedImportance? learned = linear is null ? null : new LearnedImportance([linear]);
        List<float> targets = [];
        foreach ((TuningExample example, int[] tokens) in _examples)
        {
            float[] left = new float[example.TokenCount];
            ImportanceTarget.Compute(ImportanceFit.AnswerFrom(example, layer), example.TokenCount, left);
            if (learned is not null)
            {
                TensorPrimitives.Subtract(left, example.ComputeImportance(learned, layer), left);
            }

            // centred as the linear fit centres: every token counts by its weight, which is how often it was drawn
            float[] drawn = [.. tokens.Select(token => left[token])];
            TensorPrimitives.Subtract(drawn, TensorPrimitives.Sum<float>(drawn) / drawn.Length, drawn);
            targets.AddRange(drawn);
        }

        return NetworkTrainer
            .Fit(
                CollectionsMarshal.AsSpan(_residuals[layer]),
                CollectionsMarshal.AsSpan(targets),
                _embedding,
                heldOut: 0,
                options,
                progress,
                cancellationToken
            )
            .Predictor;
    }

    /// <summary>Draws tokens in proportion to their weights: at equal distances along the sum of these, ascending.</summary>
    internal static int[] Draw(double[] weights, int count)
    {
        int[] tokens = new int[count];
        double step = TensorPrimitives.Sum<double>(weights) / Math.Max(1, count);
        int token = 0;
        double passed = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            while (token < weights.Length - 1 && passed + weights[token] <= (i + 0.5) * step)
            {
                passed += weights[token++];
            }

            tokens[i] = token;
        }

        return tokens;
    }
}

using System.Numerics.Tensors;
using Foretoken.Importance;

namespace Foretoken.Tuning.Importance;

/// <summary>What a predictor shall predict: how much the model's own answer attends to each token above the boundary. Thread-safe.</summary>
/// <remarks>
/// y = ln(pool7(mean over layers l at or above the boundary of b_l / mean(b_l)) + 0.02), where b_l is the attention that a token
/// receives from the answer in layer l: maximum over the answer's tokens, mean over the heads; the first 4 tokens set to 0,
/// means taken from the 5th token to the 33rd from the end.
/// </remarks>
internal static class ImportanceTarget
{
    private const int PoolWidth = 7;
    private const float Floor = 0.02f;

    /// <summary>Computes the target.</summary>
    /// <param name="answerAttention">b, [layers, tokens] row-major, of the layers at or above the boundary.</param>
    /// <param name="tokens">Tokens of the prompt.</param>
    /// <param name="target">Receives y, [tokens].</param>
    internal static void Compute(ReadOnlySpan<float> answerAttention, int tokens, Span<float> target)
    {
        Mass(answerAttention, tokens, target);
        TensorPrimitives.Add(target, Floor, target);
        TensorPrimitives.Log(target, target);
    }

    /// <summary>The target before the logarithm: a token's share of the answer's attention, 1 on average.</summary>
    internal static void Mass(ReadOnlySpan<float> answerAttention, int tokens, Span<float> mass)
    {
        int layers = answerAttention.Length / tokens;
        Range body = AttentionScores.Body(tokens);
        float[] mean = new float[tokens];
        float[] row = new float[tokens];
        for (int layer = 0; layer < layers; layer++)
        {
            answerAttention.Slice(layer * tokens, tokens).CopyTo(row);
            AttentionScores.ClearSinks(row);
            ReadOnlySpan<float> bodyRow = row.AsSpan(body);
            float average = TensorPrimitives.Sum(bodyRow) / bodyRow.Length;
            TensorPrimitives.MultiplyAdd(row, 1 / ((average + 1e-12f) * layers), mean, mean);
        }

        Pooling.Mean(mean, mass, PoolWidth);
    }
}

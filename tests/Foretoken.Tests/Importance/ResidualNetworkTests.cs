using Foretoken.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Importance;

public sealed class ResidualNetworkTests
{
    private const int Width = 5;
    private const int Hidden = 3;

    [Fact]
    public void Importance_is_the_formula_of_its_documentation()
    {
        Random random = new(1);
        float[] weights = [.. Enumerable.Range(0, Count).Select(_ => (float)(random.NextDouble() - 0.5))];
        float[] residual = [.. Enumerable.Range(0, 4 * Width).Select(_ => (float)(10 * random.NextDouble()))];
        float[] importance = new float[4];
        ResidualNetwork predictor = new(Width, Hidden, weights);
        predictor.Evaluate(residual, importance);
        for (int token = 0; token < 4; token++)
        {
            Assert.Equal(Expected(weights, residual[(token * Width)..((token + 1) * Width)]), importance[token], 1e-5);
        }

        Assert.True(predictor.Weights.Span.SequenceEqual(weights));
        weights[0] = 100;
        Assert.NotEqual(100, predictor.Weights.Span[0]);
    }

    [Fact]
    public void The_number_of_weights_tells_the_width_of_the_hidden_layer()
    {
        Assert.Equal(Hidden, ResidualNetwork.FromWeights(Width, new float[Count]).HiddenSize);
        foreach (int count in (int[])[0, Width, Count - 1, Count + 1, ResidualNetwork.WeightCount(Width, 1) - 1])
        {
            Assert.Throws<ArgumentException>(() => ResidualNetwork.FromWeights(Width, new float[count]));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => ResidualNetwork.FromWeights(0, new float[Count]));
    }

    [Fact]
    public void Wrong_sizes_and_numbers_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => ResidualNetwork.WeightCount(0, 1));
        Assert.Throws<ArgumentException>(() => new ResidualNetwork(Width, Hidden, new float[Count - 1]));
        Assert.Throws<ArgumentException>(() =>
            new ResidualNetwork(Width, Hidden, [float.NaN, .. new float[Count - 1]])
        );
        ResidualNetwork predictor = new(Width, Hidden, new float[Count]);
        Assert.Throws<ArgumentException>(() => predictor.Evaluate(new float[Width], new float[2]));
    }

    private static int Count => ResidualNetwork.WeightCount(Width, Hidden);

    private static double Expected(float[] weights, float[] residual)
    {
        double mean = residual.Average();
        double deviation = Math.Sqrt(residual.Average(x => (x - mean) * (x - mean)) + 1e-5);
        double[] input =
        [
            .. Enumerable
                .Range(0, Width)
                .Select(i => (weights[i] * (residual[i] - mean) / deviation) + weights[Width + i]),
        ];
        int first = 2 * Width;
        int bias = first + (Hidden * Width);
        double sum = weights[^1];
        for (int i = 0; i < Hidden; i++)
        {
            double z = weights[bias + i] + input.Select((x, j) => x * weights[first + (i * Width) + j]).Sum();
            sum += weights[bias + Hidden + i] * z / (1 + Math.Exp(-1.702 * z));
        }

        return sum;
    }
}

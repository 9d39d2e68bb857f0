using Foretoken.Importance;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

public sealed class NetworkSamplesTests
{
    private const int Tokens = 300;
    private const int Heads = 2;
    private const int Width = 16;

    private static readonly NetworkTrainerOptions Options = new()
    {
        HiddenSize = 24,
        Epochs = 30,
        BatchSize = 64,
        LearningRate = 0.01,
        Threads = 1,
    };

    // what the answer attends to is in parts: one is seen in the attention, the other in the residual stream
    private static readonly TuningExample[] Learned = [.. Enumerable.Range(1, 8).Select(seed => Example(seed))];
    private static readonly TuningExample Judge = Example(seed: 99);

    [Fact]
    public void A_network_finds_in_the_residual_stream_what_no_weighted_sum_does()
    {
        ImportancePredictor linear = Linear(PredictorInputs.Residual, [1]);
        ImportancePredictor network = Empty with { Network = Train(null) };

        Assert.InRange(Correlation(linear), -0.2, 0.2);
        Assert.True(Correlation(network) > 0.4, $"{Correlation(network)}");
    }

    [Fact]
    public void Beside_the_attention_a_network_learns_what_that_leaves_over()
    {
        ImportancePredictor attention = Linear(PredictorInputs.Attention, []);
        ImportancePredictor together = attention with { Network = Train(attention) };
        ImportancePredictor alone = Empty with { Network = Train(null) };

        Assert.True(Correlation(attention) > 0.5, $"{Correlation(attention)}");
        Assert.True(Correlation(together) > Correlation(attention) + 0.1, $"{Correlation(together)}");
        Assert.True(Correlation(together) > Correlation(alone) + 0.1, $"{Correlation(alone)}");
    }

    [Fact]
    public void Weighted_sum_and_network_add_up()
    {
        ImportancePredictor attention = Linear(PredictorInputs.Attention, []);
        ResidualNetwork network = Train(attention);
        float[] expected = new float[Tokens];
        network.Evaluate(Judge.Residuals[1], expected);
        float[] sum = Importance(attention);
        float[] both = Importance(attention with { Network = network });
        float mean = expected[AttentionScores.Body(Tokens)].Average();
        for (int i = 0; i < Tokens; i++)
        {
            Assert.Equal(sum[i] + expected[i] - mean, both[i], 1e-4f);
        }
    }

    [Fact]
    public void Tokens_are_drawn_as_often_as_they_count()
    {
        double[] weights = [0.25, 2, 0, 1, 0.5, 2.25];
        int[] drawn = NetworkSamples.Draw(weights, 6);
        Assert.Equal(drawn.Order(), drawn);
        for (int i = 0; i < weights.Length; i++)
        {
            Assert.InRange(drawn.Count(token => token == i), Math.Floor(weights[i]), Math.Ceiling(weights[i]));
        }

        // fewer where the memory ends
        Assert.Equal([1, 5], NetworkSamples.Draw(weights, 2));
        Assert.Empty(NetworkSamples.Draw([], 0));
    }

    private static ImportancePredictor Empty => new(1, default, default, null, double.NaN);

    private static ImportancePredictor Linear(PredictorInputs inputs, int[] residualBoundaries)
    {
        ImportanceFit fit = new(Heads, [1], residualBoundaries, inputs, Width);
        foreach (TuningExample example in Learned)
        {
            fit.Add(example);
        }

        ImportanceWeights weights = fit.Solve(1);
        return Empty with { AttentionWeights = weights.Attention, ResidualWeights = weights.Residual };
    }

    private static ResidualNetwork Train(ImportancePredictor? linear)
    {
        NetworkSamples samples = new([1], Width, Learned.Length);
        foreach (TuningExample example in Learned)
        {
            samples.Add(example);
        }

        return samples.Train(1, linear, Options, progress: null, CancellationToken.None);
    }

    private static float[] Importance(ImportancePredictor predictor) =>
        Judge.ComputeImportance(new LearnedImportance([predictor]), boundary: 1);

    private static double Correlation(ImportancePredictor predictor)
    {
        float[] target = new float[Tokens];
        ImportanceTarget.Compute(Judge.AnswerAttention, Tokens, target);
        Range body = AttentionScores.Body(Tokens);
        float[] x = Importance(predictor)[body];
        float[] y = target[body];
        double mx = x.Average();
        double my = y.Average();
        return x.Zip(y, (a, b) => (a - mx) * (b - my)).Sum()
            / Math.Sqrt(x.Sum(a => (a - mx) * (a - mx)) * y.Sum(b => (b - my) * (b - my)));
    }

    private static TuningExample Example(int seed)
    {
        Random random = new(seed);
        double[] seen = Smooth(random);
        double[] hidden = Smooth(random);
        float[] residual = new float[Tokens * Width];
        for (int i = 0; i < Tokens; i++)
        {
            // the product of two numbers whose signs are chance
            double sign = random.Next(2) == 0 ? -1 : 1;
            for (int j = 0; j < Width; j++)
            {
                residual[(i * Width) + j] = (float)(
                    j == 0 ? 2 * sign
                    : j == 1 ? 2 * sign * hidden[i]
                    : (2 * random.NextDouble()) - 1
                );
            }
        }

        return new TuningExample
        {
            Prompt = $"{seed}",
            TokenCount = Tokens,
            HeadCount = Heads,
            Attention =
            [
                .. Enumerable
                    .Range(0, AttentionFeatures.SourceCount * Heads)
                    .SelectMany(_ => seen.Select(value => (float)(0.01 * Math.Exp(value)))),
            ],
            FirstAnswerLayer = 1,
            AnswerAttention = [.. seen.Zip(hidden, (a, b) => (float)(0.01 * Math.Exp(a + b)))],
            Residuals = new Dictionary<int, float[]> { [1] = residual },
        };
    }

    /// <summary>Numbers of mean 0 and variance 1, alike over some 20 neighbours, so that pooling leaves them what they are.</summary>
    private static double[] Smooth(Random random)
    {
        double[] raw = [.. Enumerable.Range(0, Tokens + 20).Select(_ => random.NextDouble())];
        double[] smooth = [.. Enumerable.Range(0, Tokens).Select(i => raw[i..(i + 20)].Average())];
        double mean = smooth.Average();
        double deviation = Math.Sqrt(smooth.Average(value => (value - mean) * (value - mean)));
        return [.. smooth.Select(value => (value - mean) / deviation)];
    }
}

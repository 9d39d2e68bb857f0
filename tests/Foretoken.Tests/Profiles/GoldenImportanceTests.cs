using Foretoken.Importance;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Profiles;

/// <summary>Against values of the numpy reference behind the project's quality figures.</summary>
public class GoldenImportanceTests
{
    private static readonly GoldenImportance Values = GoldenImportance.Values;

    [Fact]
    public void Features_are_those_of_the_reference()
    {
        // [token][((layer * sources + source) * pools + pool) * heads + head]
        float[][][][] attention = Values.Attention[0];
        float[] features = new float[AttentionFeatures.PoolCount * Values.Tokens];
        int compared = 0;
        for (int layer = 0; layer < Values.Layers; layer++)
        {
            for (int source = 0; source < AttentionFeatures.SourceCount; source++)
            {
                for (int head = 0; head < Values.Heads; head++)
                {
                    AttentionFeatures.Compute(attention[layer][source][head], features);
                    for (int i = 0; i < features.Length; i++)
                    {
                        (int pool, int token) = Math.DivRem(i, Values.Tokens);
                        int row =
                            (((layer * AttentionFeatures.SourceCount) + source) * AttentionFeatures.PoolCount) + pool;
                        Assert.Equal(Values.Features0[token][(row * Values.Heads) + head], features[i], 1e-4);
                        compared++;
                    }
                }
            }
        }

        Assert.Equal(Values.Tokens * Values.Features0[0].Length, compared);
    }

    [Fact]
    public void The_target_is_that_of_the_reference()
    {
        float[] target = new float[Values.Tokens];
        ImportanceTarget.Compute(Values.Example(0).AnswerAttention, Values.Tokens, target);
        Assert.All(Values.Target0.Zip(target), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
    }

    [Fact]
    public void The_fit_gives_the_weights_of_the_reference()
    {
        ImportanceFit fit = new(Values.Heads, [1, Values.Layers], isWeighted: false);
        for (int prompt = 0; prompt < Values.Attention.Length; prompt++)
        {
            fit.Add(Values.Example(prompt));
        }

        float[] weights = fit.Solve(Values.Layers, ridge: 3).Attention;
        Assert.Equal(Values.Weights.Length, weights.Length);
        Assert.All(Values.Weights.Zip(weights), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
        Assert.Equal(weights.Length / Values.Layers, fit.Solve(1).Attention.Length);
    }

    [Fact]
    public void Importance_is_that_of_the_reference_but_for_its_mean()
    {
        float[] importance = new float[Values.Tokens];
        Learned().ComputeImportance(Values.Probes(0, 0, Values.Layers), importance);
        double mean = Values.Importance0[4..^32].Average();
        Assert.All(Values.Importance0.Zip(importance), pair => Assert.Equal(pair.First - mean, pair.Second, 1e-3));
    }

    [Fact]
    public void Importance_is_the_same_when_an_earlier_boundary_keeps_all()
    {
        float[] whole = new float[Values.Tokens];
        Learned().ComputeImportance(Values.Probes(0, 0, Values.Layers), whole);

        TokenMemory memory = new();
        float[] importance = new float[Values.Tokens];
        int[] later = [Values.Layers];
        ImportancePredictor low = new(1, new float[Values.Weights.Length / Values.Layers], default, null, double.NaN);
        LearnedImportance learned = new([low, .. Learned().Predictors]);
        learned.ComputeImportance(Values.Probes(0, 0, 1, later, memory), importance);
        learned.ComputeImportance(Values.Probes(0, 1, Values.Layers, [], memory), importance);
        Assert.All(whole.Zip(importance), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
    }

    [Fact]
    public void Selection_is_that_of_the_reference()
    {
        float[] importance = [.. Values.Importance0.Select(x => (float)x)];
        Assert.Equal(Values.Keep0, TokenSelector.Select(importance, [], retention: 0.5));
        Assert.Equal(Values.Keep0, ReferenceImportance.Keep(Values.Importance0, new bool[importance.Length], 0.5));
    }

    private static LearnedImportance Learned() =>
        new([
            new ImportancePredictor(
                Values.Layers,
                Values.Weights.Select(weight => (float)weight).ToArray(),
                ReadOnlyMemory<float>.Empty,
                Threshold: null,
                double.NaN
            ),
        ]);
}

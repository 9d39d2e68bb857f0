using Foretoken.Plans;
using Foretoken.Skips;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Skips;

namespace Foretoken.Tests.Tuning;

public class LogisticRouterFitTests
{
    private static readonly SkipRouting One = new(2, 1, LayerPart.Block);

    [Fact]
    public void The_dual_is_at_the_optimum_label_minus_probability()
    {
        double[][] products =
        [
            [2, 0.5, -1],
            [0.5, 1, 0],
            [-1, 0, 3],
        ];
        bool[] keep = [true, false, true];
        const double Strength = 1.5;
        double[] dual = LogisticRouterFit.Solve(products, [0, 1, 2], keep, Strength);

        for (int i = 0; i < 3; i++)
        {
            double logit = 0;
            for (int j = 0; j < 3; j++)
            {
                logit += ((Strength * Strength * products[i][j]) + 9) * dual[j];
            }

            Assert.Equal((keep[i] ? 1 : 0) - (1 / (1 + Math.Exp(-logit))), dual[i], 6);
        }
    }

    [Fact]
    public void Where_all_labels_agree_the_logits_stay_finite_and_take_their_side()
    {
        double[] dual = LogisticRouterFit.Solve(
            [
                [1, 1],
                [1, 1],
            ],
            [0, 1],
            [false, false],
            8
        );

        Assert.All(dual, value => Assert.InRange(value, -1, 0));
        Assert.True(dual.Sum() < 0);
    }

    [Fact]
    public void Where_prompts_of_two_kinds_need_different_layers_each_kind_gets_its_own()
    {
        (List<float[]> features, List<double[]> costs) = TwoKinds(12);
        SkipRouter router = LogisticRouterFit.Fit(One, [5, 9], [9], features, costs);

        for (int i = 0; i < features.Count; i++)
        {
            LayerSkip chosen = Assert.Single(LayerRouters.Choose(router, features[i], 1));
            Assert.Equal(i % 2 == 0 ? 5 : 9, chosen.Layer);
        }

        // prompts that it did not see
        Assert.Equal(5, LayerRouters.Choose(router, [3, 0.2f, -0.3f], 1)[0].Layer);
        Assert.Equal(9, LayerRouters.Choose(router, [1, -0.2f, 0.3f], 1)[0].Layer);
    }

    [Fact]
    public void Where_the_prompt_says_nothing_every_prompt_gets_what_is_best_for_all()
    {
        Random random = new(1);
        List<float[]> features = [];
        List<double[]> costs = [];
        for (int i = 0; i < 16; i++)
        {
            features.Add([(float)random.NextDouble(), (float)random.NextDouble(), (float)random.NextDouble()]);
            // layer 9 is the cheapest of three in four prompts, by no rule
            costs.Add(random.Next(4) > 0 ? [0.3, 0.1, 0.4] : [0.1, 0.3, 0.4]);
        }

        SkipRouter router = LogisticRouterFit.Fit(One, [5, 9, 11], [9, 5], features, costs);

        Assert.True(router.Weights.IsEmpty);
        Assert.All(features, prompt => Assert.Equal(9, LayerRouters.Choose(router, prompt, 1)[0].Layer));
    }

    [Fact]
    public void The_same_examples_give_the_same_weights()
    {
        (List<float[]> features, List<double[]> costs) = TwoKinds(10);
        SkipRouter first = LogisticRouterFit.Fit(One, [5, 9], [9], features, costs);
        SkipRouter second = LogisticRouterFit.Fit(One, [5, 9], [9], features, costs);

        Assert.Equal(first.Weights.ToArray(), second.Weights.ToArray());
        Assert.Equal(first.Biases.ToArray(), second.Biases.ToArray());
    }

    [Fact]
    public void Labels_say_skip_for_the_cheapest_and_of_equal_ones_for_the_lower()
    {
        Assert.Equal([true, false, false, true], LogisticRouterFit.KeepLabels([0.3, 0.1, 0.2, 0.2], 2));
        Assert.Equal([true, true], LogisticRouterFit.KeepLabels([0.3, 0.1], 0));
    }

    /// <summary>Prompts that differ in their first feature; the even ones can do without layer 5, the odd ones without layer 9.</summary>
    private static (List<float[]> Features, List<double[]> Costs) TwoKinds(int count)
    {
        Random random = new(7);
        List<float[]> features = [];
        List<double[]> costs = [];
        for (int i = 0; i < count; i++)
        {
            float noise() => (float)(random.NextDouble() - 0.5);
            features.Add([(i % 2 == 0 ? 3 : 1) + (0.1f * noise()), noise(), noise()]);
            costs.Add(i % 2 == 0 ? [0.1, 0.4] : [0.4, 0.1]);
        }

        return (features, costs);
    }
}

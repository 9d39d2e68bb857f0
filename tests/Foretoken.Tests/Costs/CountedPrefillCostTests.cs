using Foretoken.Costs;
using Foretoken.Plans;
using Foretoken.Tests.Planning;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Costs;

public class CountedPrefillCostTests
{
    private static readonly ModelShape Tiny = new()
    {
        LayerCount = 3,
        EmbeddingSize = 8,
        HeadCount = 2,
        KvHeadCount = 1,
        HeadSize = 4,
        FeedForwardSize = 16,
        VocabularySize = 32,
    };

    [Fact]
    public void The_cost_is_the_sum_over_tokens_and_pairs_counted_one_by_one()
    {
        CountedPrefillCost model = new(Tiny) { BoundaryOverhead = 1000 };
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(1, 0.5)]);
        const int New = 100;
        const int Past = 7;

        double expected = 1000 + (2.0 * 8 * 32);
        for (int layer = 0; layer < 3; layer++)
        {
            int tokens = layer < 1 ? New : 50;
            for (int t = 0; t < tokens; t++)
            {
                expected += 2 * ((8 * (8 + (2 * 4))) + (8 * 8));
                expected += layer < 2 || t == tokens - 1 ? 2 * 3 * 8 * 16 : 0;
                for (int key = 0; key <= Past + t; key++)
                {
                    expected += 4 * 8;
                }
            }
        }

        Assert.Equal(expected, model.Cost(plan, New, Past));
    }

    [Fact]
    public void What_is_skipped_costs_nothing()
    {
        CountedPrefillCost model = new(Tiny);
        Assert.Equal((100 * (384 + 768)) + (32 * 5050), Saved(new LayerSkip(1)));
        Assert.Equal((100 * 384) + (32 * 5050), Saved(new(1, LayerPart.Attention)));
        Assert.Equal(100 * 768, Saved(new(1, LayerPart.FeedForward)));
        // the last layer runs its feed-forward block for the token of the logits only
        Assert.Equal(768, Saved(new(2, LayerPart.FeedForward)));

        double Saved(LayerSkip skip) =>
            model.Cost(PrefillPlan.KeepAll, 100) - model.Cost(PrefillPlan.FromBoundaries([], skips: [skip]), 100);
    }

    [Fact]
    public void Keeping_all_is_a_speedup_of_exactly_one() =>
        Assert.Equal(1, new CountedPrefillCost(Shapes.Llama1B).Speedup(PrefillPlan.KeepAll, 2048));

    [Fact]
    public void Three_of_sixteen_layers_in_full_and_a_quarter_above_is_more_than_twice_as_fast()
    {
        // token-layers alone give 2.56; the quadratic term adds to it
        CountedPrefillCost model = new(Shapes.Llama1B);
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(3, 0.25)]);
        Assert.InRange(model.Speedup(plan, 2048), 2.5, 3.0);
        Assert.True(model.Speedup(plan, 8192) > model.Speedup(plan, 2048));
    }

    [Fact]
    public void Dearer_attention_makes_thinning_pay_more()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(3, 0.25)]);
        double light = new CountedPrefillCost(Shapes.Llama1B).Speedup(plan, 2048);
        double heavy = new CountedPrefillCost(Shapes.Llama1B) { AttentionWeight = 4 }.Speedup(plan, 2048);
        Assert.True(heavy > light);
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new CountedPrefillCost(Shapes.Llama1B) { AttentionWeight = 0 }
        );
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new CountedPrefillCost(Shapes.Llama1B) { BoundaryOverhead = double.NaN }
        );
    }

    [Fact]
    public void A_plan_for_another_model_is_refused() =>
        Assert.Throws<ArgumentException>(() =>
            new CountedPrefillCost(Tiny).Cost(PrefillPlan.FromBoundaries([new(3, 0.5)]), 10)
        );
}

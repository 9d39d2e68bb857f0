using Foretoken.Costs;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Planning;

public sealed class PrefillOnlyPlanningTests
{
    private static readonly PrefillPlan From20 = PrefillPlan.FromBoundaries([], prefillOnlyFrom: 20);

    [Fact]
    public void A_plan_names_the_layer_and_is_equal_to_no_other()
    {
        Assert.Equal(20, From20.PrefillOnlyFrom);
        Assert.False(From20.IsKeepAll);
        Assert.Equal("prefill-only from layer 20", From20.ToString());
        Assert.Equal(From20, PrefillPlan.FromBoundaries([], prefillOnlyFrom: 20));
        Assert.NotEqual(From20, PrefillPlan.FromBoundaries([], prefillOnlyFrom: 21));
        Assert.NotEqual(From20, PrefillPlan.KeepAll);
        PrefillPlan both = PrefillPlan.FromBoundaries([new(4, 0.5)], skips: [new(25)], prefillOnlyFrom: 20);
        Assert.Equal("layer 4: 50.0 %, prefill-only from layer 20, without block 25", both.ToString());
        Assert.Equal(20, both.WithSkips([new(26)]).PrefillOnlyFrom);
        Assert.Equal([1000, 500], both.TokensPerStage(1000));
    }

    [Fact]
    public void What_does_not_go_together_is_refused()
    {
        Assert.Contains(
            "boundaries up to 20",
            Assert
                .Throws<ArgumentException>(() =>
                    PrefillPlan.FromBoundaries([new(4, 0.5), new(21, 0.25)], prefillOnlyFrom: 20)
                )
                .Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "in front of layer 20",
            Assert
                .Throws<ArgumentException>(() =>
                    PrefillPlan.FromBoundaries(
                        [],
                        routing: new SkipRouting(21, 2, LayerPart.Block),
                        prefillOnlyFrom: 20
                    )
                )
                .Message,
            StringComparison.Ordinal
        );
        Assert.Throws<ArgumentOutOfRangeException>(() => PrefillPlan.FromBoundaries([], prefillOnlyFrom: 0));
        Assert.Throws<ArgumentException>(() => From20.EnsureFits(20));
        From20.EnsureFits(21);
        // where they meet, tokens leave first
        Assert.Equal(20, PrefillPlan.FromBoundaries([new(20, 0.5)], prefillOnlyFrom: 20).PrefillOnlyFrom);
    }

    [Fact]
    public void Counted_are_the_projections_of_keys_and_values_and_the_last_token()
    {
        CountedPrefillCost cost = new(Shapes.Tiny) { BoundaryOverhead = 1000 };
        const double Projections = 2 * ((8 * (8 + (2 * 4))) + (8 * 8));
        const double KeysAndValues = 2 * 2 * 8 * 4;
        const double FeedForward = 2 * 3 * 8 * 16;
        const double Pair = 4 * 8;
        const double Logits = 2 * 8 * 100;

        double first = (100 * (Projections + FeedForward)) + (Pair * ((100 * 20) + (100 * 101 / 2)));
        double alone = Projections + FeedForward + (Pair * 120);
        Assert.Equal(
            Logits + 1000 + first + (3 * 99 * KeysAndValues) + (3 * alone),
            cost.Cost(PrefillPlan.FromBoundaries([], prefillOnlyFrom: 1), 100, 20)
        );
        // a block that is skipped writes nothing, nor does one without attention
        Assert.Equal(
            Logits + 1000 + first + (99 * KeysAndValues) + alone + FeedForward,
            cost.Cost(
                PrefillPlan.FromBoundaries([], skips: [new(1), new(2, LayerPart.Attention)], prefillOnlyFrom: 1),
                100,
                20
            )
        );
        // 50 of the tokens come to the last two layers
        double second = (50 * (Projections + FeedForward)) + (Pair * ((50 * 20) + (50 * 51 / 2)));
        Assert.Equal(
            Logits + 2000 + first + second + (2 * 49 * KeysAndValues) + (2 * (Projections + FeedForward + (Pair * 70))),
            cost.Cost(PrefillPlan.FromBoundaries([new(1, 0.5)], prefillOnlyFrom: 2), 100, 20)
        );
    }

    [Theory]
    [InlineData(30)]
    [InlineData(12)]
    public void By_measured_prices_keys_and_values_cost_their_share_of_a_layer(int firstDeviceLayer)
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 1, firstDeviceLayer);
        PrefillLayout layout = machine.Layout;
        double[] terms = new double[CostTerm.Count];
        PrefillWork.CountPrefill(layout, [], [], null, 20, 1000, 100, 0, default, terms);

        double share = layout.KeyValueShare;
        Assert.Equal(new CountedPrefillCost(Shapes.SmolLM2).KeyValueShare, share);
        Assert.InRange(share, 0.05, 0.1);
        double chunks = Math.Ceiling(1000.0 / layout.UBatchSize);
        Assert.Equal((2 * chunks) + 1, terms[CostTerm.Chunk]);
        Assert.Equal((20 * 1000) + (10 * ((share * 999) + 1)), Sum(CostTerm.TokenLayer), 6);
        Assert.Equal((20 * chunks) + (10 * ((share * chunks) + 1)), Sum(CostTerm.Layer), 6);
        Assert.Equal(10 * 1099, Sum(CostTerm.PastPair) - (20 * PastPairs()), 6);

        MeasuredPrefillCost cost = machine.Truth;
        double all = cost.Cost(PrefillPlan.KeepAll, 1000, 100);
        double later = all;
        for (int layer = 29; layer >= 1; layer--)
        {
            double sooner = cost.Cost(PrefillPlan.FromBoundaries([], prefillOnlyFrom: layer), 1000, 100);
            // in the last layer there is little to save
            Assert.True(layer == 29 || sooner < later);
            later = sooner;
        }
        Assert.InRange(later, all * share, 0.3 * all);

        double Sum(int term) => terms[CostTerm.Host + term] + terms[CostTerm.Device + term];

        double PastPairs()
        {
            double pairs = 0;
            for (int begin = 0; begin < 1000; begin += layout.UBatchSize)
            {
                pairs += Math.Min(layout.UBatchSize, 1000 - begin) * (100.0 + begin);
            }
            return pairs;
        }
    }

    [Fact]
    public void An_estimate_says_what_it_saves_and_that_output_tokens_cost_the_same()
    {
        PrefillPlanner planner = new(Shapes.SmolLM2);
        PlannedPrefill planned = planner.Estimate(From20, 1024);
        Assert.Equal(1 - (1 / planned.PromisedSpeedup), planned.PrefillOnlySaving!.Value, 9);
        Assert.InRange(planned.PrefillOnlySaving.Value, 0.2, 1.0 / 3);
        Assert.Equal(1, planned.PromisedDecodeSpeedup);
        Assert.Null(planned.ExpectedLoss);
        Assert.Contains("only write keys and values", planned.Reason, StringComparison.Ordinal);
        Assert.Null(planner.Estimate(PrefillPlan.KeepAll, 1024).PrefillOnlySaving);
        Assert.Null(
            planner.Estimate(PrefillPlan.FromBoundaries([new(4, 0.5)], skips: [new(25)]), 1024).PrefillOnlySaving
        );
    }
}

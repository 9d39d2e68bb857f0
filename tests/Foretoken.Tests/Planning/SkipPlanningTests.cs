using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Skips;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Planning;

/// <summary>Leaving out tokens and skipping layers come out of one budget.</summary>
public class SkipPlanningTests
{
    // on 30 layers: one boundary in front of layer 6
    private static readonly PrefillSchedule Early = new(
        [0.2],
        [
            [0.5],
            [0.1],
        ],
        [0.1, 0.4]
    );

    private static readonly LayerSkip[] Two = [new(20), new(25)];

    private static PrefillPlanner Planner(params SkipOption[] skips) =>
        new(Shapes.SmolLM2, new PrefillPlannerOptions { Schedules = [Early], Skips = skips });

    private static PlanRequest Request(double? target = null, double? decode = null, int newTokens = 1024) =>
        new()
        {
            TargetSpeedup = target,
            TargetDecodeSpeedup = decode,
            NewTokens = newTokens,
        };

    [Fact]
    public void Skips_are_refused_where_leaving_out_tokens_loses_less()
    {
        PlannedPrefill planned = Planner(new SkipOption(Two, 0.3)).Plan(Request(1.5));

        Assert.Empty(planned.Plan.Skips);
        Assert.Equal(Planner().Plan(Request(1.5)).Plan, planned.Plan);
        Assert.Equal(Planner().Plan(Request(1.5)).ExpectedLoss, planned.ExpectedLoss);
    }

    [Fact]
    public void Skips_are_taken_alone_where_they_reach_the_target_and_lose_least()
    {
        PlannedPrefill planned = Planner(new SkipOption(Two, 0.001)).Plan(Request(1.05));

        Assert.Empty(planned.Plan.Boundaries);
        Assert.Equal(Two, planned.Plan.Skips);
        Assert.Equal(0.001, planned.ExpectedLoss);
        Assert.True(planned.PromisedSpeedup >= 1.05);
        Assert.Contains("without blocks 20, 25", planned.Reason, StringComparison.Ordinal);
        Assert.Contains("of every output token", planned.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Together_they_are_expected_to_lose_the_sum()
    {
        PrefillPlanner planner = Planner(new SkipOption(Two, 0.001));
        PlannedPrefill planned = planner.Plan(Request(1.5));

        Assert.Equal(Two, planned.Plan.Skips);
        PlanBoundary boundary = Assert.Single(planned.Plan.Boundaries);
        // the loss falls linearly from 0 at everything to 0.1 at half
        Assert.Equal(0.001 + (0.1 * (1 - boundary.Retention) / 0.5), planned.ExpectedLoss!.Value, 6);
        Assert.Equal(planner.CostModel.Speedup(planned.Plan, 1024), planned.PromisedSpeedup);
        Assert.InRange(planned.PromisedSpeedup, 1.5, 1.52);
        // what is skipped need not be saved by leaving out tokens
        Assert.True(planned.ExpectedLoss < Planner().Plan(Request(1.5)).ExpectedLoss);
    }

    [Fact]
    public void Output_tokens_are_shortened_by_the_cheapest_option_that_is_enough()
    {
        PrefillPlanner planner = Planner(
            new SkipOption([new LayerSkip(25)], 0.05),
            new SkipOption(Two, 0.1),
            new SkipOption([.. Two, new(26), new(14)], 0.4)
        );
        double one = planner.DecodeCost.Speedup(PrefillPlan.FromBoundaries([], skips: [new(25)]), 1024);
        PlannedPrefill planned = planner.Plan(Request(decode: one * 1.01));

        // one block and a gentle cut, which lose less than two blocks
        Assert.Equal([new LayerSkip(25)], planned.Plan.Skips);
        Assert.Single(planned.Plan.Boundaries);
        Assert.InRange(planned.ExpectedLoss!.Value, 0.05, 0.1);
        Assert.Equal(planner.DecodeCost.Speedup(planned.Plan, 1024), planned.PromisedDecodeSpeedup);
        Assert.True(planned.PromisedDecodeSpeedup >= one * 1.01);
        Assert.Equal(one * 1.01, planned.TargetDecodeSpeedup);

        // exactly what one option gives needs no more than that
        Assert.Equal([new LayerSkip(25)], planner.Plan(Request(decode: one)).Plan.Skips);
    }

    [Fact]
    public void Both_targets_are_met_together()
    {
        PrefillPlanner planner = Planner(new SkipOption([new LayerSkip(25)], 0.05), new SkipOption(Two, 0.1));
        PlannedPrefill planned = planner.Plan(Request(2, 1.1));

        Assert.True(planned.PromisedSpeedup >= 2);
        Assert.True(planned.PromisedDecodeSpeedup >= 1.1);
        Assert.True(planned.IsTargetReached);
    }

    [Fact]
    public void A_speedup_of_output_tokens_out_of_reach_is_as_large_as_possible_beside_that_of_the_first()
    {
        PrefillPlanner planner = Planner(new SkipOption(Two, 0.1));
        PlannedPrefill planned = planner.Plan(Request(1.5, 5));

        Assert.Equal(Two, planned.Plan.Skips);
        Assert.True(planned.PromisedSpeedup >= 1.5);
        Assert.Contains("5 per output token is out of reach", planned.Reason, StringComparison.Ordinal);
        PlanUnreachableException e = Assert.Throws<PlanUnreachableException>(() =>
            planner.Plan(Request(1.5, 5) with { IsStrict = true })
        );
        Assert.True(e.IsDecode);
        Assert.Equal(planned.PromisedDecodeSpeedup, e.ReachableSpeedup, 9);
        Assert.Throws<ArgumentOutOfRangeException>(() => planner.Plan(Request(decode: 0.9)));
        Assert.Throws<ArgumentOutOfRangeException>(() => planner.Plan(Request(decode: double.NaN)));
    }

    [Fact]
    public void Without_anything_to_skip_output_tokens_are_shortened_by_leaving_out_tokens()
    {
        PrefillPlanner planner = Planner();
        PlannedPrefill planned = planner.Plan(Request(decode: 1.02, newTokens: 4096));

        Assert.Single(planned.Plan.Boundaries);
        Assert.True(planned.PromisedDecodeSpeedup >= 1.02);
    }

    [Fact]
    public void A_routed_option_is_planned_as_such_and_costs_the_reading_of_its_routers()
    {
        SkipRouting routing = new(10, 2, LayerPart.Block);
        PrefillPlanner planner = Planner(new SkipOption(routing, [12, 20, 25, 26], 0.001));
        PlannedPrefill planned = planner.Plan(Request(1.5));

        Assert.Equal(routing, planned.Plan.Routing);
        Assert.Empty(planned.Plan.Skips);
        Assert.Contains("chosen by the prompt", planned.Reason, StringComparison.Ordinal);
        PrefillPlan routed = PrefillPlan.FromBoundaries([], routing: routing);
        PrefillPlan fixedOnes = PrefillPlan.FromBoundaries([], skips: Two);
        CountedPrefillCost counted = new(Shapes.SmolLM2);
        Assert.Equal(counted.Cost(fixedOnes, 1024) + counted.BoundaryOverhead, counted.Cost(routed, 1024));
        SyntheticMachine machine = new(Shapes.SmolLM2, 1);
        // two chunks more, because the stage is interrupted, and one choice
        Assert.Equal(
            machine.Truth.Cost(fixedOnes, 1024)
                + (2 * machine.Prices[CostTerm.Chunk])
                + machine.Prices[CostTerm.Boundary],
            machine.Truth.Cost(routed, 1024),
            12
        );
    }

    [Fact]
    public void Layers_below_a_boundary_are_not_skipped_because_its_importance_reads_them()
    {
        // the boundary is in front of layer 6
        PlannedPrefill planned = Planner(new SkipOption([new LayerSkip(5)], 0)).Plan(Request(1.5));
        Assert.Empty(planned.Plan.Skips);

        planned = Planner(new SkipOption([new LayerSkip(6)], 0)).Plan(Request(1.5));
        Assert.Equal([new LayerSkip(6)], planned.Plan.Skips);
    }

    [Fact]
    public void A_prompt_too_short_to_be_thinned_may_still_be_answered_with_fewer_layers()
    {
        PrefillPlanner planner = Planner(new SkipOption(Two, 0.1));

        Assert.True(planner.Plan(Request(1.5, newTokens: 100)).Plan.IsKeepAll);
        Assert.Equal(Two, planner.Plan(Request(1, 1.05, newTokens: 100)).Plan.Skips);
        Assert.True(Planner().Plan(Request(1, 1.05, newTokens: 100)).Plan.IsKeepAll);
    }

    [Fact]
    public void A_quality_budget_counts_what_skips_lose()
    {
        PrefillPlanner planner = Planner(new SkipOption(Two, 0.2));

        Assert.Empty(planner.Plan(Request(2.9) with { MaxQualityLoss = 0.15 }).Plan.Skips);
        PlannedPrefill within = planner.Plan(Request(null, 1.05) with { MaxQualityLoss = 0.25 });
        Assert.Equal(Two, within.Plan.Skips);
        Assert.InRange(within.ExpectedLoss!.Value, 0.2, 0.25);
        // as fast as that leaves room for
        Assert.Single(within.Plan.Boundaries);
    }

    [Fact]
    public void A_larger_target_never_costs_more_and_never_expects_to_lose_less()
    {
        Random random = new(5);
        for (int trial = 0; trial < 40; trial++)
        {
            PrefillPlanner planner = Planner([
                .. Enumerable
                    .Range(1, 5)
                    .Select(count => new SkipOption(
                        [.. Enumerable.Range(8, count).Select(layer => new LayerSkip(layer + random.Next(3) * 6))],
                        0.2 * random.NextDouble() * count
                    )),
            ]);
            int tokens = random.Next(300, 3000);
            PlannedPrefill? before = null;
            for (double target = 1.01; target < 4; target *= 1.05)
            {
                PlannedPrefill planned = planner.Plan(Request(target, newTokens: tokens));
                Assert.True(planned.PromisedSpeedup >= Math.Min(target, planned.ReachableSpeedup));
                if (before is not null)
                {
                    Assert.True(planned.ExpectedLoss >= before.ExpectedLoss);
                    Assert.True(
                        planner.CostModel.Cost(planned.Plan, tokens) <= planner.CostModel.Cost(before.Plan, tokens)
                    );
                }

                before = planned;
            }
        }
    }

    [Fact]
    public void Options_that_the_model_cannot_do_without_are_refused()
    {
        Assert.Throws<ArgumentException>(() => Planner(new SkipOption([new LayerSkip(29)], 0.1)));
        Assert.Throws<ArgumentException>(() => new SkipOption([], 0.1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SkipOption(Two, double.NaN));
        Assert.Throws<ArgumentException>(() => new SkipOption(new SkipRouting(10, 3, LayerPart.Block), [12, 13], 0.1));
        Assert.Throws<ArgumentException>(() => new SkipOption(new SkipRouting(10, 1, LayerPart.Block), [9, 13], 0.1));
    }

    [Fact]
    public void An_output_token_reads_the_weights_of_what_is_computed_and_the_keys_and_values_that_are_there()
    {
        DecodeCost cost = new(Shapes.Tiny) { BytesPerWeight = 0.5, BytesPerKvNumber = 2 };
        const double Attention = 0.5 * ((8 * (8 + (2 * 4))) + (8 * 8));
        const double FeedForward = 0.5 * 3 * 8 * 16;
        const double Keys = 2 * 2 * 4;
        double all = (0.5 * 8 * 100) + (4 * (Attention + FeedForward + (Keys * 120)));

        Assert.Equal(all, cost.Cost(PrefillPlan.KeepAll, 100, 20));
        Assert.Equal(all - Attention - (Keys * 120), Cost([], [new(1, LayerPart.Attention)]));
        Assert.Equal(all - FeedForward, Cost([], [new(1, LayerPart.FeedForward)]));
        Assert.Equal(all - Attention - FeedForward - (Keys * 120), Cost([], [new(1)]));
        // 50 of 100 new tokens in two layers
        Assert.Equal(all - (2 * Keys * 50), Cost([new(2, 0.5)], []));
        Assert.Equal(all - (2 * Keys * 50) - FeedForward - Attention - (Keys * 70), Cost([new(2, 0.5)], [new(2)]));
        Assert.Equal(1, cost.Speedup(PrefillPlan.KeepAll, 100));

        double Cost(PlanBoundary[] boundaries, LayerSkip[] skips) =>
            cost.Cost(PrefillPlan.FromBoundaries(boundaries, skips: skips), 100, 20);
    }

    [Theory]
    [InlineData(30)]
    [InlineData(12)]
    public void By_measured_prices_the_sublayers_of_a_block_save_what_the_block_does(int firstDeviceLayer)
    {
        MeasuredPrefillCost cost = new SyntheticMachine(Shapes.SmolLM2, 1, firstDeviceLayer).Truth;
        double all = cost.Cost(PrefillPlan.KeepAll, 1500);

        double block = Saved(new(20));
        double attention = Saved(new(20, LayerPart.Attention));
        double feedForward = Saved(new(20, LayerPart.FeedForward));
        Assert.Equal(block, attention + feedForward, 9);
        Assert.InRange(attention / block, 0.2, 0.8);
        // the last layer computes it for one token only
        Assert.InRange(Saved(new(29, LayerPart.FeedForward)) / feedForward, 0, 0.3);

        double Saved(LayerSkip skip) => all - cost.Cost(PrefillPlan.FromBoundaries([], skips: [skip]), 1500);
    }
}

using Foretoken.Plans;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Plans;

public class PrefillPlanTests
{
    [Fact]
    public void Keep_all_runs_every_token_through_one_stage()
    {
        Assert.True(PrefillPlan.KeepAll.IsKeepAll);
        Assert.Equal([1000], PrefillPlan.KeepAll.TokensPerStage(1000));
        Assert.Equal("keep all", PrefillPlan.KeepAll.ToString());
    }

    [Fact]
    public void Retentions_are_shares_of_all_new_tokens()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(4, 0.5), new(8, 0.25), new(13, 0.12)]);
        Assert.Equal([1000, 500, 250, 120], plan.TokensPerStage(1000));
    }

    [Fact]
    public void No_stage_runs_fewer_tokens_than_are_always_kept()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(4, 0.5), new(8, 0.01)]);
        Assert.Equal([1000, 500, 36], plan.TokensPerStage(1000));
        Assert.Equal([1000, 600, 600], plan.TokensPerStage(1000, alwaysKept: 600));
        Assert.Equal([20, 20, 20], plan.TokensPerStage(20));
    }

    [Theory]
    [InlineData(0, 0.5)]
    [InlineData(-1, 0.5)]
    [InlineData(3, 0.0)]
    [InlineData(3, 1.1)]
    [InlineData(3, double.NaN)]
    public void A_boundary_out_of_range_is_refused(int layer, double retention) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => PrefillPlan.FromBoundaries([new(layer, retention)]));

    [Theory]
    [InlineData(0.6)]
    [InlineData(-0.1)]
    [InlineData(double.NaN)]
    public void A_least_retention_that_is_none_is_refused(double least) =>
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            PrefillPlan.FromBoundaries([new(3, 0.5) { MinRetention = least }])
        );

    [Fact]
    public void A_least_retention_bounds_what_a_stage_runs_and_is_the_retention_unless_given()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(4, 0.5) { MinRetention = 0.2 }, new(8, 0.1)]);
        Assert.Equal([1000, 500, 100], plan.TokensPerStage(1000));
        Assert.Equal([1000, 200, 100], plan.LeastTokensPerStage(1000));
        Assert.Equal("layer 4: 20.0 to 50.0 %, layer 8: 10.0 %", plan.ToString());

        Assert.Equal(new PlanBoundary(8, 0.1), new PlanBoundary(8, 0.1) { MinRetention = 0.1 });
        Assert.NotEqual(new PlanBoundary(8, 0.1), new PlanBoundary(8, 0.1) { MinRetention = 0.05 });
        Assert.False(PrefillPlan.FromBoundaries([new(4, 1) { MinRetention = 0.5 }]).IsKeepAll);
        Assert.Throws<ArgumentException>(() =>
            PrefillPlan.FromBoundaries([new(4, 0.5) { MinRetention = 0.2 }, new(8, 0.4)])
        );
    }

    [Fact]
    public void Boundaries_out_of_order_are_refused()
    {
        Assert.Throws<ArgumentException>(() => PrefillPlan.FromBoundaries([new(5, 0.5), new(5, 0.4)]));
        ArgumentException e = Assert.Throws<ArgumentException>(() =>
            PrefillPlan.FromBoundaries([new(5, 0.5), new(6, 0.6)])
        );
        Assert.Contains("layer 6", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_plan_for_a_deeper_model_is_refused_with_what_is_possible()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(16, 0.5)]);
        plan.EnsureFits(17);
        ArgumentException e = Assert.Throws<ArgumentException>(() => plan.EnsureFits(16));
        Assert.Contains("1 to 15", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plans_of_equal_content_are_equal()
    {
        PrefillPlan a = PrefillPlan.FromBoundaries([new(3, 0.25)], "recent-window", [new(7), new(5)]);
        PrefillPlan b = PrefillPlan.FromBoundaries([new(3, 0.25)], "recent-window", [new(5), new(7)]);
        Assert.Equal(a, b);
        Assert.Equal(a.GetHashCode(), b.GetHashCode());
        Assert.NotEqual(a, PrefillPlan.FromBoundaries([new(3, 0.25)]));
        Assert.Equal([new(5), new(7)], a.Skips);
        Assert.False(a.IsKeepAll);
    }

    [Fact]
    public void A_plan_says_what_it_does_without()
    {
        LayerSkip[] skips =
        [
            new(26, LayerPart.Attention),
            new(25),
            new(3, LayerPart.FeedForward),
            new(17, LayerPart.Attention),
            new(14),
        ];
        Assert.Equal(
            "without blocks 14, 25; attention of 17, 26; feed-forward of 3",
            PrefillPlan.FromBoundaries([], skips: skips).ToString()
        );
        Assert.Equal(
            "layer 5: 40.0 %, without block 14",
            PrefillPlan.FromBoundaries([new(5, 0.4)], skips: [new(14)]).ToString()
        );
        Assert.Equal(
            "without 2 attention sublayers from layer 8 on, chosen by the prompt",
            PrefillPlan.FromBoundaries([], routing: new(8, 2, LayerPart.Attention)).ToString()
        );
    }

    [Fact]
    public void A_layer_is_named_once()
    {
        Assert.Throws<ArgumentException>(() => PrefillPlan.FromBoundaries([], skips: [new(5), new(5)]));
        Assert.Throws<ArgumentException>(() =>
            PrefillPlan.FromBoundaries([], skips: [new(5, LayerPart.FeedForward), new(5, LayerPart.Attention)])
        );
    }

    [Fact]
    public void A_plan_names_what_is_skipped_or_leaves_it_to_the_prompt()
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() =>
            PrefillPlan.FromBoundaries([], skips: [new(5)], routing: new(8, 2, LayerPart.Block))
        );
        Assert.Contains("block 5", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, LayerPart.Block, false)]
    [InlineData(1, LayerPart.Block, true)]
    [InlineData(14, LayerPart.Block, true)]
    [InlineData(15, LayerPart.Block, false)]
    [InlineData(0, LayerPart.Attention, false)]
    [InlineData(15, LayerPart.Attention, true)]
    [InlineData(0, LayerPart.FeedForward, false)]
    [InlineData(15, LayerPart.FeedForward, true)]
    [InlineData(16, LayerPart.FeedForward, false)]
    public void The_first_and_the_last_layer_are_needed(int layer, LayerPart part, bool isPossible)
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([], skips: [new(layer, part)]);
        Exception? e = Record.Exception(() => plan.EnsureFits(16));
        Assert.Equal(isPossible, e is null);
        if (e is not null)
        {
            Assert.Contains("Blocks can be skipped from 1 to 14", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_prompt_cannot_choose_more_than_there_is()
    {
        PrefillPlan.FromBoundaries([], routing: new(8, 7, LayerPart.Block)).EnsureFits(16);
        ArgumentException e = Assert.Throws<ArgumentException>(() =>
            PrefillPlan.FromBoundaries([], routing: new(8, 8, LayerPart.Block)).EnsureFits(16)
        );
        Assert.Contains("at most 7", e.Message, StringComparison.Ordinal);
    }
}

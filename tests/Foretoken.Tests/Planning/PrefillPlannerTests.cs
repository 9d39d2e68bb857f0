using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Planning;

public class PrefillPlannerTests
{
    private static readonly PrefillPlanner Planner = new(Shapes.SmolLM2);

    private static PlanRequest Request(double target, int newTokens = 1024) =>
        new() { TargetSpeedup = target, NewTokens = newTokens };

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(double.NegativeInfinity)]
    [InlineData(0.5)]
    [InlineData(0)]
    [InlineData(-2)]
    [InlineData(1e9)]
    [InlineData(1000.1)]
    public void A_target_that_is_no_speedup_is_refused_with_what_is_possible(double target)
    {
        ArgumentOutOfRangeException e = Assert.Throws<ArgumentOutOfRangeException>(() => Planner.Plan(Request(target)));
        Assert.Contains("from 1", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Negative_numbers_of_tokens_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Planner.Plan(Request(2, -1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Planner.Plan(Request(2) with { PastTokens = -1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Planner.Plan(Request(2) with { AlwaysKept = -1 }));
    }

    [Fact]
    public void Target_one_keeps_everything_and_says_what_would_be_possible()
    {
        PlannedPrefill planned = Planner.Plan(Request(1));
        Assert.Same(PrefillPlan.KeepAll, planned.Plan);
        Assert.Equal(1, planned.PromisedSpeedup);
        Assert.True(planned.IsTargetReached);
        Assert.True(planned.ReachableSpeedup > 3);
    }

    [Theory]
    [InlineData(1.5)]
    [InlineData(2)]
    [InlineData(2.5)]
    [InlineData(3)]
    public void A_usual_target_is_met_closely(double target)
    {
        PlannedPrefill planned = Planner.Plan(Request(target));
        Assert.True(planned.IsTargetReached);
        // one token more or less is well below a percent here
        Assert.InRange(planned.PromisedSpeedup, target, target * 1.01);
        Assert.Equal(planned.PromisedSpeedup, Planner.CostModel.Speedup(planned.Plan, 1024));
    }

    [Fact]
    public void A_moderate_target_needs_one_boundary_and_a_high_one_three()
    {
        Assert.Single(Planner.Plan(Request(2)).Plan.Boundaries);
        Assert.Equal(3, Planner.Plan(Request(3.2)).Plan.Boundaries.Count);
    }

    [Fact]
    public void A_short_prompt_is_prefilled_plainly_even_when_asked_strictly()
    {
        PlannedPrefill planned = Planner.Plan(Request(2, 255) with { IsStrict = true });
        Assert.True(planned.Plan.IsKeepAll);
        Assert.False(planned.IsTargetReached);
        Assert.Contains("256", planned.Reason, StringComparison.Ordinal);
        Assert.False(Planner.Plan(Request(2, 256)).Plan.IsKeepAll);
    }

    [Fact]
    public void An_unreachable_target_gives_the_best_possible_and_says_so()
    {
        PlannedPrefill planned = Planner.Plan(Request(100));
        Assert.False(planned.IsTargetReached);
        Assert.Equal(planned.ReachableSpeedup, planned.PromisedSpeedup);
        Assert.Contains("out of reach", planned.Reason, StringComparison.Ordinal);
        Assert.True(Planner.Plan(Request(planned.ReachableSpeedup)).IsTargetReached);
    }

    [Fact]
    public void An_unreachable_target_asked_for_strictly_is_an_exception_with_the_facts()
    {
        PlanUnreachableException e = Assert.Throws<PlanUnreachableException>(() =>
            Planner.Plan(Request(100) with { IsStrict = true })
        );
        Assert.Equal(100, e.TargetSpeedup);
        Assert.Equal(1024, e.PromptTokens);
        Assert.Equal(Planner.Plan(Request(1)).ReachableSpeedup, e.ReachableSpeedup);
    }

    [Fact]
    public void A_prompt_that_is_protected_throughout_cannot_be_thinned()
    {
        PlannedPrefill planned = Planner.Plan(Request(2) with { AlwaysKept = 1024 });
        Assert.True(planned.Plan.IsKeepAll);
        Assert.False(planned.IsTargetReached);
        Assert.Equal(1, planned.ReachableSpeedup);
        Assert.Contains("1024 of the 1024", planned.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Protected_tokens_reduce_what_is_reachable()
    {
        double free = Planner.Plan(Request(1)).ReachableSpeedup;
        double half = Planner.Plan(Request(1) with { AlwaysKept = 512 }).ReachableSpeedup;
        Assert.True(half < free);
        Assert.True(half > 1);
    }

    [Fact]
    public void A_model_of_one_layer_has_no_boundary()
    {
        PrefillPlanner planner = new(Shapes.SmolLM2 with { LayerCount = 1 });
        PlannedPrefill planned = planner.Plan(Request(2));
        Assert.True(planned.Plan.IsKeepAll);
        Assert.Contains("one layer", planned.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(7)]
    public void Shallow_models_get_plans_that_fit_them(int layers)
    {
        PrefillPlanner planner = new(Shapes.SmolLM2 with { LayerCount = layers });
        foreach (double target in (double[])[1.1, 1.3, 2, 50])
        {
            PlannedPrefill planned = planner.Plan(Request(target));
            planned.Plan.EnsureFits(layers);
            Assert.True(planned.PromisedSpeedup > 1);
        }
    }

    [Fact]
    public void The_importance_that_was_asked_for_is_in_the_plan() =>
        Assert.Equal("most-recent", Planner.Plan(Request(2) with { Importance = "most-recent" }).Plan.Importance);

    [Fact]
    public void A_given_plan_is_estimated_as_it_is()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(10, 0.25)]);
        PlannedPrefill planned = Planner.Estimate(plan, 1024);
        Assert.Same(plan, planned.Plan);
        Assert.True(planned.IsTargetReached);
        Assert.Equal(Planner.CostModel.Speedup(plan, 1024), planned.PromisedSpeedup);
        Assert.Throws<ArgumentException>(() => Planner.Estimate(PrefillPlan.FromBoundaries([new(30, 0.25)]), 1024));
    }

    [Fact]
    public void Of_two_schedules_the_one_that_is_expected_to_lose_less_is_used_at_each_target()
    {
        PrefillPlannerOptions options = new() { Schedules = [Late, Early] };
        PrefillPlanner planner = new(Shapes.SmolLM2, options);
        PlannedPrefill moderate = planner.Plan(Request(1.4));
        PlannedPrefill high = planner.Plan(Request(1.9));
        Assert.Equal(15, Assert.Single(moderate.Plan.Boundaries).Layer);
        Assert.Equal(6, Assert.Single(high.Plan.Boundaries).Layer);
        Assert.InRange(moderate.ExpectedLoss!.Value, 0.001, 0.1);
        Assert.Contains($"{high.ExpectedLoss:0.000} nats", high.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void The_expected_loss_is_linear_between_waypoints_and_begins_at_nothing()
    {
        PrefillSchedule schedule = new(
            [0.5],
            [
                [0.6],
                [0.2],
            ],
            [0.1, 0.5]
        );
        PrefillPlanner planner = new(Shapes.SmolLM2, new() { Schedules = [schedule] });
        foreach (double target in (double[])[1.05, 1.15, 1.3, 1.5])
        {
            PlannedPrefill planned = planner.Plan(Request(target));
            double retention = Assert.Single(planned.Plan.Boundaries).Retention;
            double expected = retention > 0.6 ? 0.1 * (1 - retention) / 0.4 : 0.1 + (0.4 * (0.6 - retention) / 0.4);
            Assert.Equal(expected, planned.ExpectedLoss!.Value, 9);
        }

        Assert.Equal(0, planner.Plan(Request(1)).ExpectedLoss);
        Assert.Null(Planner.Plan(Request(2)).ExpectedLoss);
    }

    [Fact]
    public void A_measured_schedule_goes_before_one_that_was_not_measured()
    {
        PrefillPlanner planner = new(Shapes.SmolLM2, new() { Schedules = [PrefillSchedule.Default, Late] });
        Assert.NotNull(planner.Plan(Request(1.4)).ExpectedLoss);
        // beyond what the measured one reaches
        Assert.Null(planner.Plan(Request(2.5)).ExpectedLoss);
    }

    [Fact]
    public void A_quality_budget_alone_gives_the_fastest_plan_within_it()
    {
        PrefillPlanner planner = new(Shapes.SmolLM2, new() { Schedules = [Late, Early] });
        PlannedPrefill planned = planner.Plan(new() { NewTokens = 1024, MaxQualityLoss = 0.1 });
        Assert.InRange(planned.ExpectedLoss!.Value, 0.09, 0.1);
        Assert.True(planned.PromisedSpeedup > 1.3);
        Assert.Equal(planned.PromisedSpeedup, planned.TargetSpeedup);
        Assert.Equal(planned.PromisedSpeedup, planned.ReachableSpeedup);
        Assert.True(planned.IsTargetReached);
    }

    [Fact]
    public void Of_a_target_and_a_quality_budget_the_more_careful_decides()
    {
        PrefillPlanner planner = new(Shapes.SmolLM2, new() { Schedules = [Late, Early] });
        PlannedPrefill byTarget = planner.Plan(Request(1.3) with { MaxQualityLoss = 0.3 });
        Assert.Equal(planner.Plan(Request(1.3)).Plan, byTarget.Plan);

        PlannedPrefill byBudget = planner.Plan(Request(2) with { MaxQualityLoss = 0.1 });
        Assert.Equal(planner.Plan(new() { NewTokens = 1024, MaxQualityLoss = 0.1 }).Plan, byBudget.Plan);
        Assert.False(byBudget.IsTargetReached);
        Assert.Contains("0.1 nats", byBudget.Reason, StringComparison.Ordinal);

        PlanUnreachableException e = Assert.Throws<PlanUnreachableException>(() =>
            planner.Plan(Request(2) with { MaxQualityLoss = 0.1, IsStrict = true })
        );
        Assert.Equal(byBudget.PromisedSpeedup, e.ReachableSpeedup);
        Assert.True(planner.Plan(Request(1) with { MaxQualityLoss = 0.3 }).Plan.IsKeepAll);
    }

    [Fact]
    public void A_quality_budget_where_nothing_was_measured_is_plain_prefill_and_strictly_an_exception()
    {
        PlanRequest request = new() { NewTokens = 1024, MaxQualityLoss = 0.1 };
        PlannedPrefill planned = Planner.Plan(request);
        Assert.True(planned.Plan.IsKeepAll);
        Assert.Contains("not measured", planned.Reason, StringComparison.Ordinal);
        QualityLossUnknownException e = Assert.Throws<QualityLossUnknownException>(() =>
            Planner.Plan(request with { IsStrict = true })
        );
        Assert.Equal(0.1, e.MaxQualityLoss);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-0.1)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_quality_budget_that_is_none_is_refused(double loss) =>
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            Planner.Plan(new() { NewTokens = 1024, MaxQualityLoss = loss })
        );

    [Fact]
    public void With_thresholds_fewer_tokens_may_go_on_but_not_with_a_quality_budget()
    {
        PlanBoundary boundary = Assert.Single(Planner.Plan(Request(2) with { UseThresholds = true }).Plan.Boundaries);
        Assert.Equal(0.5 * boundary.Retention, boundary.MinRetention);

        PrefillPlanner measured = new(Shapes.SmolLM2, new() { Schedules = [Early] });
        PlanRequest budget = Request(1.5) with { UseThresholds = true, MaxQualityLoss = 0.3 };
        Assert.True(Assert.Single(measured.Plan(budget).Plan.Boundaries).IsFixedShare);
    }

    [Fact]
    public void Settings_that_leave_nothing_to_choose_from_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new PrefillPlannerOptions { Schedules = [] });
        Assert.Throws<ArgumentOutOfRangeException>(() => new PrefillPlannerOptions { ThresholdFloor = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new PrefillPlannerOptions { ThresholdFloor = 1.5 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new PrefillPlannerOptions { ThresholdFloor = double.NaN });
    }

    // a late boundary that loses little until it is asked for much, and an early one that starts worse
    private static PrefillSchedule Late { get; } =
        new(
            [0.5],
            [
                [0.3],
                [0.05],
            ],
            [0.08, 0.9]
        );

    private static PrefillSchedule Early { get; } =
        new(
            [0.2],
            [
                [0.9],
                [0.25],
            ],
            [0.05, 0.4]
        );

    [Fact]
    public void A_schedule_that_would_bring_tokens_back_is_refused()
    {
        Assert.Throws<ArgumentException>(() =>
            new PrefillSchedule(
                [0.2, 0.1],
                [
                    [0.5, 0.5],
                ]
            )
        );
        Assert.Throws<ArgumentException>(() =>
            new PrefillSchedule(
                [0.1, 0.2],
                [
                    [0.5, 0.6],
                ]
            )
        );
        Assert.Throws<ArgumentException>(() =>
            new PrefillSchedule(
                [0.1, 0.2],
                [
                    [0.5, 0.4],
                    [0.6, 0.4],
                ]
            )
        );
        Assert.Throws<ArgumentException>(() =>
            new PrefillSchedule(
                [0.1, 0.2],
                [
                    [0.5],
                ]
            )
        );
        Assert.Throws<ArgumentException>(() =>
            new PrefillSchedule(
                [1.0],
                [
                    [0.5],
                ]
            )
        );
        Assert.Throws<ArgumentException>(() =>
            new PrefillSchedule(
                [0.5],
                [
                    [double.NaN],
                ]
            )
        );
        Assert.Throws<ArgumentException>(() => new PrefillSchedule([], []));
    }

    [Fact]
    public void On_a_machine_with_slow_attention_less_must_go_for_the_same_speedup()
    {
        PrefillPlanner usual = Measured(attention: 1);
        PrefillPlanner slow = Measured(attention: 8);
        PlannedPrefill a = usual.Plan(Request(1.8, 4096));
        PlannedPrefill b = slow.Plan(Request(1.8, 4096));
        Assert.True(a.IsTargetReached && b.IsTargetReached);
        Assert.True(b.Plan.Boundaries[0].Retention > a.Plan.Boundaries[0].Retention * 1.05);
        Assert.True(b.ReachableSpeedup > a.ReachableSpeedup);
        Assert.True(b.ExpectedPlainTime!.Value.Time > a.ExpectedPlainTime!.Value.Time);
    }

    [Fact]
    public void Where_boundaries_are_dear_short_prompts_are_prefilled_plainly()
    {
        PrefillPlanner usual = Measured();
        PrefillPlanner dear = Measured(boundary: 1e4);
        int? floor = dear.FindShortestPrompt(Request(2), 8192);
        Assert.InRange(floor!.Value, 300, 8000);
        Assert.InRange(usual.FindShortestPrompt(Request(2), 8192)!.Value, 144, floor.Value - 1);

        PlannedPrefill below = dear.Plan(Request(2, floor.Value / 2) with { IsStrict = true });
        Assert.True(below.Plan.IsKeepAll);
        Assert.Contains("measured on this machine", below.Reason, StringComparison.Ordinal);
        Assert.Equal(1, below.PromisedSpeedup);
        Assert.False(dear.Plan(Request(1.5, floor.Value * 2)).Plan.IsKeepAll);
        // whoever says where the floor is, has it there
        PrefillPlanner told = new(dear.CostModel, new() { MinNewTokens = 5000 });
        Assert.Contains("5000", told.Plan(Request(2, 4000)).Reason, StringComparison.Ordinal);
        Assert.Null(Measured(boundary: 1e7).FindShortestPrompt(Request(2), 8192));
    }

    [Fact]
    public void A_plan_by_measured_times_says_what_it_expects()
    {
        PlannedPrefill planned = Measured().Plan(Request(2));
        string ms = string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"{planned.ExpectedTime!.Value.Time.TotalMilliseconds:#,0} ms"
        );
        Assert.Contains(ms, planned.Reason, StringComparison.Ordinal);
        Assert.NotNull(planned.PromiseStandardError);
        Assert.Null(Planner.Plan(Request(2)).ExpectedTime);
    }

    private static PrefillPlanner Measured(double attention = 1, double boundary = 1)
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, seed: 1);
        machine.Prices[CostTerm.Host + CostTerm.PastPair] *= attention;
        machine.Prices[CostTerm.Host + CostTerm.OwnPair] *= attention;
        machine.Prices[CostTerm.Boundary] *= boundary;
        return new PrefillPlanner(machine.Truth);
    }
}

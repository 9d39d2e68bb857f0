using Foretoken.Costs;
using Foretoken.Plans;
using Foretoken.Tests.Planning;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Costs;

public class PrefillCostLearnerTests
{
    private static readonly PrefillPlan Plan = PrefillPlan.FromBoundaries([new(8, 0.4)]);

    [Fact]
    public void Until_enough_ran_operations_are_counted()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 1);
        PrefillCostLearner learner = new(machine.Shape, machine.Layout);
        Assert.False(learner.Cost.IsMeasured);
        for (int i = 0; i < 3; i++)
        {
            Assert.IsType<CountedPrefillCost>(learner.Cost);
            learner.Add([machine.Run(Plan, 2048)]);
        }

        Assert.Same(learner.Profile, learner.Cost);
        Assert.Equal(3, learner.Profile!.Runs);
    }

    [Fact]
    public void Real_prefills_alone_teach_what_they_take()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 2);
        PrefillCostLearner learner = new(machine.Shape, machine.Layout);
        for (int i = 0; i < 20; i++)
        {
            learner.Add([machine.Run(Plan, 800 + (40 * i), 0, 0.03, 0.05)]);
        }

        double truth = machine.Truth.Speedup(Plan, 1200, probes: SyntheticMachine.Probes);
        double error = learner.Profile!.SpeedupStandardError(Plan, 1200, probes: SyntheticMachine.Probes)!.Value;
        Assert.InRange(learner.Cost.Speedup(Plan, 1200, probes: SyntheticMachine.Probes) / truth, 0.85, 1.15);
        Assert.InRange(error, 0, 0.2);
    }

    [Fact]
    public void A_machine_that_turns_slower_is_followed()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 3);
        PrefillCostLearner learner = new(machine.Shape, machine.Layout);
        learner.Add(machine.Calibrate(3, noise: 0.03, runNoise: 0.03));
        double before = learner.Cost.Cost(PrefillPlan.KeepAll, 1024);

        for (int j = 0; j < machine.Prices.Length; j++)
        {
            machine.Prices[j] *= 2;
        }

        for (int i = 0; i < 40; i++)
        {
            learner.Add([machine.Run(Plan, 1024, 0, 0.03, 0.03)]);
        }

        Assert.InRange(learner.Cost.Cost(PrefillPlan.KeepAll, 1024) / before, 1.8, 2.2);
        Assert.InRange(learner.Cost.Speedup(Plan, 1024) / machine.Truth.Speedup(Plan, 1024), 0.95, 1.05);
    }

    [Fact]
    public void A_change_of_proportions_is_followed_too()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 4);
        PrefillCostLearner learner = new(machine.Shape, machine.Layout);
        learner.Add(machine.Calibrate(3, noise: 0.03, runNoise: 0.03));
        double before = learner.Cost.Speedup(Plan, 2048);

        // attention turns four times as slow
        machine.Prices[CostTerm.Host + CostTerm.PastPair] *= 4;
        machine.Prices[CostTerm.Host + CostTerm.OwnPair] *= 4;
        double truth = machine.Truth.Speedup(Plan, 2048);
        Assert.True(truth > before * 1.1);
        for (int i = 0; i < 80; i++)
        {
            learner.Add([machine.Run(i % 2 == 0 ? Plan : PrefillPlan.KeepAll, 2048, 0, 0.03, 0.03)]);
        }

        Assert.InRange(learner.Cost.Speedup(Plan, 2048) / truth, 0.95, 1.05);
    }

    [Fact]
    public void What_is_kept_is_bounded_and_short_prompts_do_not_push_long_ones_out()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 5);
        PrefillCostLearner learner = new(machine.Shape, machine.Layout);
        learner.Add(machine.Calibrate(2, noise: 0.03));
        for (int i = 0; i < 300; i++)
        {
            learner.Add([machine.Run(PrefillPlan.KeepAll, 30 + (i % 20), 0, 0.03)]);
        }

        Assert.InRange(learner.Runs.Count, 1, PrefillCostLearner.MostRuns);
        Assert.InRange(learner.Runs.Sum(run => run.Chunks.Count), 1, PrefillCostLearner.MostChunks);
        Assert.Contains(learner.Runs, run => run.Chunks.Any(chunk => chunk is { Tokens: 512, PastKeys: 512 }));
        double truth = machine.Truth.Speedup(Plan, 1024);
        Assert.InRange(learner.Cost.Speedup(Plan, 1024) / truth, 0.93, 1.07);
    }

    [Fact]
    public async Task Many_may_teach_and_ask_at_the_same_time()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 6);
        PrefillRun[] runs = [.. machine.Calibrate(2, noise: 0.03)];
        PrefillCostLearner learner = new(machine.Shape, machine.Layout);
        await Parallel.ForEachAsync(
            runs,
            (run, _) =>
            {
                learner.Add([run]);
                Assert.True(learner.Cost.Cost(Plan, 1024) > 0);
                return ValueTask.CompletedTask;
            }
        );
        Assert.Equal(runs.Length, learner.Runs.Count);
        Assert.Equal(runs.Length, learner.Runs.Select(run => run.Sequence).Distinct().Count());
    }
}

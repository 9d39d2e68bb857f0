using Foretoken.Costs;
using Foretoken.Plans;
using Foretoken.Tests.Planning;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Costs;

public class MeasuredPrefillCostTests
{
    private static readonly PrefillPlan OneBoundary = PrefillPlan.FromBoundaries([new(8, 0.4)]);

    private static readonly PrefillPlan ThreeBoundaries = PrefillPlan.FromBoundaries([
        new(4, 0.5),
        new(8, 0.25),
        new(13, 0.12),
    ]);

    [Theory]
    [InlineData(0, 1, 0)]
    [InlineData(0, 700, 0)]
    [InlineData(0, 512, 0)]
    [InlineData(0, 1537, 300)]
    [InlineData(12, 2000, 64)]
    public void A_stage_is_the_sum_of_its_chunks(int firstDeviceLayer, int tokens, int past)
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 1, firstDeviceLayer);
        foreach (PrefillPlan plan in (PrefillPlan[])[PrefillPlan.KeepAll, OneBoundary, ThreeBoundaries])
        {
            PrefillRun run = machine.Run(plan, tokens, past);
            double summed = run.Chunks.Sum(chunk => chunk.Seconds) + run.SelectSeconds + run.OverheadSeconds;
            double planned = machine.Truth.Cost(plan, tokens, past, probes: SyntheticMachine.Probes);
            // a window of probed queries over two chunks is counted as if it stood in the last one
            Assert.Equal(summed, planned, planned * 0.002);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_quiet_machine_is_recovered(int seed)
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, seed);
        MeasuredPrefillCost profile = Fit(machine, machine.Calibrate(3, noise: 0.005, runNoise: 0.005));
        foreach (int tokens in (int[])[256, 1024, 2048])
        {
            foreach (PrefillPlan plan in (PrefillPlan[])[PrefillPlan.KeepAll, OneBoundary, ThreeBoundaries])
            {
                double truth = machine.Truth.Cost(plan, tokens, probes: SyntheticMachine.Probes);
                double fitted = profile.Cost(plan, tokens, probes: SyntheticMachine.Probes);
                Assert.InRange(fitted / truth, 0.96, 1.04);
            }
        }
    }

    [Fact]
    public void Noise_and_outliers_cost_little_and_the_stated_uncertainty_covers_the_error()
    {
        List<double> deviations = [];
        List<double> errors = [];
        for (int seed = 1; seed <= 40; seed++)
        {
            SyntheticMachine machine = new(Shapes.SmolLM2, seed);
            MeasuredPrefillCost profile = Fit(
                machine,
                machine.Calibrate(3, noise: 0.08, runNoise: 0.15, outliers: 0.1)
            );
            foreach (PrefillPlan plan in (PrefillPlan[])[OneBoundary, ThreeBoundaries])
            {
                double truth = machine.Truth.Speedup(plan, 1024, probes: SyntheticMachine.Probes);
                double fitted = profile.Speedup(plan, 1024, probes: SyntheticMachine.Probes);
                double stated = profile.SpeedupStandardError(plan, 1024, probes: SyntheticMachine.Probes)!.Value;
                errors.Add(Math.Abs((fitted / truth) - 1));
                deviations.Add(Math.Abs((fitted / truth) - 1) / stated);
            }
        }

        Assert.InRange(Median(errors), 0, 0.05);
        // of normal errors 68 % lie within one standard error and 95 % within two
        Assert.InRange(deviations.Count(d => d <= 1) / (double)deviations.Count, 0.45, 1);
        Assert.InRange(deviations.Count(d => d <= 2.5) / (double)deviations.Count, 0.85, 1);
    }

    [Fact]
    public void Expected_times_are_as_sure_as_the_machine_is_steady()
    {
        SyntheticMachine steady = new(Shapes.SmolLM2, 1);
        SyntheticMachine unsteady = new(Shapes.SmolLM2, 1);
        PrefillTimeEstimate sure = Time(Fit(steady, steady.Calibrate(4, noise: 0.01, runNoise: 0.01)));
        PrefillTimeEstimate unsure = Time(Fit(unsteady, unsteady.Calibrate(4, noise: 0.1, runNoise: 0.3)));
        Assert.InRange(sure.RelativeStandardError!.Value, 0.005, 0.06);
        Assert.InRange(unsure.RelativeStandardError!.Value, 0.12, 0.6);

        static PrefillTimeEstimate Time(MeasuredPrefillCost profile) =>
            profile.EstimateTime(PrefillPlan.KeepAll, 1024)!.Value;
    }

    [Fact]
    public void A_length_that_was_never_run_is_less_sure_than_one_that_was()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 4);
        MeasuredPrefillCost profile = Fit(machine, machine.Calibrate(3, noise: 0.03, runNoise: 0.03));
        Assert.True(Error(8192) > Error(1024));
        Assert.Equal(0, profile.SpeedupStandardError(PrefillPlan.KeepAll, 1024)!.Value, 9);

        double Error(int tokens) =>
            profile.EstimateTime(PrefillPlan.KeepAll, tokens)!.Value.RelativeStandardError!.Value;
    }

    [Fact]
    public void Layers_on_a_device_have_prices_of_their_own()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 5, firstDeviceLayer: 12);
        MeasuredPrefillCost profile = Fit(machine, machine.Calibrate(3, noise: 0.01, runNoise: 0.02));
        // the plan leaves out tokens where they cost a tenth
        double truth = machine.Truth.Speedup(PrefillPlan.FromBoundaries([new(12, 0.25)]), 1024);
        Assert.InRange(truth, 1, 1.2);
        Assert.InRange(profile.Speedup(PrefillPlan.FromBoundaries([new(12, 0.25)]), 1024) / truth, 0.95, 1.05);
    }

    [Fact]
    public void Too_few_prefills_give_no_profile()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 1);
        PrefillRun plain = machine.Run(PrefillPlan.KeepAll, 4096);
        Assert.Null(MeasuredCostFit.Fit(machine.Shape, machine.Layout, [plain, plain], latest: 0));
        PrefillRun small = machine.Run(PrefillPlan.KeepAll, 30);
        Assert.Null(MeasuredCostFit.Fit(machine.Shape, machine.Layout, [small, small, small], latest: 0));
        Assert.NotNull(MeasuredCostFit.Fit(machine.Shape, machine.Layout, [plain, plain, small, small], latest: 0));
    }

    [Fact]
    public void Where_only_one_kind_of_prefill_was_measured_the_rest_is_counted_in_proportion()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 1);
        PrefillRun[] runs =
        [
            .. Enumerable.Range(0, 12).Select(_ => machine.Run(PrefillPlan.KeepAll, 1024, 0, 0.02, 0.05)),
        ];
        MeasuredPrefillCost profile = MeasuredCostFit.Fit(machine.Shape, machine.Layout, runs, latest: 0)!;
        double truth = machine.Truth.Cost(PrefillPlan.KeepAll, 1024);
        Assert.InRange(profile.Cost(PrefillPlan.KeepAll, 1024) / truth, 0.9, 1.1);
        double counted = new CountedPrefillCost(machine.Shape).Speedup(OneBoundary, 1024);
        Assert.InRange(profile.Speedup(OneBoundary, 1024), counted * 0.8, counted * 1.25);
    }

    [Fact]
    public void A_run_during_which_something_else_had_the_cores_counts_little()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 2);
        PrefillRun[] quiet = [.. machine.Calibrate(3, noise: 0.01).Select(run => run with { CpuShare = 0.97 })];
        PrefillRun[] disturbed = [.. machine.Calibrate(1, noise: 0.8).Select(run => run with { CpuShare = 0.4 })];
        MeasuredPrefillCost profile = MeasuredCostFit.Fit(
            machine.Shape,
            machine.Layout,
            [.. quiet, .. disturbed],
            latest: 0
        )!;
        double truth = machine.Truth.Speedup(OneBoundary, 1024);
        Assert.InRange(profile.Speedup(OneBoundary, 1024) / truth, 0.96, 1.04);
    }

    [Fact]
    public void The_time_of_plain_prefill_is_told_by_the_first_stage_of_a_thinned_one()
    {
        SyntheticMachine machine = new(Shapes.SmolLM2, 3);
        MeasuredPrefillCost profile = Fit(machine, machine.Calibrate(3, noise: 0.01, runNoise: 0.02));
        // a machine that happens to be half as fast during this run
        PrefillRun run = machine.Run(OneBoundary, 1024);
        ChunkSample[] first = [.. run.Chunks.Take(2).Select(chunk => chunk with { Seconds = 2 * chunk.Seconds })];
        PrefillTimeEstimate plain = profile.EstimatePlainTime(first, 1024, 0);
        Assert.InRange(plain.Time.TotalSeconds / machine.Truth.Cost(PrefillPlan.KeepAll, 1024), 1.9, 2.1);
        Assert.InRange(plain.RelativeStandardError!.Value, 0.001, 0.1);
    }

    private static MeasuredPrefillCost Fit(SyntheticMachine machine, IEnumerable<PrefillRun> runs) =>
        MeasuredCostFit.Fit(machine.Shape, machine.Layout, [.. runs], latest: 0)!;

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }
}

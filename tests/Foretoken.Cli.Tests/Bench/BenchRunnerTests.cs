using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Plan;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Bench;

public sealed class BenchRunnerTests
{
    private static readonly BenchCase[] Cases = BenchReports.Cases;

    [Fact]
    public void Every_run_of_ours_is_paired_with_the_nearest_baseline_run_of_the_same_tokens()
    {
        FakeEngine ours = new();
        FakeEngine baseline = new() { IsBaseline = true };

        BenchMeasurements measured = BenchReports.Measure(ours, baseline, BenchReports.Run(Cases, rounds: 6));

        for (int i = 0; i < Cases.Length; i++)
        {
            IReadOnlyList<(MeasuredRun Ours, MeasuredRun Baseline)> pairs = measured.Pairs(i);
            Assert.Equal(Enumerable.Range(0, 6), pairs.Select(pair => pair.Ours.Round));
            Assert.All(
                pairs,
                pair =>
                {
                    Assert.Equal(pair.Ours.Round, pair.Baseline.Round);
                    Assert.Equal(Cases[i].PromptTokens, pair.Baseline.Slot.Length);
                    int distance = Math.Abs(pair.Ours.Slot.Position - pair.Baseline.Slot.Position);
                    Assert.DoesNotContain(
                        measured.Baselines(pair.Ours.Slot.Length),
                        other =>
                            other.Round == pair.Ours.Round
                            && Math.Abs(other.Slot.Position - pair.Ours.Slot.Position) < distance
                    );
                }
            );
        }
        // both sides had the same prompts: one per length and round
        Assert.Equal(
            ours.Runs.Select(run => string.Join(' ', run.Prompt)).Distinct().Order(),
            baseline.Runs.Select(run => string.Join(' ', run.Prompt)).Distinct().Order()
        );
    }

    [Fact]
    public void The_warm_up_is_thrown_away()
    {
        // the first run of every case and side at the shortest length takes a hundred times longer
        HashSet<BenchCase> seen = [];
        bool isWarm = false;
        FakeEngine ours = new() { Time = what => what.PromptTokens == 64 && seen.Add(what) ? 10_000 : 100 };
        FakeEngine baseline = new()
        {
            IsBaseline = true,
            Time = _ => isWarm ? 100 : 10_000,
            OnRun = null,
        };
        int runs = 0;
        // two probes, and the runs of the warm-up
        baseline.OnRun = () => isWarm = ++runs > 2 + BenchSchedule.BaselineRuns(0);

        IReadOnlyList<BenchRow> rows = BenchReports.Rows(
            BenchReports.Measure(ours, baseline, BenchReports.Run(Cases, rounds: 3)),
            Cases
        );

        Assert.All(
            rows.SelectMany(row => row.Samples),
            sample => Assert.Equal((100, 100), (sample.TtftMs, sample.BaselineTtftMs))
        );
    }

    [Fact]
    public void A_row_reports_the_ratio_of_medians_and_its_spread()
    {
        // the probe, the warm-up, and three rounds
        Queue<double> baseline = new([1, 1, 1, 200, 220, 210]);
        Queue<double> ours = new([1, 100, 100, 70]);

        BenchRow row = BenchReports.Rows(
            BenchReports.Measure(
                new FakeEngine { Time = _ => ours.Dequeue() },
                new FakeEngine { IsBaseline = true, Time = _ => baseline.Dequeue() },
                BenchReports.Run([Cases[1]], rounds: 3)
            ),
            [Cases[1]]
        )[0];

        Assert.Equal((100, 210), (row.TtftMs, row.BaselineTtftMs));
        Assert.Equal(2.1, row.MeasuredSpeedup, 9);
        Assert.Equal(1 / 2.1, row.TimeRatio, 9);
        Assert.Equal((2.0, 3.0), (row.MeasuredSpeedupMin, row.MeasuredSpeedupMax));
        Assert.InRange(row.MeasuredSpeedup, row.MeasuredSpeedup95![0], row.MeasuredSpeedup95[1]);
        Assert.Equal((2.1 / 2.01) - 1, row.PromiseError, 9);
        Assert.Equal([1000, 400], row.TokensPerStage);
        Assert.Equal([200, 280], row.StageMs);
        Assert.Equal(((6 * 1000) + (24 * 400)) / 30_000.0, row.KvShare, 9);
        Assert.Equal("6@0.4", row.Plan);
    }

    [Fact]
    public void Rows_that_keep_everything_are_compared_with_the_baseline()
    {
        BenchExactness exactness = Exactness(_ => 7, decode: 3);

        Assert.Equal(4, exactness.Runs);
        Assert.True(exactness.SameFirstToken);
        Assert.True(exactness.SameLogits);
        Assert.True(exactness.SameDecodedTokens);
    }

    [Fact]
    public void A_thinned_run_may_differ_and_a_plain_one_may_not()
    {
        BenchExactness thinned = Exactness(what => what.Target == 2 ? 8 : 7);
        BenchExactness plain = Exactness(what => what.IsExact ? 8 : 7);

        Assert.True(thinned.SameFirstToken);
        Assert.False(plain.SameFirstToken);
        Assert.False(plain.SameLogits);
        Assert.Null(plain.SameDecodedTokens);
        Assert.Contains("defect", BenchTable.Exactness(plain), StringComparison.Ordinal);
    }

    [Fact]
    public void Promises_are_summed_up_over_the_rows_that_ask_for_a_speedup()
    {
        // promised is 2.01
        BenchReport report = BenchReports.Measured(1);

        Assert.Equal(1, report.Promises.Rows);
        Assert.InRange(report.Promises.MedianAbsoluteError!.Value, 0, 0.03);
        Assert.Equal(0, report.Promises.OutOfRange);

        BenchRow[] beyond = [.. report.Rows.Select(row => row with { IsPromiseInRange = row.Target != 2 })];
        Assert.Equal(1, PromiseSummary.Of(beyond).OutOfRange);
        Assert.Null(PromiseSummary.Of([]).MedianAbsoluteError);
    }

    [Fact]
    public void A_promise_beyond_what_can_be_reached_is_out_of_range()
    {
        Assert.False(Row(1.9).IsPromiseInRange);
        Assert.True(Row(2.01).IsPromiseInRange);

        static BenchRow Row(double reachable) =>
            BenchReports.Rows(
                BenchReports.Measure(
                    new FakeEngine { Reachable = reachable },
                    new FakeEngine { IsBaseline = true },
                    BenchReports.Run([Cases[1]], rounds: 1)
                ),
                [Cases[1]]
            )[0];
    }

    [Fact]
    public void A_cancelled_benchmark_keeps_what_it_had_measured()
    {
        using CancellationTokenSource cancellation = new();
        int runs = 0;
        FakeEngine ours = new() { OnRun = () => Cancel() };
        void Cancel()
        {
            // the warm-up has three, a round four
            if (++runs == 3 + 4 + 2)
            {
                cancellation.Cancel();
            }
        }

        BenchMeasurements measured = BenchReports.Measure(
            ours,
            new FakeEngine { IsBaseline = true },
            BenchReports.Run(Cases, rounds: 5),
            cancellationToken: cancellation.Token
        );

        IReadOnlyList<BenchRow> rows = BenchReports.Rows(measured, Cases);
        Assert.Equal(4, rows.Count);
        Assert.All(rows, row => Assert.InRange(row.Pairs, 1, 2));
        Assert.Equal(2, measured.Rounds.Count);
    }

    [Fact]
    public void A_round_that_others_disturbed_is_marked_and_counted()
    {
        // 2 cores; the runs take no time at all, so the clock of the fake goes on by itself
        TimeSpan busy = TimeSpan.Zero;
        FakeLoad load = new() { Reading = () => new LoadReading(3.5, busy += TimeSpan.FromSeconds(1)) };
        FakeEngine ours = new();
        ManualTime time = new();
        ours.OnRun = () => time.Advance(TimeSpan.FromSeconds(2));
        FakeEngine baseline = new() { IsBaseline = true };
        baseline.OnRun = () =>
        {
            time.Advance(TimeSpan.FromSeconds(2));
            // all that was busy was the baseline
            baseline.Used = new ProcessUsage(baseline.Used.CpuTime + TimeSpan.FromSeconds(1), null);
        };
        BenchMeasurements measured = new();
        BenchRunner runner = new(ours, baseline, [], load, time);
        BenchRun run = BenchReports.Run([Cases[1]], rounds: 2);

        runner.Run(run, runner.Probe(run, CancellationToken.None), measured, new Progress<BenchProgress>(), default);

        Assert.All(
            measured.Runs,
            one => Assert.Equal(one.Slot.Side == BenchSide.Baseline ? 0 : 0.25, one.OtherCpuShare!.Value, 9)
        );
        Assert.All(measured.Rounds, round => Assert.Equal((3.5, true), (round.LoadAverageBefore, round.IsDisturbed)));
        BenchRow row = BenchReports.Rows(measured, [Cases[1]])[0];
        Assert.Equal((2, 2), (row.Pairs, row.DisturbedPairs));
    }

    [Fact]
    public void No_round_begins_that_would_end_too_late()
    {
        ManualTime time = new();
        FakeEngine ours = new() { OnRun = () => time.Advance(TimeSpan.FromSeconds(10)), Time = _ => 10_000 };
        FakeEngine baseline = new()
        {
            IsBaseline = true,
            OnRun = () => time.Advance(TimeSpan.FromSeconds(10)),
            Time = _ => 10_000,
        };
        BenchRun run = BenchReports.Run([Cases[0]], rounds: 10) with { MaxDuration = TimeSpan.FromSeconds(70) };
        BenchMeasurements measured = new();
        BenchRunner runner = new(ours, baseline, [], new FakeLoad(), time);

        bool isComplete = runner.Run(
            run,
            runner.Probe(run, CancellationToken.None),
            measured,
            new Progress<BenchProgress>(),
            default
        );

        // 20 s of warm-up and two rounds of 20 s each; a third one would be over the limit
        Assert.False(isComplete);
        Assert.Equal(2, measured.Rounds.Count);
    }

    [Fact]
    public void Progress_says_what_runs_and_how_long_it_will_take()
    {
        List<BenchProgress> reported = [];
        BenchReports.Measure(
            new FakeEngine(),
            new FakeEngine { IsBaseline = true },
            BenchReports.Run(Cases, rounds: 2),
            progress: new SynchronousProgress(reported.Add)
        );

        Assert.StartsWith("warming up, 64 tokens, ", reported[0].Text, StringComparison.Ordinal);
        Assert.StartsWith("round 2 of 2, ", reported[^1].Text, StringComparison.Ordinal);
        Assert.Contains(reported, progress => progress.Text.EndsWith("unpatched", StringComparison.Ordinal));
        Assert.True(reported[0].Remaining > reported[^1].Remaining);
        Assert.All(reported, progress => Assert.InRange(progress.Fraction, 0, 1));
    }

    [Fact]
    public void Json_rows_have_the_names_that_scripts_read()
    {
        BenchReport report = BenchReports.Measured(1, rounds: 3);
        using JsonDocument json = JsonDocument.Parse(report.ToJson());

        JsonElement row = json.RootElement.GetProperty("rows")[1];

        string[] names =
        [
            "model",
            "promptTokens",
            "target",
            "promisedSpeedup",
            "reachableSpeedup",
            "measuredSpeedup",
            "measuredSpeedup95",
            "ttftMs",
            "baselineTtftMs",
            "pairs",
            "tokensPerStage",
            "stageMs",
            "kvBytes",
            "cpuMs",
            "decodeMsPerToken",
            "samples",
        ];
        Assert.All(names, name => Assert.True(row.TryGetProperty(name, out _), name));
        Assert.Equal(2, row.GetProperty("target").GetDouble());
        Assert.Equal(3, row.GetProperty("pairs").GetInt32());
        Assert.Equal(
            row.GetProperty("baselineTtftMs").GetDouble() / row.GetProperty("ttftMs").GetDouble(),
            row.GetProperty("measuredSpeedup").GetDouble(),
            9
        );
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("rows")[3].GetProperty("target").ValueKind);
        Assert.True(json.RootElement.GetProperty("exactness").GetProperty("sameFirstToken").GetBoolean());
        Assert.True(json.RootElement.GetProperty("isComplete").GetBoolean());
        JsonElement promises = json.RootElement.GetProperty("promises");
        Assert.True(promises.TryGetProperty("medianAbsoluteError", out _));
        Assert.True(promises.TryGetProperty("p95AbsoluteError", out _));
        Assert.Equal(0, promises.GetProperty("outOfRange").GetInt32());
        // of two lengths, the first with three rows and so with two runs a round
        JsonElement[] baseline = [.. json.RootElement.GetProperty("baseline").EnumerateArray()];
        Assert.Equal([6, 3], baseline.Select(b => b.GetProperty("samples").GetArrayLength()));
    }

    [Fact]
    public void The_table_has_a_line_per_row()
    {
        TestConsole console = new TestConsole().Width(200);

        console.Write(BenchTable.Render(BenchReports.Measured(1)));

        Assert.Contains("target 2 ", console.Output, StringComparison.Ordinal);
        Assert.Contains("keep all 3@1", console.Output, StringComparison.Ordinal);
        Assert.Contains("plan 3@0.25", console.Output, StringComparison.Ordinal);
        Assert.Contains("1000 > 400", console.Output, StringComparison.Ordinal);
        Assert.Contains("bit for bit", console.Output, StringComparison.Ordinal);
        Assert.Contains("Promised against measured, 1 row", console.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Cases_are_targets_keep_all_and_plans_per_length()
    {
        BenchOptions options = new()
        {
            Lengths = [128, 256],
            Plans = [PlanText.Parse("3@0.25")],
            KeepAll = true,
        };

        IReadOnlyList<BenchCase> cases = options.Cases(layers: 16, trainedContext: 100);

        Assert.Equal(
            [
                "128 Target 1 ",
                "128 KeepAll 1 3@1",
                "128 Plan 1 3@0.25",
                "256 Target 1 ",
                "256 KeepAll 1 3@1",
                "256 Plan 1 3@0.25",
            ],
            cases.Select(c => $"{c.PromptTokens} {c.Kind} {c.Target} {(c.Plan is null ? "" : PlanText.Format(c.Plan))}")
        );
        Assert.Equal(
            [1, 1.5, 2, 2.9],
            new BenchOptions { Lengths = [64] }
                .Cases(16, 100)
                .Select(c => c.Target)
        );
        Assert.Equal(4, (options with { KeepAll = false }).Cases(16, 100).Count);
        Assert.Throws<CliException>(() => options.Cases(layers: 3, trainedContext: 100));
    }

    [Fact]
    public void Default_lengths_go_as_far_as_the_models_context()
    {
        Assert.Equal([512, 1024, 2048], new BenchOptions().LengthsFor(100_000));
        Assert.Equal([512, 1024], new BenchOptions().LengthsFor(2047));
        Assert.Equal([512, 1024, 2048, 4096, 8192], new BenchOptions { Full = true }.LengthsFor(8192));
        Assert.Equal(
            7,
            new BenchOptions { Full = true }
                .AskedTargets
                .Count
        );
        Assert.Throws<CliException>(() => new BenchOptions().LengthsFor(100));
    }

    private static BenchExactness Exactness(Func<BenchCase, int> token, int decode = 0) =>
        BenchRows.Exactness(
            BenchReports.Rows(
                BenchReports.Measure(
                    new FakeEngine { Token = token },
                    new FakeEngine { IsBaseline = true },
                    BenchReports.Run(Cases, rounds: 2, decode)
                ),
                Cases
            )
        );

    private sealed class ManualTime : TimeProvider
    {
        private long _ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _ticks;

        internal void Advance(TimeSpan by) => _ticks += by.Ticks;
    }

    private sealed class SynchronousProgress(Action<BenchProgress> report) : IProgress<BenchProgress>
    {
        public void Report(BenchProgress value) => report(value);
    }
}

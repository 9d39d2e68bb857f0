using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Numbers;
using Foretoken.Cli.Plan;
using Foretoken.Sessions;

namespace Foretoken.Cli.Bench;

/// <summary>Makes rows of what was measured.</summary>
internal static class BenchRows
{
    /// <summary>A row for every case that has a pair.</summary>
    /// <param name="cases">The cases.</param>
    /// <param name="measurements">What was measured of them.</param>
    /// <param name="model">Name for the rows.</param>
    /// <param name="seed">Seed of the bootstrap.</param>
    internal static IReadOnlyList<BenchRow> Of(
        IReadOnlyList<BenchCase> cases,
        BenchMeasurements measurements,
        string model,
        int seed
    ) =>
        [
            .. cases
                .Select((what, i) => (What: what, Pairs: measurements.Pairs(i)))
                .Where(row => row.Pairs.Count > 0)
                .Select(row => Row(row.What, row.Pairs, measurements, model, seed)),
        ];

    internal static IReadOnlyList<BenchBaselineRow> Baselines(BenchMeasurements measurements, string model) =>
        [
            .. measurements
                .Runs.Select(run => run.Slot.Length)
                .Distinct()
                .Order()
                .Select(length => (Length: length, Runs: measurements.Baselines(length).ToArray()))
                .Where(row => row.Runs.Length > 0)
                .Select(row => new BenchBaselineRow
                {
                    Model = model,
                    PromptTokens = row.Length,
                    TtftMs = Statistics.Median([.. row.Runs.Select(run => run.Run.TtftMs)]),
                    TtftPercentiles = Percentiles.Of([.. row.Runs.Select(run => run.Run.TtftMs)]),
                    CpuMs = Statistics.Median([.. row.Runs.Select(run => run.Run.CpuMs)]),
                    DecodeMsPerToken = MedianOrNull(row.Runs.SelectMany(run => run.Run.DecodeMs)),
                    Samples =
                    [
                        .. row.Runs.Select(run => new BenchBaselineSample
                        {
                            Round = run.Round,
                            Position = run.Slot.Position,
                            TtftMs = run.Run.TtftMs,
                            CpuMs = run.Run.CpuMs,
                            OtherCpuShare = run.OtherCpuShare,
                            FirstToken = run.Run.FirstToken,
                            DecodeMs = run.Run.DecodeMs,
                        }),
                    ],
                }),
        ];

    internal static IReadOnlyList<BenchRivalRow> Rivals(
        BenchMeasurements measurements,
        IReadOnlyList<IRival> rivals,
        string model
    ) =>
        [
            .. measurements
                .RivalRuns.GroupBy(run => (run.Slot.Index, run.Slot.Length))
                .OrderBy(group => group.Key)
                .Select(group =>
                    RivalRow(measurements, rivals[group.Key.Index].Name, model, group.Key.Length, [.. group])
                ),
        ];

    /// <summary>What the rows that keep everything say about exactness.</summary>
    internal static BenchExactness Exactness(IEnumerable<BenchRow> rows)
    {
        BenchSample[] exact =
        [
            .. rows.Where(row => row.Kind == "keep-all" || row is { Kind: "target", Target: 1 })
                .SelectMany(row => row.Samples),
        ];
        bool[] decoded = [.. exact.Where(s => s.SameDecodedTokens is not null).Select(s => s.SameDecodedTokens!.Value)];
        return new BenchExactness
        {
            Runs = exact.Length,
            SameFirstToken =
                exact.Length == 0 ? null : Array.TrueForAll(exact, s => s.FirstToken == s.BaselineFirstToken),
            SameLogits = exact.Length == 0 ? null : Array.TrueForAll(exact, s => s.SameLogits),
            SameDecodedTokens = decoded.Length == 0 ? null : Array.TrueForAll(decoded, same => same),
        };
    }

    private static BenchRow Row(
        BenchCase what,
        IReadOnlyList<(MeasuredRun Ours, MeasuredRun Baseline)> pairs,
        BenchMeasurements measurements,
        string model,
        int seed
    )
    {
        BenchSample[] samples = [.. pairs.Select(pair => Sample(pair.Ours, pair.Baseline, what.Kind))];
        MeasuredRun[] baselines = [.. measurements.Baselines(what.PromptTokens)];
        double[] ours = [.. samples.Select(s => s.TtftMs)];
        double[] baseline = [.. baselines.Select(run => run.Run.TtftMs)];
        double[] ratios = [.. samples.Select(s => s.BaselineTtftMs / s.TtftMs)];
        double speedup = Statistics.RatioOfMedians(baseline, ours);
        RatioRound[] rounds =
        [
            .. pairs.Select(pair => new RatioRound(
                [.. baselines.Where(run => run.Round == pair.Ours.Round).Select(run => run.Run.TtftMs)],
                [pair.Ours.Run.TtftMs]
            )),
        ];
        double cpu = Statistics.Median([.. samples.Select(s => s.CpuMs)]);
        double baselineCpu = Statistics.Median([.. baselines.Select(run => run.Run.CpuMs)]);
        PrefillReport report =
            pairs[^1].Ours.Run.Report ?? throw new InvalidOperationException("Our side gave no prefill report.");
        // plans follow what is learned while the benchmark runs
        double promised = Statistics.Median([.. samples.Select(s => s.PromisedSpeedup)]);
        return new BenchRow
        {
            Model = model,
            PromptTokens = what.PromptTokens,
            Kind = what.Kind switch
            {
                BenchKind.KeepAll => "keep-all",
                BenchKind.Plan => "plan",
                _ => "target",
            },
            Target = what.Kind switch
            {
                BenchKind.Plan => null,
                BenchKind.KeepAll => 1,
                _ => what.Target,
            },
            Plan = PlanText.FormatOrNull(what.Plan ?? report.Plan),
            PromisedSpeedup = promised,
            IsPromiseMeasured = Array.TrueForAll(samples, s => s.IsPromiseMeasured),
            ReachableSpeedup = MedianOrNull(samples.Select(s => s.ReachableSpeedup).OfType<double>()),
            // a rounding error is no broken promise
            IsPromiseInRange = Array.TrueForAll(
                samples,
                s => s.PromisedSpeedup >= 1 - 1e-6 && !(s.PromisedSpeedup > s.ReachableSpeedup * (1 + 1e-6))
            ),
            MeasuredSpeedup = speedup,
            MeasuredSpeedupMin = ratios.Min(),
            MeasuredSpeedupMax = ratios.Max(),
            MeasuredSpeedup95 = Statistics.RatioInterval(rounds, seed) is { } interval
                ? [interval.Low, interval.High]
                : null,
            PromiseError = (speedup / promised) - 1,
            MeasuredCpuSpeedup = baselineCpu / cpu,
            TimeRatio = 1 / speedup,
            TtftMs = Statistics.Median(ours),
            BaselineTtftMs = Statistics.Median(baseline),
            TtftPercentiles = Percentiles.Of(ours),
            Pairs = samples.Length,
            DisturbedPairs = pairs.Count(pair =>
                pair.Ours.OtherCpuShare > BenchRound.DisturbedShare
                || pair.Baseline.OtherCpuShare > BenchRound.DisturbedShare
            ),
            TokensPerStage = [.. report.Stages.Select(s => s.Tokens)],
            StageLayers = [.. report.Stages.Select(s => s.LayerBegin)],
            StageMs =
            [
                .. Enumerable
                    .Range(0, report.Stages.Count)
                    // a threshold may merge stages in one round and not in another
                    .Select(stage =>
                        MedianOrNull(samples.Where(s => stage < s.StageMs.Count).Select(s => s.StageMs[stage])) ?? 0
                    ),
            ],
            SelectMs = Statistics.Median([.. samples.Select(s => s.SelectMs)]),
            FirstTokenMs = Statistics.Median([
                .. samples.Select(s => Math.Max(0, s.TtftMs - s.StageMs.Sum() - s.SelectMs)),
            ]),
            KvBytes = report.KvBytes,
            KvShare = KvShare(report),
            CpuMs = cpu,
            BaselineCpuMs = baselineCpu,
            DecodeMsPerToken = MedianOrNull(samples.SelectMany(s => s.DecodeMs)),
            BaselineDecodeMsPerToken = MedianOrNull(baselines.SelectMany(run => run.Run.DecodeMs)),
            SameFirstToken = Array.TrueForAll(samples, s => s.FirstToken == s.BaselineFirstToken),
            SameLogits = Array.TrueForAll(samples, s => s.SameLogits),
            Reason = report.Reason,
            Samples = samples,
        };
    }

    private static BenchSample Sample(MeasuredRun ours, MeasuredRun baseline, BenchKind kind) =>
        new()
        {
            PromisedSpeedup = ours.Run.Report?.PromisedSpeedup ?? 1,
            IsPromiseMeasured = ours.Run.Report?.IsPromiseMeasured ?? false,
            // a plan that is given may be faster than any that would be made
            ReachableSpeedup = kind == BenchKind.Target ? ours.Run.ReachableSpeedup : null,
            Plan = PlanText.FormatOrNull(ours.Run.Report?.Plan),
            Round = ours.Round,
            Position = ours.Slot.Position,
            BaselinePosition = baseline.Slot.Position,
            TtftMs = ours.Run.TtftMs,
            BaselineTtftMs = baseline.Run.TtftMs,
            CpuMs = ours.Run.CpuMs,
            BaselineCpuMs = baseline.Run.CpuMs,
            StageMs = [.. (ours.Run.Report?.Stages ?? []).Select(stage => stage.Time.TotalMilliseconds)],
            SelectMs = ours.Run.Report?.SelectTime.TotalMilliseconds ?? 0,
            OtherCpuShare = ours.OtherCpuShare,
            FirstToken = ours.Run.FirstToken,
            BaselineFirstToken = baseline.Run.FirstToken,
            SameLogits = ours.Run.LogitsHash == baseline.Run.LogitsHash,
            SameDecodedTokens =
                ours.Run.DecodedTokens.Count == 0
                    ? null
                    : ours.Run.DecodedTokens.SequenceEqual(baseline.Run.DecodedTokens),
            DecodeMs = ours.Run.DecodeMs,
            BaselineDecodeMs = baseline.Run.DecodeMs,
        };

    private static BenchRivalRow RivalRow(
        BenchMeasurements measurements,
        string rival,
        string model,
        int length,
        MeasuredRivalRun[] runs
    )
    {
        double[] times = [.. runs.Select(run => run.Run.TtftMs)];
        return new BenchRivalRow
        {
            Rival = rival,
            Model = model,
            PromptTokens = length,
            RivalPromptTokens = MedianOrNull(
                runs.Select(run => run.Run.PromptTokens).OfType<int>().Select(n => (double)n)
            ),
            TtftMs = Statistics.Median(times),
            TtftPercentiles = Percentiles.Of(times),
            SpeedupOverBaseline =
                MedianOrNull(measurements.Baselines(length).Select(run => run.Run.TtftMs)) / Statistics.Median(times),
            DecodeMsPerToken = MedianOrNull(runs.SelectMany(run => run.Run.DecodeMs)),
            Samples =
            [
                .. runs.Select(run => new BenchRivalSample
                {
                    Round = run.Round,
                    Position = run.Slot.Position,
                    TtftMs = run.Run.TtftMs,
                    RivalPromptTokens = run.Run.PromptTokens,
                    DecodeMs = run.Run.DecodeMs,
                }),
            ],
        };
    }

    // every layer holds the tokens that ran through it
    private static double KvShare(PrefillReport report)
    {
        double layers = report.Stages[^1].LayerEnd - report.Stages[0].LayerBegin;
        return report.Stages.Sum(stage => (double)stage.Tokens * (stage.LayerEnd - stage.LayerBegin))
            / (layers * report.Stages[0].Tokens);
    }

    private static double? MedianOrNull(IEnumerable<double> values)
    {
        double[] all = [.. values];
        return all.Length == 0 ? null : Statistics.Median(all);
    }
}

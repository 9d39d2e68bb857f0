using Foretoken.Cli.Bench.Rivals;

namespace Foretoken.Cli.Bench;

/// <summary>One measured run of our side or of the baseline.</summary>
/// <param name="Round">Its round, from 0.</param>
/// <param name="Slot">Its place in the round.</param>
/// <param name="Run">What was measured.</param>
/// <param name="OtherCpuShare">Share of the machine's cores that other processes used meanwhile; null when unknown.</param>
internal sealed record MeasuredRun(int Round, BenchSlot Slot, EngineRun Run, double? OtherCpuShare);

/// <summary>One measured run of a rival.</summary>
internal sealed record MeasuredRivalRun(int Round, BenchSlot Slot, RivalRun Run);

/// <summary>What was measured so far; complete or not, a report can be made of it.</summary>
internal sealed class BenchMeasurements
{
    internal List<MeasuredRun> Runs { get; } = [];
    internal List<MeasuredRivalRun> RivalRuns { get; } = [];
    internal List<BenchRound> Rounds { get; } = [];

    /// <summary>The most memory of our process; null where unknown.</summary>
    internal long? PeakMemoryBytes { get; set; }

    /// <summary>The most memory of the baseline's process; null where unknown.</summary>
    internal long? BaselinePeakMemoryBytes { get; set; }

    /// <summary>Our runs of a case, each with the baseline's run of the same tokens that was nearest to it in time.</summary>
    internal IReadOnlyList<(MeasuredRun Ours, MeasuredRun Baseline)> Pairs(int caseIndex) =>
        [
            .. Runs.Where(run => run.Slot.Side == BenchSide.Foretoken && run.Slot.Index == caseIndex)
                .Select(ours =>
                    (
                        ours,
                        Baseline: Baselines(ours.Slot.Length)
                            .Where(run => run.Round == ours.Round)
                            .MinBy(run => Math.Abs(run.Slot.Position - ours.Slot.Position))
                    )
                )
                // a cancelled round may have none
                .Where(pair => pair.Baseline is not null)
                .Select(pair => (pair.ours, pair.Baseline!)),
        ];

    /// <summary>The baseline's runs of a length.</summary>
    internal IEnumerable<MeasuredRun> Baselines(int length) =>
        Runs.Where(run => run.Slot.Side == BenchSide.Baseline && run.Slot.Length == length);
}

using System.Globalization;
using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Machine;

namespace Foretoken.Cli.Bench;

/// <summary>Runs both sides, and rivals where there are any, in the order of the schedule.</summary>
/// <param name="foretoken">Our side.</param>
/// <param name="baseline">Unpatched llama.cpp.</param>
/// <param name="rivals">Other programs.</param>
/// <param name="load">What the machine is busy with.</param>
/// <param name="time">The clock of the progress display and of <c>--max-minutes</c>.</param>
internal sealed class BenchRunner(
    IBenchEngine foretoken,
    IBenchEngine baseline,
    IReadOnlyList<IRival> rivals,
    IMachineLoad load,
    TimeProvider time
)
{
    /// <summary>Tokens of the short runs that <see cref="Probe"/> makes, at most.</summary>
    internal const int ProbeTokens = 256;

    // shorter than this, the kernel's count of busy time is too coarse
    private static readonly TimeSpan MeasurableLoad = TimeSpan.FromSeconds(1);

    /// <summary>Two short runs of the baseline; the first one reads the weights from the disk, and the second tells how fast it is.</summary>
    internal BenchEstimate Probe(BenchRun run, CancellationToken cancellationToken)
    {
        BenchCase shortest = run.Cases.MinBy(what => what.PromptTokens)!;
        int tokens = Math.Min(shortest.PromptTokens, ProbeTokens);
        int[] prompt = PromptTokens.Create(tokens, run.VocabularySize, run.Seed, -1);
        baseline.Run(prompt, shortest, 0, cancellationToken);
        return new BenchEstimate(
            run.Costs,
            tokens,
            baseline.Run(prompt, shortest, Math.Min(run.DecodeTokens, 4), cancellationToken)
        );
    }

    /// <summary>How long all of it will take.</summary>
    internal static TimeSpan Estimate(BenchRun run, BenchEstimate estimate) =>
        TimeSpan.FromSeconds(Schedule(run).Sum(round => round.Slots.Sum(slot => Seconds(run, estimate, slot))));

    /// <summary>Measures.</summary>
    /// <param name="run">What.</param>
    /// <param name="estimate">How long runs take.</param>
    /// <param name="into">Receives what is measured, run by run, so that it is there when this is stopped.</param>
    /// <param name="progress">Receives how far it is, before every run.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>Whether all rounds were run; not when the time was up before.</returns>
    internal bool Run(
        BenchRun run,
        BenchEstimate estimate,
        BenchMeasurements into,
        IProgress<BenchProgress> progress,
        CancellationToken cancellationToken
    )
    {
        long start = time.GetTimestamp();
        (int Number, IReadOnlyList<BenchSlot> Slots)[] schedule = [.. Schedule(run)];
        for (int i = 0; i < schedule.Length; i++)
        {
            (int number, IReadOnlyList<BenchSlot> slots) = schedule[i];
            if (
                number > 0
                && run.MaxDuration is { } limit
                && time.GetElapsedTime(start).TotalSeconds + slots.Sum(slot => Seconds(run, estimate, slot))
                    > limit.TotalSeconds
            )
            {
                return false;
            }
            RunRound(run, number, slots, schedule[(i + 1)..], estimate, into, progress, start, cancellationToken);
        }
        return true;
    }

    private static IEnumerable<(int Number, IReadOnlyList<BenchSlot> Slots)> Schedule(BenchRun run) =>
        [
            (-1, BenchSchedule.WarmUp(run.Cases, run.Rivals)),
            .. BenchSchedule.Rounds(run.Cases, run.Rivals, run.Rounds, run.Seed).Select((slots, i) => (i, slots)),
        ];

    private void RunRound(
        BenchRun run,
        int number,
        IReadOnlyList<BenchSlot> slots,
        IReadOnlyList<(int Number, IReadOnlyList<BenchSlot> Slots)> later,
        BenchEstimate estimate,
        BenchMeasurements into,
        IProgress<BenchProgress> progress,
        long start,
        CancellationToken cancellationToken
    )
    {
        LoadReading before = load.Read();
        LoadSum sum = new();
        try
        {
            for (int i = 0; i < slots.Count; i++)
            {
                double left =
                    slots.Skip(i).Sum(slot => Seconds(run, estimate, slot))
                    + later.Sum(round => round.Slots.Sum(slot => Seconds(run, estimate, slot)));
                double gone = time.GetElapsedTime(start).TotalSeconds;
                progress.Report(
                    new BenchProgress(Describe(run, number, slots[i]), gone / (gone + left), TimeSpan.FromSeconds(left))
                );
                RunSlot(run, number, slots[i], estimate, into, sum, cancellationToken);
            }
        }
        finally
        {
            if (number >= 0)
            {
                into.Rounds.Add(
                    BenchRound.Of(number, slots.Count, before.Average, load.Read().Average, Share(sum, run.Cores))
                );
            }
        }
        into.PeakMemoryBytes = foretoken.Usage().PeakMemoryBytes;
        into.BaselinePeakMemoryBytes = baseline.Usage().PeakMemoryBytes;
    }

    private void RunSlot(
        BenchRun run,
        int number,
        BenchSlot slot,
        BenchEstimate estimate,
        BenchMeasurements into,
        LoadSum sum,
        CancellationToken cancellationToken
    )
    {
        // the same prompt for all runs of a length in a round; another one in every round
        int[] prompt = PromptTokens.Create(slot.Length, run.VocabularySize, run.Seed, number + 1);
        if (slot.Side == BenchSide.Rival)
        {
            RivalRun rivalRun = rivals[slot.Index]
                .Run(new RivalPrompt(prompt, run.RivalText(slot.Length, number)), run.DecodeTokens, cancellationToken);
            if (number >= 0)
            {
                into.RivalRuns.Add(new MeasuredRivalRun(number, slot, rivalRun));
            }
            return;
        }

        BenchCase what = Case(run, slot);
        LoadSum own = Watch(
            () =>
                (slot.Side == BenchSide.Baseline ? baseline : foretoken).Run(
                    prompt,
                    what,
                    run.DecodeTokens,
                    cancellationToken
                ),
            out EngineRun measured
        );
        sum.Add(own);
        estimate.Observe(slot.Length, Speedup(run, estimate, slot), run.DecodeTokens, own.Wall.TotalSeconds);
        if (number >= 0)
        {
            into.Runs.Add(new MeasuredRun(number, slot, measured, Share(own, run.Cores)));
        }
    }

    private LoadSum Watch(Func<EngineRun> measure, out EngineRun measured)
    {
        (TimeSpan? busy, TimeSpan used) = (load.Read().BusyTime, Used());
        long start = time.GetTimestamp();
        measured = measure();
        return new LoadSum
        {
            Wall = time.GetElapsedTime(start),
            Own = Used() - used,
            Busy = load.Read().BusyTime - busy,
        };

        TimeSpan Used() => foretoken.Usage().CpuTime + baseline.Usage().CpuTime;
    }

    /// <summary>Share of the cores that went to others.</summary>
    private static double? Share(LoadSum sum, int cores) =>
        sum.Busy is { } busy && sum.Wall >= MeasurableLoad
            ? Math.Clamp((busy - sum.Own) / (sum.Wall * cores), 0, 1)
            : null;

    private static double Seconds(BenchRun run, BenchEstimate estimate, BenchSlot slot) =>
        estimate.Seconds(slot.Length, Speedup(run, estimate, slot), run.DecodeTokens);

    private static double Speedup(BenchRun run, BenchEstimate estimate, BenchSlot slot) =>
        slot.Side == BenchSide.Foretoken ? estimate.Speedup(run.Cases[slot.Index]) : 1;

    // the baseline prefills plainly whatever it is told
    private static BenchCase Case(BenchRun run, BenchSlot slot) =>
        slot.Side == BenchSide.Foretoken
            ? run.Cases[slot.Index]
            : new BenchCase(slot.Length, BenchKind.Target, 1, null);

    private string Describe(BenchRun run, int number, BenchSlot slot)
    {
        string what = slot.Side switch
        {
            BenchSide.Baseline => "unpatched",
            BenchSide.Rival => rivals[slot.Index].Name,
            _ => run.Cases[slot.Index].Describe(),
        };
        string round =
            number < 0
                ? "warming up"
                : string.Create(CultureInfo.InvariantCulture, $"round {number + 1} of {run.Rounds}");
        return string.Create(CultureInfo.InvariantCulture, $"{round}, {slot.Length:#,0} tokens, {what}");
    }

    private sealed class LoadSum
    {
        internal TimeSpan Wall { get; set; }
        internal TimeSpan Own { get; set; }
        internal TimeSpan? Busy { get; set; } = TimeSpan.Zero;

        internal void Add(LoadSum other)
        {
            Wall += other.Wall;
            Own += other.Own;
            Busy += other.Busy;
        }
    }
}

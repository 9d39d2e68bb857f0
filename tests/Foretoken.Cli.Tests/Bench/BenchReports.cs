using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Machine;
using Foretoken.Costs;
using Foretoken.Plans;
using Foretoken.Sessions;

namespace Foretoken.Cli.Tests.Bench;

/// <summary>Engines that take the time they are told to, and what a benchmark of them reports.</summary>
internal static class BenchReports
{
    internal static readonly BenchCase[] Cases =
    [
        new(64, BenchKind.Target, 1, null),
        new(64, BenchKind.Target, 2, null),
        new(64, BenchKind.KeepAll, 1, PrefillPlan.FromBoundaries([new PlanBoundary(3, 1)])),
        new(128, BenchKind.Plan, 1, PrefillPlan.FromBoundaries([new PlanBoundary(3, 0.25)])),
    ];

    private static readonly ModelShape Shape = new()
    {
        LayerCount = 30,
        EmbeddingSize = 64,
        HeadCount = 4,
        KvHeadCount = 2,
        FeedForwardSize = 128,
        VocabularySize = 500,
    };

    internal static BenchRun Run(BenchCase[] cases, int rounds, int decode = 0, int rivals = 0) =>
        new()
        {
            Cases = cases,
            Rounds = rounds,
            Seed = 4,
            DecodeTokens = decode,
            VocabularySize = 500,
            Costs = new CountedPrefillCost(Shape),
            Cores = 2,
            Rivals = rivals,
            RivalText = (tokens, round) => $"{tokens} tokens of round {round}",
        };

    internal static BenchSettings Settings(int pairs, int decode) =>
        new()
        {
            Lengths = [64, 128],
            Targets = [1, 2],
            Plans = ["3@0.25"],
            Pairs = pairs,
            WarmUp = "once",
            Seed = 4,
            Order = BenchSchedule.Order,
            DecodeTokens = decode,
            Threads = 2,
            BatchSize = 256,
            UbatchSize = 128,
            KvCacheType = "f16",
            FlashAttention = "auto",
            GpuLayers = 0,
            Devices = ["CPU"],
            AskedDevices = [],
            RpcServers = [],
            BaselineRpcServers = [],
            MaxMinutes = null,
            Environment = new Dictionary<string, string>(),
        };

    /// <summary>The report of a benchmark whose baseline takes 100 ms for 64 tokens, with 1 % of noise.</summary>
    /// <param name="noiseSeed">Another seed is another day.</param>
    /// <param name="rounds">Rounds.</param>
    /// <param name="slowdown">By how much our side is slower than usual, by case.</param>
    internal static BenchReport Measured(int noiseSeed, int rounds = 5, Func<BenchCase, double>? slowdown = null)
    {
        Random noise = new(noiseSeed);
        FakeEngine ours = new() { Time = what => Plain(what) / what.Target * (slowdown?.Invoke(what) ?? 1) * Noise() };
        FakeEngine baseline = new() { IsBaseline = true, Time = what => Plain(what) * Noise() };
        BenchMeasurements measurements = Measure(ours, baseline, Run(Cases, rounds, decode: 2));
        return Of(measurements, Cases, rounds);

        static double Plain(BenchCase what) => 100.0 * what.PromptTokens / 64;
        double Noise() => 1 + (0.02 * (noise.NextDouble() - 0.5));
    }

    internal static BenchMeasurements Measure(
        FakeEngine ours,
        FakeEngine baseline,
        BenchRun run,
        IRival[]? rivals = null,
        IMachineLoad? load = null,
        IProgress<BenchProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        BenchMeasurements measurements = new();
        BenchRunner runner = new(ours, baseline, rivals ?? [], load ?? new FakeLoad(), TimeProvider.System);
        BenchEstimate estimate = runner.Probe(run, CancellationToken.None);
        ours.Runs.Clear();
        baseline.Runs.Clear();
        try
        {
            runner.Run(run, estimate, measurements, progress ?? new NoProgress(), cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // what was measured is what the caller asked for
        }
        return measurements;
    }

    internal static IReadOnlyList<BenchRow> Rows(BenchMeasurements measurements, BenchCase[] cases) =>
        BenchRows.Of(cases, measurements, "tiny", seed: 4);

    internal static BenchReport Of(
        BenchMeasurements measurements,
        BenchCase[] cases,
        int rounds,
        IReadOnlyList<IRival>? rivals = null
    )
    {
        IReadOnlyList<BenchRow> rows = Rows(measurements, cases);
        return new BenchReport
        {
            Format = BenchReport.CurrentFormat,
            CreatedAt = DateTimeOffset.UnixEpoch,
            IsComplete = true,
            StoppedBecause = null,
            Notes = ["a <note> & more"],
            Machine = new MachineInfo
            {
                Cpu = "a CPU",
                Cores = 2,
                MemoryBytes = 1 << 30,
                OperatingSystem = "an OS",
                Architecture = "X64",
                Runtime = ".NET",
                LoadAverage = 0.5,
            },
            Models =
            [
                new BenchModel
                {
                    Name = "tiny",
                    Description = "a fake <model>",
                    IsSynthetic = true,
                    Architecture = "llama",
                    Layers = 30,
                    EmbeddingSize = 64,
                    VocabularySize = 500,
                    Parameters = 1,
                    SizeBytes = 1,
                    ContextSize = 256,
                    Importance = "head-normalized-window",
                    CalibrationSeconds = null,
                    Rounds = measurements.Rounds,
                    PeakMemoryBytes = measurements.PeakMemoryBytes,
                    BaselinePeakMemoryBytes = measurements.BaselinePeakMemoryBytes,
                },
            ],
            Build = new BenchBuild
            {
                LlamaRelease = "b1",
                PatchHash = "p",
                Key = "k",
                Options = "cpu",
                Compiler = "c",
                BuildType = "Release",
                Tree = "t",
                Version = "1",
                Library = JsonDocument.Parse("{}").RootElement,
                BaselineSystemInfo = "",
            },
            Settings = Settings(rounds, 0),
            Promises = PromiseSummary.Of(rows),
            Exactness = BenchRows.Exactness(rows),
            Rows = rows,
            Baseline = BenchRows.Baselines(measurements, "tiny"),
            Rivals = BenchRows.Rivals(measurements, rivals ?? [], "tiny"),
        };
    }

    private sealed class NoProgress : IProgress<BenchProgress>
    {
        public void Report(BenchProgress value) { }
    }
}

/// <summary>A side that takes the time it is told to.</summary>
internal sealed class FakeEngine : IBenchEngine
{
    internal bool IsBaseline { get; init; }

    /// <summary>Milliseconds of a run.</summary>
    internal Func<BenchCase, double> Time { get; init; } = _ => 10;

    /// <summary>The first token of a run.</summary>
    internal Func<BenchCase, int> Token { get; init; } = _ => 7;

    internal double Reachable { get; init; } = 3;

    internal Action? OnRun { get; set; }

    internal List<(int[] Prompt, BenchCase Case)> Runs { get; } = [];

    internal ProcessUsage Used { get; set; } = new(TimeSpan.Zero, 1000);

    public EngineRun Run(int[] prompt, BenchCase what, int decodeTokens, CancellationToken cancellationToken)
    {
        OnRun?.Invoke();
        cancellationToken.ThrowIfCancellationRequested();
        Runs.Add((prompt, what));
        int first = Token(what);
        return new EngineRun
        {
            TtftMs = Time(what),
            CpuMs = 20,
            FirstToken = first,
            LogitsHash = $"{first:x16}",
            DecodedTokens = [.. Enumerable.Repeat(first, decodeTokens)],
            DecodeMs = [.. Enumerable.Repeat(1.5, decodeTokens)],
            ReachableSpeedup = IsBaseline ? null : Reachable,
            Report =
                IsBaseline ? null
                : what.Plan is null && what.Target == 1 ? Reports.Plain
                : Reports.Thinned,
        };
    }

    public ProcessUsage Usage() => Used;
}

/// <summary>A machine that is as busy as it is told to be.</summary>
internal sealed class FakeLoad : IMachineLoad
{
    internal Func<LoadReading> Reading { get; init; } = () => new LoadReading(0.5, null);

    public LoadReading Read() => Reading();
}

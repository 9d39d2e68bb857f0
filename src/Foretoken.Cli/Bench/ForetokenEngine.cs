using System.Diagnostics;
using Foretoken.Cli.Machine;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Sessions;

namespace Foretoken.Cli.Bench;

/// <summary>Our side: a session of the library, on exact token ids.</summary>
internal sealed class ForetokenEngine : IBenchEngine, IDisposable
{
    private readonly ForetokenSession _session;
    private readonly IImportancePolicy _importance;

    internal ForetokenEngine(ForetokenModel model, SessionOptions options, IImportancePolicy importance)
    {
        Model = model;
        _session = model.CreateSession(options);
        _importance = importance;
    }

    internal ForetokenModel Model { get; }

    internal ForetokenSession Session => _session;

    public EngineRun Run(int[] prompt, BenchCase what, int decodeTokens, CancellationToken cancellationToken)
    {
        PrefillRequest request = new() { Importance = _importance };
        if (what.Plan is { } plan)
        {
            request.Plan = plan;
        }
        else
        {
            request.TargetTtftSpeedup = what.Target;
        }
        using Sampler greedy = Model.CreateSampler();
        _session.Clear();
        double reachable = Reachable(prompt.Length);

        TimeSpan cpuBefore = Environment.CpuUsage.TotalTime;
        long start = Stopwatch.GetTimestamp();
        PrefillReport report = _session.Prefill(prompt, request, progress: null, cancellationToken);
        int first = _session.Sample(greedy);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
        TimeSpan cpu = Environment.CpuUsage.TotalTime - cpuBefore;

        string hash = Fnv1a64.Hash(_session.GetLogits());
        int[] tokens = new int[decodeTokens];
        double[] times = new double[decodeTokens];
        int next = first;
        for (int i = 0; i < decodeTokens; i++)
        {
            tokens[i] = next;
            start = Stopwatch.GetTimestamp();
            _session.Decode(next, cancellationToken);
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            next = _session.Sample(greedy);
        }
        return new EngineRun
        {
            TtftMs = elapsed.TotalMilliseconds,
            CpuMs = cpu.TotalMilliseconds,
            FirstToken = first,
            LogitsHash = hash,
            DecodedTokens = tokens,
            DecodeMs = times,
            Report = report,
            // what was learned of the prefill before may have arrived in between
            ReachableSpeedup = Math.Max(reachable, Reachable(prompt.Length)),
        };
    }

    /// <summary>Measures this machine, so that promises rest on its times. Empties the session.</summary>
    internal CalibrationResult Calibrate(TimeSpan budget, CancellationToken cancellationToken) =>
        _session.Calibrate(new CalibrationOptions { Budget = budget }, progress: null, cancellationToken);

    private double Reachable(int tokens) =>
        new PrefillPlanner(_session.Cost, _importance is LearnedImportance ? Model.Profile?.PlannerOptions : null)
            .Plan(
                new PlanRequest
                {
                    TargetSpeedup = 1,
                    NewTokens = tokens,
                    Importance = _importance.Name,
                }
            )
            .ReachableSpeedup;

    public ProcessUsage Usage()
    {
        using Process self = Process.GetCurrentProcess();
        return new ProcessUsage(
            Environment.CpuUsage.TotalTime,
            self.PeakWorkingSet64 is > 0 and var peak ? peak : null
        );
    }

    public void Dispose() => _session.Dispose();
}

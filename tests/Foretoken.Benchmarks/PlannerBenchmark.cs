using BenchmarkDotNet.Attributes;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Tests.Planning;

namespace Foretoken.Benchmarks;

/// <summary>What planning a prompt costs before its prefill begins: time and managed memory of one <c>Plan</c>.</summary>
[MemoryDiagnoser]
public class PlannerBenchmark
{
    private PrefillPlanner _default = null!;
    private PrefillPlanner _profiled = null!;
    private PrefillPlanner _measured = null!;

    /// <summary>Layers of Llama 3.2 1B, Llama 3.1 8B, 70B and 405B.</summary>
    [Params(16, 32, 80, 126)]
    public int Layers { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        ModelShape shape = new()
        {
            LayerCount = Layers,
            EmbeddingSize = 4096,
            HeadCount = 32,
            KvHeadCount = 8,
            FeedForwardSize = 14336,
            VocabularySize = 128256,
        };
        _default = new PrefillPlanner(shape);
        // as a profile has it: several families of plans, each with the losses that were measured along it
        PrefillPlannerOptions profile = new() { Schedules = [.. new[] { 4, 5, 6, 8, 10 }.Select(Schedule)] };
        _profiled = new PrefillPlanner(shape, profile);
        _measured = new PrefillPlanner(new SyntheticMachine(shape, seed: 1).Truth, profile);
    }

    /// <summary>The default schedule, of which no losses are known.</summary>
    [Benchmark(Baseline = true)]
    public object Plan() => _default.Plan(new PlanRequest { TargetSpeedup = 2.5, NewTokens = 4096 });

    /// <summary>Five schedules with losses, as a profile brings them.</summary>
    [Benchmark]
    public object PlanOfFiveSchedules() => _profiled.Plan(new PlanRequest { TargetSpeedup = 2.5, NewTokens = 4096 });

    /// <summary>The same, with a cost profile: by the times of a machine instead of operations.</summary>
    [Benchmark]
    public object PlanByMeasuredTimes() => _measured.Plan(new PlanRequest { TargetSpeedup = 2.5, NewTokens = 4096 });

    /// <summary>Five schedules, operations, and a quality budget instead of a target.</summary>
    [Benchmark]
    public object PlanWithinQualityBudget() =>
        _profiled.Plan(new PlanRequest { MaxQualityLoss = 0.3, NewTokens = 4096 });

    /// <summary>A target that no plan reaches: the best that is possible, and why.</summary>
    [Benchmark]
    public object PlanOutOfReach() => _profiled.Plan(new PlanRequest { TargetSpeedup = 50, NewTokens = 4096 });

    private static PrefillSchedule Schedule(int layer) =>
        new(
            [layer / 30.0, (layer + 4) / 30.0, (layer + 9) / 30.0],
            [
                [1, 0.25, 0.25],
                [0.5, 0.25, 0.12],
                [0.2, 0.1, 0.05],
            ],
            [0.1 + (0.01 * layer), 0.3 + (0.01 * layer), 0.9 + (0.01 * layer)]
        );
}

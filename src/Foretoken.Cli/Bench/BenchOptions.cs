using Foretoken.Inference;
using Foretoken.Planning;

namespace Foretoken.Cli.Bench;

/// <summary>What the command line asked for.</summary>
internal sealed record BenchOptions
{
    public IReadOnlyList<int> Lengths { get; init; } = [512, 1024, 2048];

    /// <summary>Null when not given: the default speeds, or only 1 beside given plans.</summary>
    public IReadOnlyList<double>? Speeds { get; init; }

    public IReadOnlyList<PrefillPlan> Plans { get; init; } = [];
    public int Pairs { get; init; } = 5;
    public int Seed { get; init; } = 1;
    public int DecodeTokens { get; init; }
    public string? Model { get; init; }
    public string? Synthetic { get; init; }
    public int Threads { get; init; }
    public int BatchSize { get; init; } = 2048;
    public int UBatchSize { get; init; } = 512;
    public KvCacheType KvCacheType { get; init; }
    public FlashAttentionMode FlashAttention { get; init; }
    public int GpuLayers { get; init; }
    public string? Importance { get; init; }

    /// <summary>As <see cref="ProfileOption"/> understands it; null for the profile beside the model.</summary>
    public string? Profile { get; init; }

    /// <summary>File for the JSON, <c>-</c> for standard output; null for none.</summary>
    public string? Json { get; init; }

    internal static IReadOnlyList<double> DefaultSpeeds { get; } = [1, 1.5, 2, 2.9];

    /// <summary>The rows: per length the speeds, keep-all, and the given plans.</summary>
    /// <param name="layers">Layers of the model.</param>
    /// <exception cref="CliException">A plan does not fit the model.</exception>
    internal IReadOnlyList<BenchCase> Cases(int layers)
    {
        IReadOnlyList<double> speeds = Speeds ?? (Plans.Count > 0 ? [1] : DefaultSpeeds);
        try
        {
            foreach (PrefillPlan plan in Plans)
            {
                plan.EnsureFits(layers);
            }
        }
        catch (ArgumentException e)
        {
            throw new CliException(ErrorText.Describe(e), e);
        }
        List<BenchCase> cases = [];
        foreach (int length in Lengths)
        {
            cases.AddRange(speeds.Select(speed => new BenchCase(length, BenchKind.Target, speed, null)));
            if (layers > 1)
            {
                cases.Add(new BenchCase(length, BenchKind.KeepAll, 1, KeepAll(layers)));
            }
            cases.AddRange(Plans.Select(plan => new BenchCase(length, BenchKind.Plan, 1, plan)));
        }
        return cases;
    }

    // the boundaries of the first given plan; otherwise one after a fifth of the layers, where the planner cuts first
    private PrefillPlan KeepAll(int layers) =>
        PrefillPlan.FromBoundaries(
            Plans.Count > 0
                ? Plans[0].Boundaries.Select(b => b with { Retention = 1 })
                : [new PlanBoundary(Math.Clamp((int)Math.Round(layers / 5.0), 1, layers - 1), 1)]
        );
}

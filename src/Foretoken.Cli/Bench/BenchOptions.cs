using Foretoken.Cli.Console;
using Foretoken.Cli.Options;
using Foretoken.Plans;
using Foretoken.Sessions;

namespace Foretoken.Cli.Bench;

/// <summary>What the command line asked for.</summary>
internal sealed record BenchOptions
{
    /// <summary>Null when not given: those of a first look, or with <see cref="Full"/> all that the model's context allows.</summary>
    public IReadOnlyList<int>? Lengths { get; init; }

    /// <summary>Null when not given: those of a first look or of <see cref="Full"/>, or only 1 beside given plans.</summary>
    public IReadOnlyList<double>? Targets { get; init; }

    public IReadOnlyList<PrefillPlan> Plans { get; init; } = [];

    /// <summary>Null when not given: <see cref="QuickPairs"/>, or with <see cref="Full"/> <see cref="FullPairs"/>.</summary>
    public int? Pairs { get; init; }

    /// <summary>All lengths and targets.</summary>
    public bool Full { get; init; }

    /// <summary>Also rows that run in stages and keep everything.</summary>
    public bool KeepAll { get; init; }

    public int Seed { get; init; } = 1;
    public int DecodeTokens { get; init; } = 8;

    /// <summary>Seconds that this machine is measured for before the first round; 0 for not at all.</summary>
    public double CalibrationSeconds { get; init; } = 15;
    public double? MaxMinutes { get; init; }
    public IReadOnlyList<string> Models { get; init; } = [];
    public IReadOnlyList<string> Synthetics { get; init; } = [];
    public int Threads { get; init; }
    public int BatchSize { get; init; } = 2048;
    public int UBatchSize { get; init; } = 512;
    public KvCacheType KvCacheType { get; init; }
    public FlashAttentionMode FlashAttention { get; init; }
    public DeviceChoice Devices { get; init; } = new();

    /// <summary>For the unpatched side: a server serves one process at a time.</summary>
    public IReadOnlyList<string> BaselineRpcServers { get; init; } = [];
    public string? Importance { get; init; }

    /// <summary>As <see cref="ProfileOption"/> understands it; null for the profile beside the model.</summary>
    public string? Profile { get; init; }

    /// <summary>As <see cref="Rivals.RivalOption"/> understands them.</summary>
    public IReadOnlyList<string> Rivals { get; init; } = [];

    /// <summary>A command line that starts a server; null for none.</summary>
    public string? RivalCommand { get; init; }

    /// <summary>File for the JSON, <c>-</c> for standard output; null for none.</summary>
    public string? Json { get; init; }

    /// <summary>File for the page; null for none.</summary>
    public string? Html { get; init; }

    internal const int QuickPairs = 3;
    internal const int FullPairs = 5;

    internal static IReadOnlyList<int> QuickLengths { get; } = [512, 1024, 2048];
    internal static IReadOnlyList<int> FullLengths { get; } = [512, 1024, 2048, 4096, 8192];
    internal static IReadOnlyList<double> QuickTargets { get; } = [1, 1.5, 2, 2.9];
    internal static IReadOnlyList<double> FullTargets { get; } = [1, 1.25, 1.5, 2, 2.5, 2.9, 4];

    internal int Rounds => Pairs ?? (Full ? FullPairs : QuickPairs);

    internal IReadOnlyList<double> AskedTargets =>
        Targets is not null ? [.. Targets.Distinct()]
        : Full ? FullTargets
        : Plans.Count > 0 ? [1]
        : QuickTargets;

    /// <summary>The prompt lengths for a model.</summary>
    /// <param name="trainedContext">Tokens of context that it was trained with; lengths that were asked for may be longer.</param>
    /// <exception cref="CliException">No default length fits.</exception>
    internal IReadOnlyList<int> LengthsFor(int trainedContext)
    {
        if (Lengths is not null)
        {
            return [.. Lengths.Distinct()];
        }
        int[] fitting = [.. (Full ? FullLengths : QuickLengths).Where(length => length <= trainedContext)];
        return fitting.Length > 0
            ? fitting
            : throw new CliException(
                FormattableString.Invariant(
                    $"The model's context of {trainedContext} tokens is shorter than every default length; name lengths with --lengths."
                )
            );
    }

    /// <summary>The rows: per length the targets, keep-all where it is asked for, and the given plans.</summary>
    /// <param name="layers">Layers of the model.</param>
    /// <param name="trainedContext">Tokens of context that it was trained with.</param>
    /// <exception cref="CliException">A plan does not fit the model, or no default length does.</exception>
    internal IReadOnlyList<BenchCase> Cases(int layers, int trainedContext)
    {
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
        foreach (int length in LengthsFor(trainedContext))
        {
            cases.AddRange(AskedTargets.Select(target => new BenchCase(length, BenchKind.Target, target, null)));
            if (layers > 1 && KeepAll)
            {
                cases.Add(new BenchCase(length, BenchKind.KeepAll, 1, KeepAllPlan(layers)));
            }
            cases.AddRange(Plans.Select(plan => new BenchCase(length, BenchKind.Plan, 1, plan)));
        }
        return cases;
    }

    // the boundaries of the first given plan that has any; otherwise one after a fifth of the layers, where the planner cuts first
    private PrefillPlan KeepAllPlan(int layers) =>
        PrefillPlan.FromBoundaries(
            Plans.FirstOrDefault(plan => plan.Boundaries.Count > 0) is { } plan
                ? plan.Boundaries.Select(b => b with { Retention = 1 })
                : [new PlanBoundary(Math.Clamp((int)Math.Round(layers / 5.0), 1, layers - 1), 1)]
        );
}

using System.Globalization;
using Foretoken.Cli.Plan;
using Foretoken.Plans;

namespace Foretoken.Cli.Bench;

/// <summary>What a row of the benchmark runs.</summary>
internal enum BenchKind
{
    /// <summary>The planner's plan for a target speedup; target 1 is plain prefill.</summary>
    Target,

    /// <summary>Staged, probed and selected, but every token kept: what staging costs.</summary>
    KeepAll,

    /// <summary>A plan given on the command line.</summary>
    Plan,
}

/// <summary>One row of the benchmark.</summary>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="Kind">What is run.</param>
/// <param name="Target">The target speedup of <see cref="BenchKind.Target"/>; 1 for the others.</param>
/// <param name="Plan">The plan; null for <see cref="BenchKind.Target"/>.</param>
internal sealed record BenchCase(int PromptTokens, BenchKind Kind, double Target, PrefillPlan? Plan)
{
    /// <summary>Whether every token goes through every layer, so that the logits must be those of unpatched llama.cpp.</summary>
    internal bool IsExact => Kind == BenchKind.KeepAll || (Kind == BenchKind.Target && Target == 1);

    /// <summary>For people.</summary>
    internal string Describe() =>
        Kind == BenchKind.Target
            ? string.Create(CultureInfo.InvariantCulture, $"target {Target:0.##}")
            : "plan " + PlanText.Format(Plan!);
}

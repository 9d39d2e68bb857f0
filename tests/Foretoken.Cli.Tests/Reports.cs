using Foretoken.Cli.Bench;
using Foretoken.Costs;
using Foretoken.Plans;
using Foretoken.Sessions;

namespace Foretoken.Cli.Tests;

/// <summary>Prefill reports as a session would give them.</summary>
internal static class Reports
{
    /// <summary>1,000 tokens, 400 of them above layer 6 of 30.</summary>
    internal static PrefillReport Thinned { get; } =
        new()
        {
            TargetSpeedup = 2,
            PromisedSpeedup = 2.01,
            PromptTokens = 1100,
            ReusedTokens = 100,
            Stages =
            [
                new PrefillStageReport(0, 6, 1000, 1, 2, TimeSpan.FromMilliseconds(200)),
                new PrefillStageReport(6, 30, 400, 0.4, 1, TimeSpan.FromMilliseconds(280)),
            ],
            TimeToFirstToken = TimeSpan.FromMilliseconds(520),
            PrefillTime = TimeSpan.FromMilliseconds(500),
            SelectTime = TimeSpan.FromMilliseconds(3.5),
            EstimatedPlainTime = new PrefillTimeEstimate(TimeSpan.FromMilliseconds(1000), 0.04),
            KvBytes = 12 * 1024 * 1024,
            Importance = "head-normalized-window",
            Plan = PrefillPlan.FromBoundaries([new PlanBoundary(6, 0.4)]),
            Reason = "Of 1000 new tokens go on: layer 6: 40.0 %.",
        };

    /// <summary>The same, with what was left out computed behind the first token.</summary>
    internal static PrefillReport Completed { get; } =
        Thinned with
        {
            Completion = new CompletionReport(CompletionGrade.Fill, Tokens: 1600, RemainingTokens: 0)
            {
                CompleteAtOutputToken = 8,
                Time = TimeSpan.FromMilliseconds(431.5),
                LongestDelay = TimeSpan.FromMilliseconds(70.2),
            },
        };

    /// <summary>The same, of an answer that ended before that was done.</summary>
    internal static PrefillReport PartlyCompleted { get; } =
        Thinned with
        {
            Completion = new CompletionReport(CompletionGrade.Fill, Tokens: 200, RemainingTokens: 1400)
            {
                Time = TimeSpan.FromMilliseconds(60),
                LongestDelay = TimeSpan.FromMilliseconds(60),
            },
        };

    internal static PrefillReport Plain { get; } =
        new()
        {
            TargetSpeedup = 1,
            PromisedSpeedup = 1,
            PromptTokens = 30,
            ReusedTokens = 0,
            Stages = [new PrefillStageReport(0, 30, 30, 1, 1, TimeSpan.FromMilliseconds(100))],
            TimeToFirstToken = TimeSpan.FromMilliseconds(101),
            PrefillTime = TimeSpan.FromMilliseconds(100),
            SelectTime = TimeSpan.Zero,
            KvBytes = 1024,
            Reason = "A speedup of 1 keeps every token.",
        };
}

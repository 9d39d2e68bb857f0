using Foretoken.Plans;

namespace Foretoken.Tuning;

/// <summary>The families of plans that a tuning measures.</summary>
internal static class TuningSchedules
{
    /// <summary>Share of the layers below which boundaries may lie.</summary>
    internal const double DeepestBoundary = 0.45;

    /// <summary>
    /// Two boundaries, after an eighth or a tenth of the layers and after a quarter: on a model of 30 layers 4 and 8, or 3 and 8.
    /// </summary>
    /// <remarks>
    /// With learned importance an early and gentle cut costs less than a late and harsh one, and the more is to go, the more
    /// of it at the first boundary: with 36 % of the token-layers left, 12 summaries of 1,024 tokens lost 0.33 nats with 4@0.4,8@0.24
    /// and 0.51 with 4@0.6,8@0.2; with 69 % left, 0.06 with 4@0.81,8@0.62 and 0.10 with 4@0.68,8@0.64. A third boundary behind
    /// these gained nothing, nor did a single one.
    /// </remarks>
    public static IReadOnlyList<PrefillSchedule> Candidates { get; } =
    [
        new(
            [4 / 30.0, 8 / 30.0],
            [
                [0.8, 0.6],
                [0.65, 0.42],
                [0.4, 0.24],
                [0.25, 0.12],
            ]
        ),
        new(
            [3 / 30.0, 8 / 30.0],
            [
                [0.75, 0.65],
                [0.6, 0.46],
                [0.4, 0.27],
                [0.2, 0.1],
            ]
        ),
    ];
}

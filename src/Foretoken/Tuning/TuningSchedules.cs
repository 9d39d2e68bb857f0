using Foretoken.Planning;

namespace Foretoken.Tuning;

/// <summary>The families of plans that a tuning measures.</summary>
public static class TuningSchedules
{
    /// <summary>Share of the layers below which boundaries may lie.</summary>
    internal const double DeepestBoundary = 0.45;

    /// <summary>
    /// One boundary after a sixth of the layers, a second one after a quarter, and a third one. With learned importance an early
    /// and gentle cut costs less than a late and harsh one; several boundaries reach further, and where few tokens are left, one
    /// cut loses more of what is asked for than two (19 of 23 answers against 22 of 23 at 36 % of the token-layers of a model
    /// of 30 layers), which the divergences of a few prompts do not tell. On a model of 30 layers these are
    /// the boundaries 5, then 4 and 8, then 4, 8 and 13.
    /// </summary>
    public static IReadOnlyList<PrefillSchedule> Candidates { get; } =
    [
        new(
            [5 / 30.0],
            [
                [0.8],
                [0.6],
                [0.4],
            ]
        ),
        new(
            [4 / 30.0, 8 / 30.0],
            [
                [0.8, 0.6],
                [0.7, 0.4],
                [0.6, 0.2],
                [0.45, 0.1],
            ]
        ),
        new(
            [4 / 30.0, 8 / 30.0, 13 / 30.0],
            [
                [0.8, 0.6, 0.5],
                [0.6, 0.35, 0.25],
                [0.5, 0.2, 0.12],
                [0.3, 0.1, 0.06],
            ]
        ),
    ];
}

using Foretoken.Planning;

namespace Foretoken.Tuning;

/// <summary>The families of plans that a tuning measures.</summary>
public static class TuningSchedules
{
    /// <summary>Share of the layers below which boundaries may lie.</summary>
    internal const double DeepestBoundary = 0.45;

    /// <summary>
    /// One boundary after a sixth, a fifth and a quarter of the layers, and three boundaries. Learned importance can cut early
    /// and keep more, which costs less than cutting late and keeping less; several boundaries reach further.
    /// </summary>
    public static IReadOnlyList<PrefillSchedule> Candidates { get; } =
    [
        One(5 / 30.0),
        One(6 / 30.0),
        One(8 / 30.0),
        new(
            [4 / 30.0, 8 / 30.0, 13 / 30.0],
            [
                [0.8, 0.6, 0.5],
                [0.6, 0.4, 0.25],
                [0.5, 0.25, 0.12],
                [0.3, 0.12, 0.06],
            ]
        ),
    ];

    private static PrefillSchedule One(double depth) =>
        new(
            [depth],
            [
                [0.6],
                [0.4],
                [0.25],
                [0.12],
            ]
        );
}

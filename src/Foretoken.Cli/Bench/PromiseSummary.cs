using Foretoken.Cli.Numbers;

namespace Foretoken.Cli.Bench;

/// <summary>How promises held: |measured / promised - 1| over the rows that ask for a speedup above 1.</summary>
internal sealed record PromiseSummary
{
    /// <summary>Rows that were counted.</summary>
    public required int Rows { get; init; }

    /// <summary>Null when no row was counted.</summary>
    public required double? MedianAbsoluteError { get; init; }

    /// <summary>Null when no row was counted.</summary>
    public required double? P95AbsoluteError { get; init; }

    /// <summary>The same by CPU time instead of wall-clock time, which other processes disturb less.</summary>
    public required double? MedianAbsoluteCpuError { get; init; }

    /// <summary>Rows that promise more than the planner says can be reached, or less than 1. There must be none.</summary>
    public required int OutOfRange { get; init; }

    internal static PromiseSummary Of(IEnumerable<BenchRow> rows)
    {
        BenchRow[] asked = [.. rows.Where(row => row.Kind == "target" && row.Target > 1)];
        double[] errors = [.. asked.Select(row => Math.Abs(row.PromiseError))];
        return new PromiseSummary
        {
            Rows = asked.Length,
            MedianAbsoluteError = asked.Length == 0 ? null : Statistics.Median(errors),
            P95AbsoluteError = asked.Length == 0 ? null : Statistics.Quantile(errors, 0.95),
            MedianAbsoluteCpuError =
                asked.Length == 0
                    ? null
                    : Statistics.Median([
                        .. asked.Select(row => Math.Abs((row.MeasuredCpuSpeedup / row.PromisedSpeedup) - 1)),
                    ]),
            OutOfRange = asked.Count(row => !row.IsPromiseInRange),
        };
    }
}

namespace Foretoken.Cli.Numbers;

/// <summary>A percentile with its 95 % interval; the ends are null where there are too few values for one.</summary>
internal sealed record Percentile(double Value, double? Low, double? High);

/// <summary>The percentiles that are reported of times, milliseconds.</summary>
internal sealed record Percentiles(Percentile P50, Percentile P90, Percentile P95)
{
    internal static Percentiles Of(IReadOnlyCollection<double> values) =>
        new(
            Statistics.Percentile(values, 0.5),
            Statistics.Percentile(values, 0.9),
            Statistics.Percentile(values, 0.95)
        );
}

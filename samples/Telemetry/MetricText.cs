using System.Globalization;
using System.Text;
using OpenTelemetry.Metrics;

namespace Foretoken.Samples.Telemetry;

/// <summary>A metric as text: its name and unit, then a line for each set of tags.</summary>
internal static class MetricText
{
    internal static string Format(Metric metric)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"metric {metric.Name} ({metric.Unit})");
        foreach (ref readonly MetricPoint point in metric.GetMetricPoints())
        {
            text.Append("\n  ");
            foreach (KeyValuePair<string, object?> tag in point.Tags)
            {
                text.Append(CultureInfo.InvariantCulture, $"{tag.Key}={tag.Value} ");
            }

            text.Append(": ").Append(Value(metric.MetricType, point));
        }

        return text.ToString();
    }

    private static string Value(MetricType type, in MetricPoint point) =>
        type switch
        {
            MetricType.Histogram => string.Create(
                CultureInfo.InvariantCulture,
                $"{point.GetHistogramCount()} recorded, sum {point.GetHistogramSum():0.###}"
            ),
            MetricType.LongSum or MetricType.LongSumNonMonotonic => string.Create(
                CultureInfo.InvariantCulture,
                $"{point.GetSumLong()}"
            ),
            MetricType.DoubleSum or MetricType.DoubleSumNonMonotonic => string.Create(
                CultureInfo.InvariantCulture,
                $"{point.GetSumDouble():0.###}"
            ),
            MetricType.LongGauge => string.Create(CultureInfo.InvariantCulture, $"{point.GetGaugeLastValueLong()}"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{point.GetGaugeLastValueDouble():0.###}"),
        };
}

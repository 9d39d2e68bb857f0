using System.Diagnostics;
using System.Globalization;

namespace Foretoken.Samples.Telemetry;

/// <summary>An activity as text: its name and duration, then its tags.</summary>
internal static class ActivityText
{
    internal static string Format(Activity activity) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"activity {activity.DisplayName}, {activity.Duration.TotalMilliseconds:0} ms, {activity.Status}"
        )
        + string.Concat(
            activity.TagObjects.Select(tag =>
                string.Create(CultureInfo.InvariantCulture, $"\n  {tag.Key} = {Text(tag.Value)}")
            )
        );

    private static object? Text(object? value) => value is string[] texts ? string.Join(", ", texts) : value;
}

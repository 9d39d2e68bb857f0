namespace Foretoken.Costs;

/// <summary>A time that was not measured, and how sure it is.</summary>
/// <param name="Time">The estimate; in JSON <c>time_ms</c>, milliseconds.</param>
/// <param name="RelativeStandardError">
/// Standard error as a share of <paramref name="Time"/>; 0.05 is 5 %. <see langword="null"/> when it is not known.
/// </param>
public readonly record struct PrefillTimeEstimate(
    [property: System.Text.Json.Serialization.JsonPropertyName("time_ms")] TimeSpan Time,
    double? RelativeStandardError
);

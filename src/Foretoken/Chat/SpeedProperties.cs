using Foretoken.Planning;
using Microsoft.Extensions.AI;

namespace Foretoken.Chat;

/// <summary>The additional properties of a request that say what speed and quality it asks for.</summary>
internal static class SpeedProperties
{
    /// <summary>What the properties say; the rest is null.</summary>
    /// <exception cref="ArgumentException">A value is not of the type of its key, or out of range.</exception>
    internal static SpeedOptions Read(AdditionalPropertiesDictionary properties) =>
        new()
        {
            TargetTtftSpeedup = Number(
                properties,
                ForetokenProperties.TargetTtftSpeedup,
                PrefillPlanner.EnsureValidTarget
            ),
            TargetDecodeSpeedup = Number(
                properties,
                ForetokenProperties.TargetDecodeSpeedup,
                PrefillPlanner.EnsureValidDecodeTarget
            ),
            MaxQualityLoss = Number(
                properties,
                ForetokenProperties.MaxQualityLoss,
                PrefillPlanner.EnsureValidQualityLoss
            ),
            UseThresholds = Flag(properties, ForetokenProperties.UseThresholds),
            Importance =
                properties.TryGetValue(ForetokenProperties.Importance, out object? name) && name is not null
                    ? OptionValue.ToText(ForetokenProperties.Importance, name)
                    : null,
            Strict = Flag(properties, ForetokenProperties.Strict),
        };

    // checked here and not only by the record, so that the error names the key that the caller wrote
    private static double? Number(
        AdditionalPropertiesDictionary properties,
        string key,
        Func<double, string, double> check
    ) =>
        properties.TryGetValue(key, out object? value) && value is not null
            ? check(OptionValue.ToDouble(key, value), key)
            : null;

    private static bool? Flag(AdditionalPropertiesDictionary properties, string key) =>
        properties.TryGetValue(key, out object? value) && value is not null ? OptionValue.ToBoolean(key, value) : null;
}

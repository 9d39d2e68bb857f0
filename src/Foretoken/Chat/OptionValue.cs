using System.Globalization;
using System.Text.Json;

namespace Foretoken.Chat;

/// <summary>Values of additional properties, which arrive as whatever type the caller's framework made of them.</summary>
internal static class OptionValue
{
    /// <summary>A number given as int, long, float, double, decimal, string or JSON.</summary>
    /// <exception cref="ArgumentException">It is something else.</exception>
    internal static double ToDouble(string key, object value)
    {
        double? number = value switch
        {
            double d => d,
            float f => f,
            int i => i,
            long l => l,
            short s => s,
            byte b => b,
            decimal m => (double)m,
            string text => Parse(text),
            JsonElement { ValueKind: JsonValueKind.Number } json => json.GetDouble(),
            JsonElement { ValueKind: JsonValueKind.String } json => Parse(json.GetString()!),
            _ => null,
        };
        return number
            ?? throw new ArgumentException(
                $"The option '{key}' is a number; '{value}' ({value.GetType().Name}) is not one. Numbers may be given as int, long, float, double, decimal, string or JsonElement."
            );
    }

    /// <summary>A text given as string or JSON string.</summary>
    /// <exception cref="ArgumentException">It is something else.</exception>
    internal static string ToText(string key, object value) =>
        value switch
        {
            string text => text,
            JsonElement { ValueKind: JsonValueKind.String } json => json.GetString()!,
            _ => throw new ArgumentException(
                $"The option '{key}' is a text; '{value}' ({value.GetType().Name}) is not one."
            ),
        };

    /// <summary>A yes or no given as bool, string or JSON.</summary>
    /// <exception cref="ArgumentException">It is something else.</exception>
    internal static bool ToBoolean(string key, object value)
    {
        bool? flag = value switch
        {
            bool b => b,
            string text => ParseFlag(text),
            JsonElement { ValueKind: JsonValueKind.True } => true,
            JsonElement { ValueKind: JsonValueKind.False } => false,
            JsonElement { ValueKind: JsonValueKind.String } json => ParseFlag(json.GetString()!),
            _ => null,
        };
        return flag
            ?? throw new ArgumentException(
                $"The option '{key}' is true or false; '{value}' ({value.GetType().Name}) is neither. It may be given as bool, string or JsonElement."
            );
    }

    /// <summary>Numbers by name, given as a dictionary or a JSON object.</summary>
    /// <exception cref="ArgumentException">It is something else.</exception>
    internal static IReadOnlyDictionary<string, float> ToNumbers(string key, object value) =>
        value switch
        {
            IReadOnlyDictionary<string, float> numbers => numbers,
            IReadOnlyDictionary<string, double> numbers => numbers.ToDictionary(
                pair => pair.Key,
                pair => (float)pair.Value
            ),
            IReadOnlyDictionary<string, object> numbers => numbers.ToDictionary(
                pair => pair.Key,
                pair => (float)ToDouble($"{key}.{pair.Key}", pair.Value)
            ),
            JsonElement { ValueKind: JsonValueKind.Object } json => json.EnumerateObject()
                .ToDictionary(pair => pair.Name, pair => (float)ToDouble($"{key}.{pair.Name}", pair.Value)),
            _ => throw new ArgumentException(
                $"The option '{key}' is numbers by name; '{value}' ({value.GetType().Name}) is not. They may be given as a dictionary or as a JSON object."
            ),
        };

    private static bool? ParseFlag(string text) => bool.TryParse(text, out bool flag) ? flag : null;

    private static double? Parse(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : null;
}

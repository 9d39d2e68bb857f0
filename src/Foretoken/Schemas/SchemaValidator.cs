using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Foretoken.Schemas;

/// <summary>Checks a value against a normalised schema, including what no grammar enforces.</summary>
internal sealed class SchemaValidator
{
    // alternatives of references are tried one by one
    private const int MaxSteps = 1_000_000;

    private static readonly TimeSpan PatternTime = TimeSpan.FromSeconds(1);

    private int _steps;

    private SchemaValidator() { }

    internal static bool Fits(JsonElement value, SchemaNode schema) => FindFault(value, schema) is null;

    /// <summary>What does not fit, and where; null when everything does.</summary>
    internal static string? FindFault(JsonElement value, SchemaNode schema) =>
        new SchemaValidator().Find(value, schema, "");

    private string? Find(JsonElement value, SchemaNode schema, string path)
    {
        if (++_steps > MaxSteps)
        {
            return "checking it takes too many steps";
        }
        string? fault = schema switch
        {
            ReferenceNode reference => Find(value, reference.Target.Schema!, path),
            UnionNode union => FindInUnion(value, union, path),
            EnumNode values => values.Values.Any(one => JsonElement.DeepEquals(one, value))
                ? null
                : "it is none of the possible values",
            NullNode => value.ValueKind == JsonValueKind.Null ? null : "it is not null",
            BooleanNode => value.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? null
                : "it is not true or false",
            NumberNode number => FindInNumber(value, number),
            StringNode text => FindInString(value, text),
            ArrayNode array => FindInArray(value, array, path),
            ObjectNode properties => FindInObject(value, properties, path),
            _ => null,
        };
        // the innermost place is named already
        return fault is null || fault.StartsWith('\'') || path.Length == 0 ? fault : $"'{path}': {fault}";
    }

    private string? FindInUnion(JsonElement value, UnionNode union, string path)
    {
        string? fault = "no value is possible";
        foreach (SchemaNode alternative in union.Alternatives)
        {
            fault = Find(value, alternative, path);
            if (fault is null)
            {
                return null;
            }
        }
        return union.Alternatives.Count == 1 ? fault : "it fits none of the alternatives";
    }

    private static string? FindInNumber(JsonElement value, NumberNode number)
    {
        if (value.ValueKind != JsonValueKind.Number)
        {
            return number.IsInteger ? "it is not an integer" : "it is not a number";
        }
        if (!value.TryGetDecimal(out decimal exact))
        {
            // beyond what a decimal holds; only an unbounded number can be that large
            double large = value.TryGetDouble(out double parsed) ? parsed : double.NaN;
            bool fits = large > 0 ? number.Max is null : number.Min is null;
            return fits || Math.Abs(large) < 1 ? null : "it is out of range";
        }
        if (number.IsInteger && exact != decimal.Truncate(exact))
        {
            return "it is not an integer";
        }
        if (number.Min is { } min && (exact < min.Value || (min.IsExclusive && exact == min.Value)))
        {
            return string.Create(CultureInfo.InvariantCulture, $"it is below {min.Value}");
        }
        if (number.Max is { } max && (exact > max.Value || (max.IsExclusive && exact == max.Value)))
        {
            return string.Create(CultureInfo.InvariantCulture, $"it is above {max.Value}");
        }
        return number.MultipleOf is { } factor && exact % factor != 0
            ? string.Create(CultureInfo.InvariantCulture, $"it is not a multiple of {factor}")
            : null;
    }

    private static string? FindInString(JsonElement value, StringNode text)
    {
        if (value.ValueKind != JsonValueKind.String)
        {
            return "it is not a string";
        }
        string content = value.GetString()!;
        int length = content.Length - content.Count(char.IsLowSurrogate);
        if (length < text.MinLength || length > text.MaxLength)
        {
            return $"it has {length} characters";
        }
        if (text.Denied.Contains(content))
        {
            return "it is one of the denied values";
        }
        try
        {
            return text.Pattern is null || Matches(content, text.Pattern) ? null : "it does not match the pattern";
        }
        catch (Exception e) when (e is RegexMatchTimeoutException or ArgumentException or OverflowException)
        {
            return "matching the pattern takes too long";
        }
    }

    private static bool Matches(string content, string pattern)
    {
        try
        {
            // in time linear in the text
            const RegexOptions Linear = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant;
            return Regex.IsMatch(content, pattern, Linear, PatternTime);
        }
        catch (NotSupportedException)
        {
            // too large an automaton for .NET
            return Regex.IsMatch(content, pattern, RegexOptions.CultureInvariant, PatternTime);
        }
    }

    private string? FindInArray(JsonElement value, ArrayNode array, string path)
    {
        if (value.ValueKind != JsonValueKind.Array)
        {
            return "it is not an array";
        }
        int count = value.GetArrayLength();
        if (count < array.MinItems || count > array.MaxItems)
        {
            return $"it has {count} items";
        }
        int i = 0;
        foreach (JsonElement item in value.EnumerateArray())
        {
            SchemaNode? schema = i < array.First.Count ? array.First[i] : array.Item;
            string place = string.Create(CultureInfo.InvariantCulture, $"{path}[{i++}]");
            if ((schema is null ? $"'{place}': no item is possible here" : Find(item, schema, place)) is { } fault)
            {
                return fault;
            }
        }
        if (array.AreUnique)
        {
            JsonElement[] items = [.. value.EnumerateArray()];
            for (i = 0; i < items.Length; i++)
            {
                if (items.Skip(i + 1).Any(other => ++_steps < MaxSteps && JsonElement.DeepEquals(items[i], other)))
                {
                    return "its items are not all different";
                }
            }
        }
        return null;
    }

    private string? FindInObject(JsonElement value, ObjectNode node, string path)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            return "it is not an object";
        }
        HashSet<string> names = [];
        foreach (JsonProperty property in value.EnumerateObject())
        {
            names.Add(property.Name);
            string place = path.Length == 0 ? property.Name : $"{path}.{property.Name}";
            PropertyNode? known = node.Properties.FirstOrDefault(one => one.Name == property.Name);
            string? fault =
                known is not null ? Find(property.Value, known.Schema, place)
                : node.IsClosed ? $"'{place}': there is no such property"
                : node.Additional is not null ? Find(property.Value, node.Additional, place)
                : null;
            if (fault is not null)
            {
                return fault;
            }
        }
        if (
            node.Properties.FirstOrDefault(property => property.IsRequired && !names.Contains(property.Name)) is
            { } missing
        )
        {
            return $"'{(path.Length == 0 ? missing.Name : $"{path}.{missing.Name}")}': it is missing";
        }
        return names.Count < node.MinProperties || names.Count > node.MaxProperties
            ? $"it has {names.Count} properties"
            : null;
    }
}

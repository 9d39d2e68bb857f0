using System.Text.Json;

namespace Foretoken.Schemas;

/// <summary>Writes normalised schemas in the keywords that llama.cpp's conversion to a grammar reads, one meaning each.</summary>
internal static class SchemaWriter
{
    // as many digits as llama.cpp allows an integer without bounds
    private const decimal LargestInteger = 9_999_999_999_999_999;

    /// <summary>
    /// The greatest bound of an integer: the least and the greatest integer of 64 bits mean to llama.cpp that there is none, also
    /// when the sign is turned.
    /// </summary>
    internal const decimal LargestBound = long.MaxValue - 1;

    internal static void Write(Utf8JsonWriter json, NormalizedSchema schema)
    {
        SchemaNode root = schema.Root;
        while (root is ReferenceNode reference)
        {
            root = reference.Target.Schema!;
        }
        json.WriteStartObject();
        WriteKeywords(json, root);
        if (schema.Definitions.Count > 0)
        {
            json.WriteStartObject("$defs");
            foreach (SchemaDefinition definition in schema.Definitions)
            {
                json.WritePropertyName(definition.Name);
                Write(json, definition.Schema!);
            }
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, SchemaNode node)
    {
        json.WriteStartObject();
        WriteKeywords(json, node);
        json.WriteEndObject();
    }

    private static void WriteKeywords(Utf8JsonWriter json, SchemaNode node)
    {
        switch (node)
        {
            case ReferenceNode reference:
                json.WriteString("$ref", $"#/$defs/{reference.Target.Name}");
                break;
            case UnionNode union:
                json.WriteStartArray("anyOf");
                foreach (SchemaNode alternative in union.Alternatives)
                {
                    Write(json, alternative);
                }
                json.WriteEndArray();
                break;
            case EnumNode values:
                json.WriteStartArray("enum");
                foreach (JsonElement value in values.Values)
                {
                    value.WriteTo(json);
                }
                json.WriteEndArray();
                break;
            case NullNode:
                json.WriteString("type", "null");
                break;
            case BooleanNode:
                json.WriteString("type", "boolean");
                break;
            case NumberNode number:
                WriteNumber(json, number);
                break;
            case StringNode text:
                json.WriteString("type", "string");
                json.WriteString("pattern", text.JsonPattern);
                break;
            case ArrayNode array:
                WriteArray(json, array);
                break;
            case ObjectNode properties:
                WriteObject(json, properties);
                break;
        }
    }

    private static void WriteNumber(Utf8JsonWriter json, NumberNode number)
    {
        json.WriteString("type", number.IsInteger ? "integer" : "number");
        if (!number.IsInteger || (number.Min is null && number.Max is null))
        {
            return;
        }
        // llama.cpp's ranges are right for any number of digits where both ends are given
        decimal min =
            number.Min?.Value ?? (number.Max!.Value.Value < -LargestInteger ? -LargestBound : -LargestInteger);
        decimal max = number.Max?.Value ?? (number.Min!.Value.Value > LargestInteger ? LargestBound : LargestInteger);
        json.WriteNumber("minimum", (long)Math.Clamp(min, -LargestBound, LargestBound));
        json.WriteNumber("maximum", (long)Math.Clamp(max, -LargestBound, LargestBound));
    }

    private static void WriteArray(Utf8JsonWriter json, ArrayNode array)
    {
        json.WriteString("type", "array");
        if (array.First.Count > 0)
        {
            // as many as there are, because llama.cpp knows tuples of one size only
            List<SchemaNode> items = [.. array.First];
            while (items.Count < Math.Min(array.MinItems, SchemaNormalizer.MaxItems))
            {
                items.Add(array.Item!);
            }
            json.WriteStartArray("prefixItems");
            items.ForEach(item => Write(json, item));
            json.WriteEndArray();
            return;
        }
        if (array.Item is null)
        {
            json.WriteStartArray("prefixItems");
            json.WriteEndArray();
            return;
        }
        json.WritePropertyName("items");
        Write(json, array.Item);
        if (array.IsCounted && array.MinItems > 0)
        {
            json.WriteNumber("minItems", Math.Min(array.MinItems, SchemaNormalizer.MaxItems));
        }
        if (array.IsCounted && array.MaxItems <= SchemaNormalizer.MaxItems)
        {
            json.WriteNumber("maxItems", array.MaxItems.Value);
        }
    }

    private static void WriteObject(Utf8JsonWriter json, ObjectNode node)
    {
        json.WriteString("type", "object");
        if (node.Properties.Count == 0 && node.Additional is AnyNode)
        {
            return;
        }
        json.WriteStartObject("properties");
        foreach (PropertyNode property in node.Properties)
        {
            json.WritePropertyName(property.Name);
            Write(json, property.Schema);
        }
        json.WriteEndObject();
        json.WriteStartArray("required");
        foreach (PropertyNode property in node.Properties)
        {
            // llama.cpp takes a property of this name for all others, unless it is required
            if (property.IsRequired || property.Name == "*")
            {
                json.WriteStringValue(property.Name);
            }
        }
        json.WriteEndArray();
        json.WritePropertyName("additionalProperties");
        if (node.Additional is null)
        {
            json.WriteBooleanValue(false);
        }
        else
        {
            Write(json, node.Additional);
        }
    }
}

using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Microsoft.Extensions.AI;

namespace Foretoken.SemanticKernel;

/// <summary>Response formats as prompt templates write them.</summary>
internal sealed class ResponseFormatConverter : JsonConverter<ChatResponseFormat>
{
    private const string TextType = "text";
    private const string JsonObjectType = "json_object";
    private const string JsonSchemaType = "json_schema";

    public override ChatResponseFormat? Read(
        ref Utf8JsonReader reader,
        Type typeToConvert,
        JsonSerializerOptions options
    )
    {
        JsonElement format = JsonElement.ParseValue(ref reader);
        return format.ValueKind switch
        {
            JsonValueKind.String => FromType(format.GetString()),
            JsonValueKind.Object => FromObject(format),
            _ => throw Invalid(format.GetRawText()),
        };
    }

    public override void Write(Utf8JsonWriter writer, ChatResponseFormat value, JsonSerializerOptions options) =>
        ToNode(value).WriteTo(writer, options);

    internal static JsonNode ToNode(ChatResponseFormat format)
    {
        if (format is not ChatResponseFormatJson json)
        {
            return TextType;
        }
        if (json.Schema is not { } schema)
        {
            return JsonObjectType;
        }
        JsonNode schemaNode = JsonSerializer.SerializeToNode(schema)!;
        JsonObject described = [];
        if (json.SchemaName is not null)
        {
            described["name"] = json.SchemaName;
        }
        if (json.SchemaDescription is not null)
        {
            described["description"] = json.SchemaDescription;
        }
        described["schema"] = schemaNode;
        return new JsonObject { ["type"] = JsonSchemaType, [JsonSchemaType] = described };
    }

    private static ChatResponseFormat FromType(string? type) =>
        type switch
        {
            TextType => ChatResponseFormat.Text,
            JsonObjectType => ChatResponseFormat.Json,
            _ => throw Invalid($"'{type}'"),
        };

    private static ChatResponseFormat FromObject(JsonElement format)
    {
        // the type of a schema is one of JSON's own ("object", "array"), or absent
        string? type =
            format.TryGetProperty("type", out JsonElement value) && value.ValueKind == JsonValueKind.String
                ? value.GetString()
                : null;
        if (type is TextType or JsonObjectType)
        {
            return FromType(type);
        }
        if (type != JsonSchemaType)
        {
            return ChatResponseFormat.ForJsonSchema(format);
        }
        if (
            !format.TryGetProperty(JsonSchemaType, out JsonElement described)
            || described.ValueKind != JsonValueKind.Object
            || !described.TryGetProperty("schema", out JsonElement schema)
        )
        {
            throw Invalid("'json_schema' without {\"json_schema\": {\"schema\": ...}}");
        }
        return ChatResponseFormat.ForJsonSchema(schema, Read("name"), Read("description"));

        string? Read(string name) =>
            described.TryGetProperty(name, out JsonElement text) && text.ValueKind == JsonValueKind.String
                ? text.GetString()
                : null;
    }

    private static JsonException Invalid(string given) =>
        new(
            $"response_format is \"text\", \"json_object\", a JSON schema, or {{\"type\": \"json_schema\", \"json_schema\": {{\"schema\": ...}}}}; {given} is none of them."
        );
}

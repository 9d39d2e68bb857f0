using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.SemanticKernel;

/// <summary>True and false, also as text, which is what prompt YAML makes of them.</summary>
internal sealed class BooleanConverter : JsonConverter<bool>
{
    public override bool Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType switch
        {
            JsonTokenType.True => true,
            JsonTokenType.False => false,
            JsonTokenType.String when bool.TryParse(reader.GetString(), out bool value) => value,
            // without a message of its own it gets one that names the setting
            _ => throw new JsonException(),
        };

    public override void Write(Utf8JsonWriter writer, bool value, JsonSerializerOptions options) =>
        writer.WriteBooleanValue(value);
}

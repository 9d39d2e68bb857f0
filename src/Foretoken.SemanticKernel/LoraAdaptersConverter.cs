using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.SemanticKernel;

/// <summary>
/// LoRA adapters as prompts name them: an object of scales by name, which may be texts, as prompt YAML makes them; or a list of
/// names, each at scale 1.
/// </summary>
internal sealed class LoraAdaptersConverter : JsonConverter<IDictionary<string, float>>
{
    public override IDictionary<string, float> Read(
        ref Utf8JsonReader reader,
        Type typeToConvert,
        JsonSerializerOptions options
    )
    {
        JsonElement value = JsonElement.ParseValue(ref reader);
        Dictionary<string, float> scales = new(StringComparer.Ordinal);
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (JsonProperty adapter in value.EnumerateObject())
                {
                    scales[adapter.Name] = Scale(adapter.Value);
                }
                return scales;
            case JsonValueKind.Array:
                foreach (JsonElement name in value.EnumerateArray())
                {
                    scales[name.ValueKind == JsonValueKind.String ? name.GetString()! : throw Invalid()] = 1;
                }
                return scales;
            default:
                throw Invalid();
        }
    }

    public override void Write(Utf8JsonWriter writer, IDictionary<string, float> value, JsonSerializerOptions options)
    {
        writer.WriteStartObject();
        foreach ((string name, float scale) in value)
        {
            writer.WriteNumber(name, scale);
        }
        writer.WriteEndObject();
    }

    private static float Scale(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Number => value.GetSingle(),
            JsonValueKind.String
                when float.TryParse(
                    value.GetString(),
                    NumberStyles.Float,
                    CultureInfo.InvariantCulture,
                    out float scale
                ) => scale,
            _ => throw Invalid(),
        };

    // without a message of its own it gets one that names the setting
    private static JsonException Invalid() => new();
}

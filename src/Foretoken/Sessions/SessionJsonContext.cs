using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Importance;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>Source-generated JSON of the records in this folder.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    WriteIndented = true,
    UseStringEnumConverter = true,
    Converters = [typeof(MillisecondsConverter)]
)]
[JsonSerializable(typeof(PrefillReport))]
[JsonSerializable(typeof(ModelInfo))]
[JsonSerializable(typeof(ContextInfo))]
[JsonSerializable(typeof(NativePrefillReport))]
internal sealed partial class SessionJsonContext : JsonSerializerContext;

/// <summary>Time as a number of milliseconds.</summary>
internal sealed class MillisecondsConverter : JsonConverter<TimeSpan>
{
    public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        TimeSpan.FromMilliseconds(reader.GetDouble());

    public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) =>
        writer.WriteNumberValue(Math.Round(value.TotalMilliseconds, 3));
}

/// <summary>The JSON of ftk_prefill_report.</summary>
internal sealed record NativePrefillReport(long TotalUs, long SelectUs, IReadOnlyList<NativeStageReport> Stages)
{
    /// <summary>What the sequence does without, the prompt's own choice included; known on this side only.</summary>
    [JsonIgnore]
    public IReadOnlyList<LayerSkip> Skips { get; init; } = [];
}

internal sealed record NativeStageReport(
    int LayerBegin,
    int LayerEnd,
    int NTokens,
    int NChunks,
    long Us,
    IReadOnlyList<long> ChunkUs
)
{
    /// <summary>Whether its tokens only wrote keys and values.</summary>
    public bool KvOnly { get; init; }

    /// <summary>What decided how many tokens came to this stage; known on this side only.</summary>
    [JsonIgnore]
    public SelectionBound Bound { get; init; }
}

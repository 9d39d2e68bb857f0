using System.Text.Json.Serialization;
using Foretoken.Importance;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>One stage of a prefill: a range of layers and the tokens that ran through it.</summary>
/// <param name="LayerBegin">First layer of the stage.</param>
/// <param name="LayerEnd">Layer behind the last one of the stage.</param>
/// <param name="Tokens">New tokens that ran through it.</param>
/// <param name="Retention">Share of the prefill's new tokens that ran through it, 0 to 1.</param>
/// <param name="Chunks">Chunks that it took.</param>
/// <param name="Time">How long it took; in JSON <c>time_ms</c>, milliseconds.</param>
/// <param name="Bound">What decided how many tokens ran through it; of the first stage <see cref="SelectionBound.AllTokens"/>.</param>
public sealed record PrefillStageReport(
    int LayerBegin,
    int LayerEnd,
    int Tokens,
    double Retention,
    int Chunks,
    [property: JsonPropertyName("time_ms")] TimeSpan Time,
    SelectionBound Bound = SelectionBound.AllTokens
)
{
    /// <summary>
    /// Whether its tokens ran through no layer and only wrote keys and values (<see cref="PrefillPlan.PrefillOnlyFrom"/>). The
    /// next stage runs the last token through the same layers.
    /// </summary>
    public bool KeysAndValuesOnly { get; init; }

    /// <summary>How long each chunk took; in JSON <c>chunk_times_ms</c>, milliseconds. Empty when unknown.</summary>
    [JsonPropertyName("chunk_times_ms")]
    public IReadOnlyList<TimeSpan> ChunkTimes { get; init; } = [];
}

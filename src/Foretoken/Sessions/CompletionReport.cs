using System.Text.Json.Serialization;

namespace Foretoken.Sessions;

/// <summary>How a thinned prefill went on behind the first output token.</summary>
/// <param name="Grade">How it was completed while answering.</param>
/// <param name="Tokens">Tokens that ran in upper layers while answering.</param>
/// <param name="RemainingTokens">Tokens that were left when the answer ended: an idle completion may bring them.</param>
public sealed record CompletionReport(CompletionGrade Grade, int Tokens, int RemainingTokens)
{
    /// <summary>The output token that was the first behind the whole completion, from 1; null when some was left.</summary>
    public int? CompleteAtOutputToken { get; init; }

    /// <summary>Time of the completion while answering, all together. JSON: <c>time_ms</c>.</summary>
    [JsonPropertyName("time_ms")]
    public TimeSpan Time { get; init; }

    /// <summary>The longest that an output token waited for it. JSON: <c>longest_delay_ms</c>.</summary>
    [JsonPropertyName("longest_delay_ms")]
    public TimeSpan LongestDelay { get; init; }
}

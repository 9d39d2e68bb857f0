using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Planning;

namespace Foretoken.Inference;

/// <summary>What a prefill was asked for, what it promised, and what it did.</summary>
/// <remarks>Immutable. In JSON, names are snake_case and times are milliseconds.</remarks>
public sealed record PrefillReport
{
    /// <summary>
    /// The speedup of the time to first token that was asked for; 1 is plain prefill. <see cref="PromisedSpeedup"/> when a plan
    /// or only <see cref="MaxQualityLoss"/> was given.
    /// </summary>
    public required double TargetSpeedup { get; init; }

    /// <summary>
    /// The speedup of the prefill that the planner expects of the plan that ran, over plain prefill of the same new tokens.
    /// It comes from the planner's cost model and is not a measurement.
    /// </summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>The quality budget that was given, KL divergence from full prefill in nats; null when none was.</summary>
    public double? MaxQualityLoss { get; init; }

    /// <summary>
    /// Quality that the plan is expected to lose, KL divergence from full prefill in nats, as measured when the model was tuned:
    /// on other prompts, and at the plan's retentions, so where a threshold let fewer tokens go on it may be more. 0 when
    /// nothing was left out, null when it was not measured. Of a reused prefix that was thinned before, nothing is counted.
    /// </summary>
    public double? ExpectedQualityLoss { get; init; }

    /// <summary>
    /// The speedup that the times of this very prefill speak for: the first stage ran every new token, so its time per layer,
    /// times all layers, estimates what plain prefill would have taken here. An estimate from one run, on one side only;
    /// <c>foretoken bench</c> measures against unpatched llama.cpp. Null when nothing was left out.
    /// </summary>
    public double? EstimatedSpeedup
    {
        get
        {
            if (Stages.Count < 2 || PrefillTime <= TimeSpan.Zero)
            {
                return null;
            }
            PrefillStageReport first = Stages[0];
            int layers = Stages[^1].LayerEnd - first.LayerBegin;
            return first.Time * layers / (first.LayerEnd - first.LayerBegin) / PrefillTime;
        }
    }

    /// <summary>Tokens of the whole prompt.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>Leading tokens that were in the KV cache already.</summary>
    public required int ReusedTokens { get; init; }

    /// <summary>Tokens that were computed: <see cref="PromptTokens"/> - <see cref="ReusedTokens"/>. Only these can be thinned.</summary>
    public int NewTokens => PromptTokens - ReusedTokens;

    /// <summary>The stages in order. Plain prefill is one stage over all layers.</summary>
    public required IReadOnlyList<PrefillStageReport> Stages { get; init; }

    /// <summary>
    /// From the beginning of the request's work to its first token. In a chat response it starts when the request gets its
    /// slot (time in the queue is <see cref="QueueTime"/>); in a session it is <see cref="PrefillTime"/>. JSON: <c>time_to_first_token_ms</c>.
    /// </summary>
    [JsonPropertyName("time_to_first_token_ms")]
    public required TimeSpan TimeToFirstToken { get; init; }

    /// <summary>The prefill, selection included. JSON: <c>prefill_time_ms</c>.</summary>
    [JsonPropertyName("prefill_time_ms")]
    public required TimeSpan PrefillTime { get; init; }

    /// <summary>The part of <see cref="PrefillTime"/> that went into choosing tokens. JSON: <c>select_time_ms</c>.</summary>
    [JsonPropertyName("select_time_ms")]
    public required TimeSpan SelectTime { get; init; }

    /// <summary>How long the request waited for its slot. JSON: <c>queue_time_ms</c>.</summary>
    [JsonPropertyName("queue_time_ms")]
    public TimeSpan QueueTime { get; init; }

    /// <summary>Bytes of keys and values that the whole prompt holds, all layers.</summary>
    public required long KvBytes { get; init; }

    /// <summary>Name of the importance that chose the tokens; null when nothing was chosen.</summary>
    public string? Importance { get; init; }

    /// <summary>The plan; null for plain prefill.</summary>
    public PrefillPlan? Plan { get; init; }

    /// <summary>Why this plan, in a sentence: for people.</summary>
    public required string Reason { get; init; }

    /// <summary>The report as indented JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, InferenceJsonContext.Default.PrefillReport);
}

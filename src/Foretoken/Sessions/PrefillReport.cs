using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Sessions;

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
    /// The speedup of the prefill that the planner expects of the plan that ran, over plain prefill of the same new tokens. It
    /// was known before the prefill: from times measured on this machine (<see cref="IsPromiseMeasured"/>), or from counting.
    /// </summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>The speedup of an output token that was asked for; null when none was.</summary>
    public double? TargetDecodeSpeedup { get; init; }

    /// <summary>
    /// The speedup of the first output token that is counted for the plan that ran, by the weights, keys and values that it reads
    /// (<see cref="DecodeCost"/>), over the same behind plain prefill.
    /// </summary>
    public double PromisedDecodeSpeedup { get; init; } = 1;

    /// <summary>Whether the promise rests on times that were measured on this machine; otherwise operations were counted.</summary>
    public bool IsPromiseMeasured => ExpectedPrefillTime is not null;

    /// <summary>
    /// Standard error of <see cref="PromisedSpeedup"/> as a share of it, 0 for plain prefill; null when operations were counted.
    /// </summary>
    public double? PromiseStandardError { get; init; }

    /// <summary>How long the plan was expected to take; <see cref="PrefillTime"/> is what it took. Null when operations were counted.</summary>
    public PrefillTimeEstimate? ExpectedPrefillTime { get; init; }

    /// <summary>
    /// An estimate of what plain prefill would have taken in this very run: its first stage ran every new token, and all the
    /// rest is taken to cost as much more as the cost profile says, or, without one, as operations counted. Null when nothing
    /// was left out.
    /// </summary>
    public PrefillTimeEstimate? EstimatedPlainTime { get; init; }

    /// <summary>
    /// The speedup that this prefill's times speak for: <see cref="EstimatedPlainTime"/> over <see cref="PrefillTime"/>, as unsure
    /// as the former. <c>foretoken bench</c> measures against unpatched llama.cpp. Null when nothing was left out.
    /// </summary>
    public double? AchievedSpeedup =>
        EstimatedPlainTime is { } plain && PrefillTime > TimeSpan.Zero ? plain.Time / PrefillTime : null;

    /// <summary>The quality budget that was given, KL divergence from full prefill in nats; null when none was.</summary>
    public double? MaxQualityLoss { get; init; }

    /// <summary>
    /// Quality that the plan is expected to lose, KL divergence from full prefill in nats, as measured when the model was tuned:
    /// on other prompts, and at the plan's retentions, so where a threshold let fewer tokens go on it may be more. 0 when
    /// nothing was left out, null when it was not measured. Of a reused prefix that was thinned before, nothing is counted.
    /// </summary>
    public double? ExpectedQualityLoss { get; init; }

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

    /// <summary>New tokens that the KV cache holds in the last stage's layers; the others were left out below.</summary>
    public int KeptTokens =>
        Stages.Count == 0
            ? NewTokens
            : Stages.Where(stage => stage.LayerBegin == Stages[^1].LayerBegin).Sum(stage => stage.Tokens);

    /// <summary>Name of the importance that chose the tokens; null when nothing was chosen.</summary>
    public string? Importance { get; init; }

    /// <summary>The plan; null for plain prefill.</summary>
    public PrefillPlan? Plan { get; init; }

    /// <summary>
    /// What the whole sequence does without, in prefill and in decode: what the plan or the prompt chose, or what the sequence
    /// whose prefix was reused did without already.
    /// </summary>
    public IReadOnlyList<LayerSkip> Skips { get; init; } = [];

    /// <summary>
    /// The layer from which on pruning was prefill-only (<see cref="PrefillPlan.PrefillOnlyFrom"/>); null for none. The cache holds
    /// keys and values of every token that came there, so output tokens cost what they cost without.
    /// </summary>
    public int? PrefillOnlyFrom => Plan?.PrefillOnlyFrom;

    /// <summary>
    /// Share of the prefill that prefill-only pruning was expected to save, beside what the rest of the plan saves; null where there
    /// was none.
    /// </summary>
    public double? PrefillOnlySaving { get; init; }

    /// <summary>
    /// How the prefill went on behind the first output token. Null where nothing was completed, and in a report that is read before
    /// the answer has ended.
    /// </summary>
    public CompletionReport? Completion { get; init; }

    /// <summary>The LoRA adapters that the prompt was computed with.</summary>
    public IReadOnlyList<AdapterReport> Adapters { get; init; } = [];

    /// <summary>
    /// Whether functions were described in a format of Foretoken's own, because the chat template has none
    /// (<see cref="ForetokenChatClientOptions.UseGenericTools"/>).
    /// </summary>
    public bool UsesGenericTools { get; init; }

    /// <summary>Why this plan, in a sentence: for people.</summary>
    public required string Reason { get; init; }

    /// <summary>The report as indented JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, SessionJsonContext.Default.PrefillReport);
}

using System.Buffers;
using System.Text.Json;
using Foretoken.Chat;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken;

/// <summary>What Foretoken adds to requests and responses.</summary>
public static class ForetokenChatOptionsExtensions
{
    /// <summary>Asks for a speedup of the time to first token in this request.</summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="speedup">1 (plain prefill) to 1,000; 1.5 to 3 are useful values.</param>
    /// <returns><paramref name="options"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    public static ChatOptions WithTargetTtftSpeedup(this ChatOptions options, double speedup) =>
        With(
            options,
            ForetokenProperties.TargetTtftSpeedup,
            PrefillPlanner.EnsureValidTarget(speedup, nameof(speedup))
        );

    /// <summary>
    /// Asks for a speedup of every output token of this request, beside that of the time to first token: the sequence does without
    /// layers that the model's profile knows to matter least, or with fewer tokens in the upper ones.
    /// </summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="speedup">1 (as the full model) to 1,000; 1.05 to 1.3 are useful values.</param>
    /// <returns><paramref name="options"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    public static ChatOptions WithTargetDecodeSpeedup(this ChatOptions options, double speedup) =>
        With(
            options,
            ForetokenProperties.TargetDecodeSpeedup,
            PrefillPlanner.EnsureValidDecodeTarget(speedup, nameof(speedup))
        );

    /// <summary>
    /// Bounds the quality that this request may lose: the fastest plan within it is used, or with a target speedup beside it
    /// whichever is more careful.
    /// </summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="loss">KL divergence from full prefill in nats, above 0; 0.05 to 0.5 are useful values.</param>
    /// <returns><paramref name="options"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not a finite number above 0.</exception>
    public static ChatOptions WithMaxQualityLoss(this ChatOptions options, double loss) =>
        With(options, ForetokenProperties.MaxQualityLoss, PrefillPlanner.EnsureValidQualityLoss(loss, nameof(loss)));

    /// <summary>Lets fewer tokens of this request go on where their importance does not pass its threshold.</summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="use">Whether thresholds are used.</param>
    /// <returns><paramref name="options"/>.</returns>
    public static ChatOptions WithThresholds(this ChatOptions options, bool use = true) =>
        With(options, ForetokenProperties.UseThresholds, use);

    /// <summary>Names the importance that ranks tokens in this request, as in <see cref="SpeedOptions.Importance"/>.</summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="importance">The name.</param>
    /// <returns><paramref name="options"/>.</returns>
    /// <exception cref="ArgumentException">There is no such importance.</exception>
    public static ChatOptions WithImportance(this ChatOptions options, string importance)
    {
        ArgumentException.ThrowIfNullOrEmpty(importance);
        ImportancePolicies.EnsureKnown(importance);
        return With(options, ForetokenProperties.Importance, importance);
    }

    /// <summary>
    /// Says when the thinned prompt of this request is completed behind the first output token, instead of
    /// <see cref="ForetokenChatClientOptions.Completion"/>.
    /// </summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="mode">When.</param>
    /// <returns><paramref name="options"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such mode.</exception>
    public static ChatOptions WithCompletion(this ChatOptions options, CompletionMode mode) =>
        With(options, ForetokenProperties.Completion, CompletionModeText.Format(mode));

    /// <summary>
    /// Names the LoRA adapters that this request computes with, instead of the client's defaults; none is the model alone. What
    /// the KV cache holds is reused only with the adapters that it was computed with.
    /// </summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="scales">
    /// Names, as in <see cref="ForetokenChatClientOptions.Adapters"/>, with factors to what the adapters add to the weights.
    /// </param>
    /// <returns><paramref name="options"/>.</returns>
    public static ChatOptions WithLoraAdapters(this ChatOptions options, IReadOnlyDictionary<string, float> scales)
    {
        ArgumentNullException.ThrowIfNull(scales);
        return With(options, ForetokenProperties.LoraAdapters, ToJson(scales));
    }

    /// <summary>Names the LoRA adapters that this request computes with, as they were trained; none is the model alone.</summary>
    /// <inheritdoc cref="WithLoraAdapters(ChatOptions, IReadOnlyDictionary{string, float})"/>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="names">Names, as in <see cref="ForetokenChatClientOptions.Adapters"/>.</param>
    public static ChatOptions WithLoraAdapters(this ChatOptions options, params IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);
        return options.WithLoraAdapters(names.Distinct(StringComparer.Ordinal).ToDictionary(name => name, _ => 1f));
    }

    /// <summary>Receives the prefill progress of this request, on the thread that computes: return quickly.</summary>
    /// <param name="options">The options; changed in place.</param>
    /// <param name="progress">Receives the progress.</param>
    /// <returns><paramref name="options"/>.</returns>
    public static ChatOptions WithPrefillProgress(this ChatOptions options, IProgress<PrefillProgress> progress)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        Func<IChatClient, object?>? inner = options.RawRepresentationFactory;
        options.RawRepresentationFactory = client => new ProgressRequest(inner?.Invoke(client), progress);
        return options;
    }

    /// <summary>The prefill report of a response; null when the response is not from Foretoken, or no longer holds it.</summary>
    /// <remarks>
    /// The report is the raw representation of the response and of its message, or of the last update. It is not part of their JSON:
    /// sessions and caches stay as short as their texts, and what comes out of them has no report. What such a response keeps are
    /// the counts of its usage, <c>foretoken.computed_tokens</c>, <c>foretoken.kept_tokens</c> and others in
    /// <see cref="UsageDetails.AdditionalCounts"/>. A response that was put together from updates has the report as long as it is
    /// in memory. Where functions were invoked, the report is that of the last call of the model;
    /// <see cref="GetPrefillReport(ChatMessage)"/> has each.
    /// </remarks>
    /// <param name="response">The response.</param>
    public static PrefillReport? GetPrefillReport(this ChatResponse response)
    {
        ArgumentNullException.ThrowIfNull(response);
        return FindPrefillReport(response.RawRepresentation)
            ?? response.Messages.Select(GetPrefillReport).LastOrDefault(report => report is not null)
            ?? ReportsOfAnswers.Find(response.ResponseId);
    }

    /// <summary>The prefill report of a message of the assistant; null when it is not from Foretoken, or no longer holds it.</summary>
    /// <remarks><inheritdoc cref="GetPrefillReport(ChatResponse)" path="/remarks/node()"/></remarks>
    /// <param name="message">The message.</param>
    public static PrefillReport? GetPrefillReport(this ChatMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        return FindPrefillReport(message.RawRepresentation) ?? ReportsOfAnswers.Find(message.MessageId);
    }

    /// <summary>The prefill report of an update; null for all but the last update of a call of the model.</summary>
    /// <remarks><inheritdoc cref="GetPrefillReport(ChatResponse)" path="/remarks/node()"/></remarks>
    /// <param name="update">The update.</param>
    public static PrefillReport? GetPrefillReport(this ChatResponseUpdate update)
    {
        ArgumentNullException.ThrowIfNull(update);
        return FindPrefillReport(update.RawRepresentation);
    }

    /// <summary>
    /// The prefill report of any raw representation: a <see cref="PrefillReport"/>, or a <see cref="ChatResponse"/>,
    /// <see cref="ChatMessage"/> or <see cref="ChatResponseUpdate"/> that holds one. Other frameworks carry these as theirs, as
    /// Semantic Kernel does as inner content. Null when there is none.
    /// </summary>
    /// <param name="rawRepresentation">The raw representation.</param>
    public static PrefillReport? FindPrefillReport(object? rawRepresentation) =>
        rawRepresentation switch
        {
            PrefillReport report => report,
            ChatResponse response => response.GetPrefillReport(),
            ChatMessage message => message.GetPrefillReport(),
            ChatResponseUpdate update => update.GetPrefillReport(),
            _ => null,
        };

    private static ChatOptions With(ChatOptions options, string key, object value)
    {
        ArgumentNullException.ThrowIfNull(options);
        (options.AdditionalProperties ??= [])[key] = value;
        return options;
    }

    // JSON, because additional properties are serialised for the keys of caches, by resolvers that do not know our types
    private static JsonElement ToJson(IReadOnlyDictionary<string, float> scales)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            foreach ((string name, float scale) in scales)
            {
                json.WriteNumber(name, scale);
            }
            json.WriteEndObject();
        }
        using JsonDocument document = JsonDocument.Parse(buffer.WrittenMemory);
        return document.RootElement.Clone();
    }
}

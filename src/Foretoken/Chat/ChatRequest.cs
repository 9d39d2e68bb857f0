using System.Globalization;
using System.Text.Json;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Planning;
using Foretoken.Schemas;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Chat;

/// <summary>
/// One request as the engine needs it. Made on the caller's thread from messages and options, so that what cannot be honoured
/// is refused before the request queues, and later changes to the caller's objects do not matter.
/// </summary>
internal sealed class ChatRequest
{
    private static readonly JsonElement AnyObject = ParseAnyObject();

    private ChatRequest() { }

    internal string ResponseId { get; } = $"chatcmpl-{Guid.NewGuid():N}";

    /// <summary>What the chat template renders, as JSON.</summary>
    internal required string RenderJson { get; init; }

    internal required SamplerOptions Sampling { get; init; }

    internal required int MaxOutputTokens { get; init; }

    internal required IReadOnlyList<string> StopSequences { get; init; }

    /// <summary>Whether the answer is bound to be JSON.</summary>
    internal required bool IsJson { get; init; }

    /// <summary>What the request asks for, over the client's defaults.</summary>
    internal required SpeedOptions Speed { get; init; }

    /// <summary>When the thinned prompt is completed; null leaves it to the client.</summary>
    internal required CompletionMode? Completion { get; init; }

    /// <summary>Scales of the LoRA adapters to compute with, by names that the client knows.</summary>
    internal required IReadOnlyDictionary<string, float> Adapters { get; init; }

    internal required IProgress<PrefillProgress>? Progress { get; init; }

    /// <summary>What the arguments of each function that the model may call have to be, by the functions' names.</summary>
    internal required IReadOnlyDictionary<string, NormalizedSchema> Tools { get; init; }

    /// <summary>Whether the answer has to be a call.</summary>
    internal required bool RequiresCall { get; init; }

    /// <summary>Whether the conversation holds calls or their results.</summary>
    internal required bool HasCalls { get; init; }

    /// <summary>The effort of reasoning; null leaves it to the template.</summary>
    internal required ReasoningEffort? Effort { get; init; }

    /// <summary>Whether the response has the reasoning in it.</summary>
    internal required bool ShowsReasoning { get; init; }

    /// <exception cref="ArgumentException">A message or option is malformed or out of range.</exception>
    /// <exception cref="GrammarException">A schema of a tool or of the response format cannot be honoured.</exception>
    /// <exception cref="NotSupportedException">Something was asked for that a local text model cannot do.</exception>
    internal static ChatRequest Create(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options,
        ForetokenChatClientOptions defaults,
        ILogger logger,
        IChatClient? client = null
    )
    {
        ArgumentNullException.ThrowIfNull(messages);
        ChatMessage[] conversation = [.. messages];
        if (conversation.Length == 0 && string.IsNullOrEmpty(options?.Instructions))
        {
            throw new ArgumentException("The conversation is empty; at least one message is needed.", nameof(messages));
        }
        if (Array.IndexOf(conversation, null) is >= 0 and int missing)
        {
            throw new ArgumentException($"The message at {missing} is null.", nameof(messages));
        }
        options ??= new ChatOptions();
        Refuse(options, logger);

        AdditionalPropertiesDictionary properties = options.AdditionalProperties ?? [];
        IReadOnlyDictionary<string, float>? namedAdapters = Find(properties, ForetokenProperties.LoraAdapters)
            is { } askedAdapters
            ? OptionValue.ToNumbers(ForetokenProperties.LoraAdapters, askedAdapters)
            : null;
        float? minP = null;
        if (Find(properties, ForetokenProperties.MinP) is { } askedMinP)
        {
            minP = (float)
                OptionCheck.InRange(
                    OptionValue.ToDouble(ForetokenProperties.MinP, askedMinP),
                    0,
                    1,
                    ForetokenProperties.MinP
                );
        }

        object? raw = client is null ? null : options.RawRepresentationFactory?.Invoke(client);
        IProgress<PrefillProgress>? progress = defaults.PrefillProgress;
        if (raw is ProgressRequest request)
        {
            progress = request.Progress;
            raw = request.Inner;
        }
        SpeedOptions speed = SpeedProperties.Read(properties);
        if (raw is SpeedOptions rawSpeed)
        {
            speed = speed.Over(rawSpeed);
            raw = null;
        }

        AIFunctionDeclaration[] tools = ChooseTools(options, out string toolChoice);
        Dictionary<string, NormalizedSchema> schemas = Normalize(tools);
        NormalizedSchema? answerSchema = Normalize(options.ResponseFormat);
        foreach (NormalizedSchema schema in schemas.Values.Append(answerSchema).OfType<NormalizedSchema>())
        {
            foreach (string loosened in schema.Loosened)
            {
                logger.SchemaLoosened(schema.Subject, loosened);
            }
        }
        return new ChatRequest
        {
            RenderJson = Render(conversation, options, tools, schemas, answerSchema, toolChoice, logger),
            Sampling = ToSampling(options, minP, RawSampling(raw, logger)),
            MaxOutputTokens = options.MaxOutputTokens is { } max
                ? (int)OptionCheck.InRange((double)max, 1, int.MaxValue, nameof(options.MaxOutputTokens))
                : defaults.MaxOutputTokens,
            StopSequences = Stops(options.StopSequences),
            IsJson = options.ResponseFormat is ChatResponseFormatJson,
            Speed = speed.Over(defaults.Speed),
            Completion = Find(properties, ForetokenProperties.Completion) is { } askedCompletion
                ? CompletionModeText.Parse(
                    ForetokenProperties.Completion,
                    OptionValue.ToText(ForetokenProperties.Completion, askedCompletion)
                )
                : null,
            Adapters = LoraAdapterSet.Choose(defaults.Adapters, namedAdapters),
            Progress = progress,
            Tools = schemas,
            RequiresCall = tools.Length > 0 && options.ToolMode is RequiredChatToolMode,
            HasCalls = conversation.Any(message =>
                message.Contents.Any(content => content is FunctionCallContent or FunctionResultContent)
            ),
            Effort = options.Reasoning?.Effort,
            ShowsReasoning = options.Reasoning?.Output is not ReasoningOutput.None,
        };
    }

    private static JsonElement ParseAnyObject()
    {
        using JsonDocument document = JsonDocument.Parse("""{"type":"object"}""");
        return document.RootElement.Clone();
    }

    private static object? Find(AdditionalPropertiesDictionary properties, string key) =>
        properties.TryGetValue(key, out object? value) ? value : null;

    /// <summary>Stop sequences that can occur; null and empty ones stop nothing.</summary>
    /// <exception cref="ArgumentException">One has half of a character.</exception>
    private static string[] Stops(IList<string>? stops)
    {
        string[] given = [.. (stops ?? []).Where(stop => !string.IsNullOrEmpty(stop))];
        return Array.Find(given, stop => !IsWellFormed(stop)) is { } half
            ? throw new ArgumentException(
                $"The stop sequence at {stops!.IndexOf(half)} has half of a surrogate pair, which is no character; no text contains it."
            )
            : given;
    }

    private static bool IsWellFormed(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsSurrogate(text[i]) && !(i + 1 < text.Length && char.IsSurrogatePair(text[i], text[++i])))
            {
                return false;
            }
        }
        return true;
    }

    private static void Refuse(ChatOptions options, ILogger logger)
    {
        if (options.ConversationId is not null)
        {
            throw new NotSupportedException(
                "This client keeps no conversations, so ChatOptions.ConversationId must be null. Send the whole history with each request; the part that is in the KV cache is reused."
            );
        }
#pragma warning disable MEAI001 // experimental in the abstractions; refused here either way
        if (options.AllowBackgroundResponses == true || options.ContinuationToken is not null)
#pragma warning restore MEAI001
        {
            throw new NotSupportedException(
                "Background responses and continuation tokens are not supported by a local model."
            );
        }
        if (options.Reasoning?.Output is ReasoningOutput.Summary)
        {
            throw new NotSupportedException(
                "A local model does not summarise its reasoning: ReasoningOutput.None and ReasoningOutput.Full are possible."
            );
        }
        if (options.ModelId is not null)
        {
            logger.OptionIgnored(nameof(options.ModelId), "a client has the one model it was created with");
        }
    }

    /// <summary>What the caller gives for the sampler as it is; null when nothing.</summary>
    private static SamplerOptions? RawSampling(object? raw, ILogger logger)
    {
        if (raw is SamplerOptions sampling)
        {
            return sampling is { Grammar: null, JsonSchema: null }
                ? sampling
                : throw new ArgumentException(
                    "A grammar or schema comes from ChatOptions.ResponseFormat, so that the model is told of it, too; the raw representation has none."
                );
        }
        if (raw is not null)
        {
            // meant for another client
            logger.OptionIgnored(
                nameof(ChatOptions.RawRepresentationFactory),
                $"it gave a {raw.GetType().Name}; here it is a {nameof(SpeedOptions)} or a {nameof(SamplerOptions)}"
            );
        }
        return null;
    }

    private static SamplerOptions ToSampling(ChatOptions options, float? minP, SamplerOptions? raw)
    {
        // what ChatOptions says goes before the raw representation
        SamplerOptions basis = raw ?? new SamplerOptions();
        // asking for a truncated distribution without a temperature means sampling from it
        bool samples = options.TopP is not null || options.TopK is not null || minP is not null;
        return basis with
        {
            Temperature = options.Temperature is { } temperature
                ? (float)OptionCheck.InRange((double)temperature, 0, 100, nameof(options.Temperature))
                : (samples && raw is null ? 1 : basis.Temperature),
            TopP = options.TopP is { } topP
                ? (float)OptionCheck.InRange((double)topP, 0, 1, nameof(options.TopP))
                : basis.TopP,
            TopK = options.TopK is { } topK
                ? (int)OptionCheck.InRange((double)topK, 0, int.MaxValue, nameof(options.TopK))
                : basis.TopK,
            MinP = minP ?? basis.MinP,
            FrequencyPenalty = options.FrequencyPenalty is { } frequency
                ? (float)OptionCheck.InRange((double)frequency, -100, 100, nameof(options.FrequencyPenalty))
                : basis.FrequencyPenalty,
            PresencePenalty = options.PresencePenalty is { } presence
                ? (float)OptionCheck.InRange((double)presence, -100, 100, nameof(options.PresencePenalty))
                : basis.PresencePenalty,
            // llama.cpp takes 32 bits; 0xFFFFFFFF would ask it for a random seed
            Seed = options.Seed is { } seed ? (uint)((ulong)seed % uint.MaxValue) : basis.Seed,
        };
    }

    private static AIFunctionDeclaration[] ChooseTools(ChatOptions options, out string toolChoice)
    {
        toolChoice = "auto";
        if (options.Tools is not { Count: > 0 } all || options.ToolMode is NoneChatToolMode)
        {
            return [];
        }
        List<AIFunctionDeclaration> tools = [];
        foreach (AITool tool in all)
        {
            if (tool is null)
            {
                throw new ArgumentException("One of the tools is null.");
            }
            tools.Add(
                tool as AIFunctionDeclaration
                    ?? throw new NotSupportedException(
                        $"The tool '{tool.Name}' ({tool.GetType().Name}) runs at a service. A local model can call functions only: AIFunction or AIFunctionDeclaration."
                    )
            );
        }
        if (options.ToolMode is RequiredChatToolMode required)
        {
            toolChoice = "required";
            if (required.RequiredFunctionName is { } name)
            {
                tools.RemoveAll(tool => tool.Name != name);
                if (tools.Count == 0)
                {
                    throw new ArgumentException($"The required function '{name}' is not among the tools.");
                }
            }
        }
        return [.. tools];
    }

    private static Dictionary<string, NormalizedSchema> Normalize(AIFunctionDeclaration[] tools)
    {
        Dictionary<string, NormalizedSchema> schemas = new(StringComparer.Ordinal);
        foreach (AIFunctionDeclaration tool in tools)
        {
            NormalizedSchema schema = SchemaNormalizer.NormalizeArguments(
                tool.JsonSchema,
                $"the tool '{tool.Name}'",
                string.Create(CultureInfo.InvariantCulture, $"t{schemas.Count}")
            );
            if (!schemas.TryAdd(tool.Name, schema))
            {
                throw new ArgumentException(
                    $"Two tools are named '{tool.Name}', so a call could not say which one it means. Rename one."
                );
            }
        }
        return schemas;
    }

    private static NormalizedSchema? Normalize(ChatResponseFormat? format) =>
        format is ChatResponseFormatJson json
            ? SchemaNormalizer.Normalize(json.Schema ?? AnyObject, "the response format", "r")
            : null;

    private static string Render(
        ChatMessage[] messages,
        ChatOptions options,
        AIFunctionDeclaration[] tools,
        Dictionary<string, NormalizedSchema> schemas,
        NormalizedSchema? answerSchema,
        string toolChoice,
        ILogger logger
    ) =>
        NativeConfig.Write(json =>
        {
            ChatMessageJson.WriteMessages(
                json,
                messages,
                options.Instructions,
                (message, content) =>
                    logger.OptionIgnored(
                        $"{content.GetType().Name} in a message with role '{message.Role}'",
                        "a text model cannot read it"
                    )
            );
            if (tools.Length > 0)
            {
                ChatMessageJson.WriteTools(json, tools, schemas);
                json.WriteString("tool_choice", toolChoice);
                json.WriteBoolean("parallel_tool_calls", options.AllowMultipleToolCalls == true);
            }
            if (answerSchema is not null)
            {
                json.WritePropertyName("json_schema");
                answerSchema.WriteTo(json);
            }
        });
}

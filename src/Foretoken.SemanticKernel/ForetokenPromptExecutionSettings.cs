using System.Collections.ObjectModel;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Foretoken.Planning;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;

namespace Foretoken.SemanticKernel;

/// <summary>What a prompt may ask of Foretoken: a speedup of the time to first token, and how to sample the answer.</summary>
/// <remarks>
/// <para>
/// Every setting is unset by default, which leaves the choice to the client. The JSON names are those that prompt
/// templates use. Numbers and booleans may be given as such or as text, which is what prompt YAML makes of them. Base settings
/// with these names in <see cref="PromptExecutionSettings.ExtensionData"/> are understood as well: see
/// <see cref="FromExecutionSettings"/>.
/// </para>
/// <para>Not thread-safe until <see cref="Freeze"/> is called; safe to read from any thread afterwards.</para>
/// </remarks>
[JsonNumberHandling(JsonNumberHandling.AllowReadingFromString)]
public sealed class ForetokenPromptExecutionSettings : PromptExecutionSettings
{
    private const string TargetTtftSpeedupName = "target_ttft_speedup";
    private const string TargetDecodeSpeedupName = "target_decode_speedup";
    private const string MaxQualityLossName = "max_quality_loss";
    private const string UseThresholdsName = "use_thresholds";
    private const string CompletionName = "completion";
    private const string ImportanceName = "importance";
    private const string LoraAdaptersName = "lora_adapters";
    private const string TemperatureName = "temperature";
    private const string TopPName = "top_p";
    private const string TopKName = "top_k";
    private const string MinPName = "min_p";
    private const string MaxTokensName = "max_tokens";
    private const string StopSequencesName = "stop_sequences";
    private const string SeedName = "seed";
    private const string FrequencyPenaltyName = "frequency_penalty";
    private const string PresencePenaltyName = "presence_penalty";
    private const string ResponseFormatName = "response_format";

    private static readonly HashSet<string> Names = new(StringComparer.OrdinalIgnoreCase)
    {
        TargetTtftSpeedupName,
        TargetDecodeSpeedupName,
        MaxQualityLossName,
        UseThresholdsName,
        CompletionName,
        ImportanceName,
        LoraAdaptersName,
        TemperatureName,
        TopPName,
        TopKName,
        MinPName,
        MaxTokensName,
        StopSequencesName,
        SeedName,
        FrequencyPenaltyName,
        PresencePenaltyName,
        ResponseFormatName,
    };

    private static readonly JsonSerializerOptions Permissive = new()
    {
        AllowTrailingCommas = true,
        PropertyNameCaseInsensitive = true,
        ReadCommentHandling = JsonCommentHandling.Skip,
    };

    private double? _targetTtftSpeedup;
    private double? _targetDecodeSpeedup;
    private double? _maxQualityLoss;
    private bool? _useThresholds;
    private string? _completion;
    private string? _importance;
    private IDictionary<string, float>? _loraAdapters;
    private float? _temperature;
    private float? _topP;
    private int? _topK;
    private float? _minP;
    private int? _maxTokens;
    private IList<string>? _stopSequences;
    private long? _seed;
    private float? _frequencyPenalty;
    private float? _presencePenalty;
    private ChatResponseFormat? _responseFormat;

    /// <summary>By what factor the time to first token shall shrink, 1 (plain prefill) to 1,000; 1.5 to 3 are useful values.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    [JsonPropertyName(TargetTtftSpeedupName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? TargetTtftSpeedup
    {
        get => _targetTtftSpeedup;
        set =>
            Set(
                ref _targetTtftSpeedup,
                value is { } speedup ? PrefillPlanner.EnsureValidTarget(speedup, nameof(TargetTtftSpeedup)) : null
            );
    }

    /// <summary>
    /// By what factor the time of every output token shall shrink, 1 (as the full model) to 1,000, beside that to the first; 1.05 to
    /// 1.3 are useful values.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above 1,000, or not a number.</exception>
    [JsonPropertyName(TargetDecodeSpeedupName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? TargetDecodeSpeedup
    {
        get => _targetDecodeSpeedup;
        set =>
            Set(
                ref _targetDecodeSpeedup,
                value is { } speedup
                    ? PrefillPlanner.EnsureValidDecodeTarget(speedup, nameof(TargetDecodeSpeedup))
                    : null
            );
    }

    /// <summary>
    /// Quality that may be lost, as KL divergence from full prefill in nats, above 0; 0.05 to 0.5 are useful values. Alone it asks
    /// for as much speed as it allows; beside <see cref="TargetTtftSpeedup"/> whichever is more careful decides.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a finite number above 0.</exception>
    [JsonPropertyName(MaxQualityLossName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? MaxQualityLoss
    {
        get => _maxQualityLoss;
        set =>
            Set(
                ref _maxQualityLoss,
                value is { } loss ? PrefillPlanner.EnsureValidQualityLoss(loss, nameof(MaxQualityLoss)) : null
            );
    }

    /// <summary>
    /// Whether fewer tokens than planned go on where their importance does not pass its threshold, so that a prompt with little
    /// in it is faster than promised. Changes nothing with an importance that has no threshold, or with
    /// <see cref="MaxQualityLoss"/>.
    /// </summary>
    [JsonPropertyName(UseThresholdsName)]
    [JsonConverter(typeof(BooleanConverter))]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? UseThresholds
    {
        get => _useThresholds;
        set => Set(ref _useThresholds, value);
    }

    /// <summary>
    /// When a thinned prompt is completed behind the first output token: <c>never</c>, <c>while_answering</c>, <c>when_idle</c> or
    /// <c>always</c>; <see langword="null"/> leaves it to the client.
    /// </summary>
    [JsonPropertyName(CompletionName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Completion
    {
        get => _completion;
        set => Set(ref _completion, value);
    }

    /// <summary>Name of the importance that ranks tokens, as in <see cref="SpeedOptions.Importance"/>.</summary>
    [JsonPropertyName(ImportanceName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Importance
    {
        get => _importance;
        set => Set(ref _importance, value);
    }

    /// <summary>
    /// The LoRA adapters to compute with, instead of the client's defaults: factors to what they add to the weights, by the names in
    /// <see cref="ForetokenChatClientOptions.Adapters"/>; empty for the model alone. In JSON, an object, or a list of names for a
    /// factor of 1.
    /// </summary>
    [JsonPropertyName(LoraAdaptersName)]
    [JsonConverter(typeof(LoraAdaptersConverter))]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IDictionary<string, float>? LoraAdapters
    {
        get => _loraAdapters;
        set => Set(ref _loraAdapters, value);
    }

    /// <summary>Randomness of the answer; 0 is greedy.</summary>
    [JsonPropertyName(TemperatureName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float? Temperature
    {
        get => _temperature;
        set => Set(ref _temperature, value);
    }

    /// <summary>Samples from the most probable tokens that together have this probability, 0 to 1.</summary>
    [JsonPropertyName(TopPName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float? TopP
    {
        get => _topP;
        set => Set(ref _topP, value);
    }

    /// <summary>Samples from this many most probable tokens; 0 for all.</summary>
    [JsonPropertyName(TopKName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? TopK
    {
        get => _topK;
        set => Set(ref _topK, value);
    }

    /// <summary>Leaves out tokens whose probability is below this share of the most probable one's, 0 to 1.</summary>
    [JsonPropertyName(MinPName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float? MinP
    {
        get => _minP;
        set => Set(ref _minP, value);
    }

    /// <summary>Tokens of the answer at most.</summary>
    [JsonPropertyName(MaxTokensName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? MaxTokens
    {
        get => _maxTokens;
        set => Set(ref _maxTokens, value);
    }

    /// <summary>Texts that end the answer and are not part of it.</summary>
    [JsonPropertyName(StopSequencesName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IList<string>? StopSequences
    {
        get => _stopSequences;
        set => Set(ref _stopSequences, value);
    }

    /// <summary>Seed of the sampling, for answers that can be repeated.</summary>
    [JsonPropertyName(SeedName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Seed
    {
        get => _seed;
        set => Set(ref _seed, value);
    }

    /// <summary>Lowers the logit of a token by this for each time that the answer already contains it.</summary>
    [JsonPropertyName(FrequencyPenaltyName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float? FrequencyPenalty
    {
        get => _frequencyPenalty;
        set => Set(ref _frequencyPenalty, value);
    }

    /// <summary>Lowers the logit of a token by this when the answer already contains it.</summary>
    [JsonPropertyName(PresencePenaltyName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float? PresencePenalty
    {
        get => _presencePenalty;
        set => Set(ref _presencePenalty, value);
    }

    /// <summary>
    /// The form of the answer. In JSON: <c>"text"</c>, <c>"json_object"</c>, a JSON schema, or
    /// <c>{"type": "json_schema", "json_schema": {"name": ..., "description": ..., "schema": ...}}</c>.
    /// </summary>
    [JsonPropertyName(ResponseFormatName)]
    [JsonConverter(typeof(ResponseFormatConverter))]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ChatResponseFormat? ResponseFormat
    {
        get => _responseFormat;
        set => Set(ref _responseFormat, value);
    }

    /// <summary>The settings that <paramref name="executionSettings"/> stand for.</summary>
    /// <param name="executionSettings">
    /// Settings of this type, which are returned as they are; base settings, as prompts in JSON or YAML have them, whose
    /// extension data may hold the JSON names of this type in any case; settings of another service, of which the settings
    /// with the same JSON names are taken; or null.
    /// </param>
    /// <returns>
    /// The settings, not frozen unless they are the given ones. The function choice behavior is the same object, and
    /// extension data with other names is carried over untouched.
    /// </returns>
    /// <exception cref="ArgumentException">A setting has a value that it cannot have.</exception>
    public static ForetokenPromptExecutionSettings FromExecutionSettings(PromptExecutionSettings? executionSettings)
    {
        if (executionSettings is null)
        {
            return new ForetokenPromptExecutionSettings();
        }
        if (executionSettings is ForetokenPromptExecutionSettings own)
        {
            return own;
        }

        try
        {
            JsonObject known = [];
            Dictionary<string, object> other = [];
            foreach ((string name, object value) in ReadExtensionData(executionSettings))
            {
                if (!Names.TryGetValue(name, out string? jsonName))
                {
                    other[name] = value;
                }
                else if (!known.TryAdd(jsonName, ToNode(value)))
                {
                    throw new ArgumentException($"The setting '{jsonName}' is given twice.", nameof(executionSettings));
                }
            }

            ForetokenPromptExecutionSettings settings = known.Deserialize<ForetokenPromptExecutionSettings>(
                Permissive
            )!;
            settings.ModelId = executionSettings.ModelId;
            settings.ServiceId = executionSettings.ServiceId;
            settings.FunctionChoiceBehavior = executionSettings.FunctionChoiceBehavior;
            settings.ExtensionData = other.Count > 0 ? other : null;
            return settings;
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            throw new ArgumentException(
                $"The execution settings are not settings of Foretoken: {e.Message}",
                nameof(executionSettings),
                e
            );
        }
    }

    /// <inheritdoc/>
    public override void Freeze()
    {
        if (IsFrozen)
        {
            return;
        }
        base.Freeze();
        if (_stopSequences is not null)
        {
            _stopSequences = new ReadOnlyCollection<string>([.. _stopSequences]);
        }
        if (_loraAdapters is not null)
        {
            _loraAdapters = new ReadOnlyDictionary<string, float>(Copy(_loraAdapters));
        }
    }

    /// <summary>A copy that is not frozen. The function choice behavior is shared with it.</summary>
    public override PromptExecutionSettings Clone() =>
        new ForetokenPromptExecutionSettings
        {
            ModelId = ModelId,
            ServiceId = ServiceId,
            FunctionChoiceBehavior = FunctionChoiceBehavior,
            ExtensionData = ExtensionData is null ? null : new Dictionary<string, object>(ExtensionData),
            TargetTtftSpeedup = TargetTtftSpeedup,
            TargetDecodeSpeedup = TargetDecodeSpeedup,
            MaxQualityLoss = MaxQualityLoss,
            UseThresholds = UseThresholds,
            Completion = Completion,
            Importance = Importance,
            LoraAdapters = LoraAdapters is null ? null : Copy(LoraAdapters),
            Temperature = Temperature,
            TopP = TopP,
            TopK = TopK,
            MinP = MinP,
            MaxTokens = MaxTokens,
            StopSequences = StopSequences is null ? null : [.. StopSequences],
            Seed = Seed,
            FrequencyPenalty = FrequencyPenalty,
            PresencePenalty = PresencePenalty,
            ResponseFormat = ResponseFormat,
        };

    /// <summary>
    /// Writes what is set into the options, exactly: what Semantic Kernel does before goes through JSON, where
    /// a response format loses its name and numbers their type.
    /// </summary>
    /// <param name="options">The options of the request.</param>
    protected override void PrepareChatOptionsForRequest(ChatOptions options) => ApplyTo(options);

    /// <inheritdoc cref="PrepareChatOptionsForRequest"/>
    internal void ApplyTo(ChatOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Temperature = Temperature ?? options.Temperature;
        options.TopP = TopP ?? options.TopP;
        options.TopK = TopK ?? options.TopK;
        options.MaxOutputTokens = MaxTokens ?? options.MaxOutputTokens;
        options.StopSequences = StopSequences is null ? options.StopSequences : [.. StopSequences];
        options.Seed = Seed ?? options.Seed;
        options.FrequencyPenalty = FrequencyPenalty ?? options.FrequencyPenalty;
        options.PresencePenalty = PresencePenalty ?? options.PresencePenalty;
        options.ResponseFormat = ResponseFormat ?? options.ResponseFormat;
        SetAdditional(options, TargetTtftSpeedupName, TargetTtftSpeedup);
        SetAdditional(options, TargetDecodeSpeedupName, TargetDecodeSpeedup);
        SetAdditional(options, MaxQualityLossName, MaxQualityLoss);
        SetAdditional(options, UseThresholdsName, UseThresholds);
        SetAdditional(options, CompletionName, Completion);
        SetAdditional(options, ImportanceName, Importance);
        SetAdditional(options, LoraAdaptersName, LoraAdapters is null ? null : Copy(LoraAdapters));
        SetAdditional(options, MinPName, MinP);
        foreach ((string name, object value) in ExtensionData ?? new Dictionary<string, object>())
        {
            if (value is not JsonElement && options.AdditionalProperties?.ContainsKey(name) == true)
            {
                options.AdditionalProperties[name] = value;
            }
        }
    }

    /// <summary>
    /// Base settings that reach a chat client without passing through this type leave in the additional properties what
    /// Semantic Kernel could not convert, such as the stop sequences of prompt YAML. They take their place in the options.
    /// </summary>
    /// <param name="options">The options of the request; changed in place.</param>
    /// <exception cref="ArgumentException">A setting has a value that it cannot have.</exception>
    internal static void ApplyLeftovers(ChatOptions options)
    {
        Dictionary<string, object> leftovers = [];
        foreach ((string name, object? value) in options.AdditionalProperties ?? [])
        {
            if (value is not null && Names.Contains(name))
            {
                leftovers[name] = value;
            }
        }
        if (leftovers.Count == 0)
        {
            return;
        }
        foreach (string name in leftovers.Keys)
        {
            options.AdditionalProperties!.Remove(name);
        }
        FromExecutionSettings(new PromptExecutionSettings { ExtensionData = leftovers }).ApplyTo(options);
    }

    private static IDictionary<string, object> ReadExtensionData(PromptExecutionSettings settings)
    {
        if (settings.GetType() != typeof(PromptExecutionSettings))
        {
            // the typed settings of another service have the names that JSON gives them
            settings = JsonSerializer
                .SerializeToElement(settings, settings.GetType())
                .Deserialize<PromptExecutionSettings>()!;
        }
        return settings.ExtensionData ?? new Dictionary<string, object>();
    }

    private static JsonNode? ToNode(object? value) =>
        value is ChatResponseFormat format
            ? ResponseFormatConverter.ToNode(format)
            : JsonSerializer.SerializeToNode(value, value?.GetType() ?? typeof(object));

    private static Dictionary<string, float> Copy(IDictionary<string, float> scales) =>
        new(scales, StringComparer.Ordinal);

    private static void SetAdditional(ChatOptions options, string name, object? value)
    {
        if (value is not null)
        {
            (options.AdditionalProperties ??= [])[name] = value;
        }
    }

    private void Set<T>(ref T field, T value)
    {
        ThrowIfFrozen();
        field = value;
    }
}

using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;

namespace Foretoken.SemanticKernel.Tests;

public sealed class ForetokenPromptExecutionSettingsTests
{
    private const string Schema = """{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}""";

    private static readonly PropertyInfo[] OwnProperties =
    [
        .. typeof(ForetokenPromptExecutionSettings)
            .GetProperties()
            .Where(p => p.DeclaringType == typeof(ForetokenPromptExecutionSettings)),
    ];

    private static readonly string[] StopSequences = ["\n\n", "</end>"];

    /// <summary>Every setting has a value that is not its default, and that binary floating point does not hold exactly.</summary>
    private static ForetokenPromptExecutionSettings Full() =>
        new()
        {
            ServiceId = "fast",
            ModelId = "a-model",
            FunctionChoiceBehavior = FunctionChoiceBehavior.Auto(),
            ExtensionData = new Dictionary<string, object> { ["foretoken.other"] = 3 },
            TargetTtftSpeedup = 2.3,
            TargetDecodeSpeedup = 1.1,
            MaxQualityLoss = 0.1,
            UseThresholds = true,
            Completion = "when_idle",
            Importance = "recent-window",
            LoraAdapters = new Dictionary<string, float> { ["tone"] = 0.3f, ["Tone"] = -1 },
            Temperature = 0.7f,
            TopP = 0.9f,
            TopK = 40,
            MinP = 0.05f,
            MaxTokens = 123,
            StopSequences = [.. StopSequences],
            Seed = long.MaxValue - 1,
            FrequencyPenalty = 0.3f,
            PresencePenalty = -0.2f,
            ResponseFormat = ChatResponseFormat.ForJsonSchema(Element(Schema), "place", "A place."),
        };

    [Fact]
    public void Every_setting_has_a_test_value()
    {
        ForetokenPromptExecutionSettings full = Full();
        Assert.Equal(17, OwnProperties.Length);
        Assert.All(OwnProperties, property => Assert.NotNull(property.GetValue(full)));
    }

    [Fact]
    public void Json_names_are_those_of_prompts()
    {
        Assert.Equal(
            [
                "completion",
                "frequency_penalty",
                "importance",
                "lora_adapters",
                "max_quality_loss",
                "max_tokens",
                "min_p",
                "presence_penalty",
                "response_format",
                "seed",
                "stop_sequences",
                "target_decode_speedup",
                "target_ttft_speedup",
                "temperature",
                "top_k",
                "top_p",
                "use_thresholds",
            ],
            OwnProperties.Select(p => p.GetCustomAttribute<JsonPropertyNameAttribute>()!.Name).Order()
        );
    }

    [Fact]
    public void Settings_that_are_not_set_are_absent_from_json_and_options()
    {
        Assert.DoesNotContain(
            Element(JsonSerializer.Serialize(new ForetokenPromptExecutionSettings())).EnumerateObject(),
            property => OwnProperties.Any(p => p.GetCustomAttribute<JsonPropertyNameAttribute>()!.Name == property.Name)
        );

        ChatOptions options = new ForetokenPromptExecutionSettings().ToChatOptions(kernel: null);
        Assert.Null(options.Temperature);
        Assert.Null(options.ResponseFormat);
        Assert.Null(options.AdditionalProperties);
    }

    [Fact]
    public void Json_round_trip_keeps_every_setting()
    {
        ForetokenPromptExecutionSettings copy = JsonSerializer.Deserialize<ForetokenPromptExecutionSettings>(
            JsonSerializer.Serialize(Full())
        )!;
        AssertSameSettings(Full(), copy);
    }

    [Fact]
    public void Base_settings_are_read_from_their_extension_data()
    {
        FunctionChoiceBehavior behavior = FunctionChoiceBehavior.Required();
        object progress = new();
        PromptExecutionSettings settings = new()
        {
            ServiceId = "fast",
            ModelId = "a-model",
            FunctionChoiceBehavior = behavior,
            ExtensionData = new Dictionary<string, object>
            {
                ["target_ttft_speedup"] = 2.3m,
                ["Target_Decode_Speedup"] = Element("1.1"),
                ["MAX_QUALITY_LOSS"] = "0.1",
                ["use_thresholds"] = true,
                ["Completion"] = Element("\"when_idle\""),
                ["importance"] = Element("\"recent-window\""),
                ["Lora_Adapters"] = new Dictionary<string, object> { ["tone"] = "0.3", ["Tone"] = -1 },
                ["temperature"] = 0.7,
                ["top_p"] = 0.9f,
                ["top_k"] = 40L,
                ["Min_P"] = Element("0.05"),
                ["max_tokens"] = "123",
                ["stop_sequences"] = new List<object> { "\n\n", "</end>" },
                ["seed"] = long.MaxValue - 1,
                ["frequency_penalty"] = 0.3f,
                ["presence_penalty"] = Element("\"-0.2\""),
                ["response_format"] = ChatResponseFormat.ForJsonSchema(Element(Schema), "place", "A place."),
                ["something else"] = progress,
            },
        };

        ForetokenPromptExecutionSettings read = ForetokenPromptExecutionSettings.FromExecutionSettings(settings);

        AssertSameSettings(Full(), read);
        Assert.Equal("fast", read.ServiceId);
        Assert.Equal("a-model", read.ModelId);
        Assert.Same(behavior, read.FunctionChoiceBehavior);
        Assert.Same(progress, Assert.Single(read.ExtensionData!).Value);
    }

    [Fact]
    public void No_settings_are_empty_settings_and_own_settings_are_themselves()
    {
        AssertSameSettings(
            new ForetokenPromptExecutionSettings(),
            ForetokenPromptExecutionSettings.FromExecutionSettings(null)
        );
        ForetokenPromptExecutionSettings own = Full();
        Assert.Same(own, ForetokenPromptExecutionSettings.FromExecutionSettings(own));
    }

    [Fact]
    public void Settings_of_another_service_give_what_has_the_same_name()
    {
        ForetokenPromptExecutionSettings read = ForetokenPromptExecutionSettings.FromExecutionSettings(
            new OtherSettings { Temperature = 0.7, Stop = "never" }
        );
        Assert.Equal(0.7f, read.Temperature);
        Assert.Equal("stop", Assert.Single(read.ExtensionData!).Key);
    }

    [Fact]
    public void Prompt_json_carries_the_settings()
    {
        PromptTemplateConfig prompt = PromptTemplateConfig.FromJson(
            """
            {
              "template": "Hello",
              "execution_settings": {
                "default": {
                  "target_ttft_speedup": 2.5,
                  "stop_sequences": ["END"],
                  "lora_adapters": ["tone", "law"],
                  "response_format": "json_object",
                  "function_choice_behavior": { "type": "auto" }
                }
              }
            }
            """
        );
        ForetokenPromptExecutionSettings read = ForetokenPromptExecutionSettings.FromExecutionSettings(
            prompt.DefaultExecutionSettings
        );
        Assert.Equal(2.5, read.TargetTtftSpeedup);
        Assert.Equal(["END"], read.StopSequences);
        Assert.Equal(new Dictionary<string, float> { ["tone"] = 1, ["law"] = 1 }, read.LoraAdapters);
        Assert.Same(ChatResponseFormat.Json, read.ResponseFormat);
        Assert.IsType<AutoFunctionChoiceBehavior>(read.FunctionChoiceBehavior);
    }

    [Fact]
    public void Prompt_yaml_carries_the_settings()
    {
        PromptTemplateConfig prompt = PromptYaml.Read(
            """
            template: Hello
            execution_settings:
              default:
                target_ttft_speedup: 2.5
                target_decode_speedup: 1.1
                max_quality_loss: 0.1
                use_thresholds: true
                completion: when_idle
                importance: most-recent
                lora_adapters:
                  tone: 0.5
                  law: -1
                temperature: 0.7
                top_k: 40
                seed: 17
                stop_sequences: [END, STOP]
                response_format:
                  type: object
                  properties:
                    city:
                      type: string
                function_choice_behavior:
                  type: required
            """
        );
        ForetokenPromptExecutionSettings read = ForetokenPromptExecutionSettings.FromExecutionSettings(
            prompt.DefaultExecutionSettings
        );
        Assert.Equal(2.5, read.TargetTtftSpeedup);
        Assert.Equal(1.1, read.TargetDecodeSpeedup);
        Assert.Equal(0.1, read.MaxQualityLoss);
        Assert.True(read.UseThresholds);
        Assert.Equal("when_idle", read.Completion);
        Assert.Equal("most-recent", read.Importance);
        Assert.Equal(new Dictionary<string, float> { ["tone"] = 0.5f, ["law"] = -1 }, read.LoraAdapters);
        Assert.Equal(0.7f, read.Temperature);
        Assert.Equal(40, read.TopK);
        Assert.Equal(17, read.Seed);
        Assert.Equal(["END", "STOP"], read.StopSequences);
        Assert.Equal(
            """{"type":"object","properties":{"city":{"type":"string"}}}""",
            Assert.IsType<ChatResponseFormatJson>(read.ResponseFormat).Schema!.Value.GetRawText()
        );
        Assert.IsType<RequiredFunctionChoiceBehavior>(read.FunctionChoiceBehavior);
    }

    [Theory]
    [InlineData("temperature", "hot")]
    [InlineData("top_k", 1.5)]
    [InlineData("response_format", "xml")]
    [InlineData("response_format", 3)]
    [InlineData("stop_sequences", 3)]
    [InlineData("use_thresholds", "maybe")]
    [InlineData("use_thresholds", 1)]
    [InlineData("lora_adapters", "tone")]
    [InlineData("lora_adapters", new[] { 1 })]
    public void A_value_that_a_setting_cannot_have_is_refused_by_name(string name, object value)
    {
        PromptExecutionSettings settings = new() { ExtensionData = new Dictionary<string, object> { [name] = value } };
        ArgumentException error = Assert.Throws<ArgumentException>(() =>
            ForetokenPromptExecutionSettings.FromExecutionSettings(settings)
        );
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_scale_that_is_no_number_is_refused_by_name()
    {
        PromptExecutionSettings settings = new()
        {
            ExtensionData = new Dictionary<string, object>
            {
                ["lora_adapters"] = new Dictionary<string, string> { ["tone"] = "strong" },
            },
        };
        ArgumentException error = Assert.Throws<ArgumentException>(() =>
            ForetokenPromptExecutionSettings.FromExecutionSettings(settings)
        );
        Assert.Contains("lora_adapters", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_setting_given_twice_is_refused()
    {
        PromptExecutionSettings settings = new()
        {
            ExtensionData = new Dictionary<string, object> { ["seed"] = 1, ["Seed"] = 2 },
        };
        Assert.Contains(
            "'seed'",
            Assert
                .Throws<ArgumentException>(() => ForetokenPromptExecutionSettings.FromExecutionSettings(settings))
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Out_of_range_speedups_and_quality_losses_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new ForetokenPromptExecutionSettings { TargetTtftSpeedup = 0.5 }
        );
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new ForetokenPromptExecutionSettings { MaxQualityLoss = double.NaN }
        );
        Assert.Throws<ArgumentOutOfRangeException>(() => new ForetokenPromptExecutionSettings { MaxQualityLoss = 0 });
        PromptExecutionSettings settings = new()
        {
            ExtensionData = new Dictionary<string, object> { ["target_ttft_speedup"] = 0.5 },
        };
        Assert.ThrowsAny<ArgumentException>(() => ForetokenPromptExecutionSettings.FromExecutionSettings(settings));
    }

    [Theory]
    [InlineData("\"text\"")]
    [InlineData("\"json_object\"")]
    [InlineData("""{"type":"text"}""")]
    [InlineData("""{"type":"json_object"}""")]
    [InlineData("""{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"type":"object"}}}""")]
    [InlineData("""{"type":"json_schema","json_schema":{"schema":{"type":"array","items":{"type":"integer"}}}}""")]
    [InlineData("""{"type":"object","properties":{}}""")]
    public void Response_formats_survive_json(string json)
    {
        ForetokenPromptExecutionSettings settings = Read(json);
        ChatResponseFormat once = settings.ResponseFormat!;
        ChatResponseFormat twice = JsonSerializer
            .Deserialize<ForetokenPromptExecutionSettings>(JsonSerializer.Serialize(settings))!
            .ResponseFormat!;
        AssertSameFormat(once, twice);
        Assert.Equal(
            json.Contains("schema", StringComparison.Ordinal) || json.Contains("properties", StringComparison.Ordinal),
            (once as ChatResponseFormatJson)?.Schema is not null
        );

        static ForetokenPromptExecutionSettings Read(string json) =>
            JsonSerializer.Deserialize<ForetokenPromptExecutionSettings>($$"""{"response_format": {{json}}}""")!;
    }

    [Fact]
    public void A_clone_has_every_setting_and_can_be_changed()
    {
        ForetokenPromptExecutionSettings settings = Full();
        settings.Freeze();
        ForetokenPromptExecutionSettings clone = Assert.IsType<ForetokenPromptExecutionSettings>(settings.Clone());

        AssertSameSettings(settings, clone);
        Assert.Equal(settings.ServiceId, clone.ServiceId);
        Assert.Equal(settings.ModelId, clone.ModelId);
        Assert.Same(settings.FunctionChoiceBehavior, clone.FunctionChoiceBehavior);
        Assert.False(clone.IsFrozen);
        clone.StopSequences!.Add("third");
        clone.LoraAdapters!["another"] = 1;
        clone.ExtensionData!["foretoken.another"] = 4;
        Assert.Equal(StopSequences, settings.StopSequences);
        Assert.Equal(2, settings.LoraAdapters!.Count);
        Assert.Single(settings.ExtensionData!);
    }

    [Fact]
    public void Frozen_settings_cannot_be_changed()
    {
        ForetokenPromptExecutionSettings settings = Full();
        settings.Freeze();
        settings.Freeze();

        foreach (PropertyInfo property in OwnProperties)
        {
            TargetInvocationException error = Assert.Throws<TargetInvocationException>(() =>
                property.SetValue(settings, property.GetValue(settings))
            );
            Assert.IsType<InvalidOperationException>(error.InnerException);
        }
        Assert.Throws<NotSupportedException>(() => settings.StopSequences!.Add("third"));
        Assert.Throws<NotSupportedException>(() => settings.LoraAdapters!["another"] = 1);
        Assert.Throws<NotSupportedException>(() => settings.ExtensionData!["another"] = 4);
        AssertSameSettings(Full(), settings);
    }

    [Fact]
    public void Chat_options_hold_exactly_what_is_set()
    {
        ForetokenPromptExecutionSettings settings = Full();
        object progress = new Progress<int>();
        settings.ExtensionData!["foretoken.prefill_progress"] = progress;

        ChatOptions options = settings.ToChatOptions(new Kernel());

        Assert.Equal("a-model", options.ModelId);
        Assert.Equal(0.7f, options.Temperature);
        Assert.Equal(0.9f, options.TopP);
        Assert.Equal(40, options.TopK);
        Assert.Equal(123, options.MaxOutputTokens);
        Assert.Equal(StopSequences, options.StopSequences);
        Assert.Equal(long.MaxValue - 1, options.Seed);
        Assert.Equal(0.3f, options.FrequencyPenalty);
        Assert.Equal(-0.2f, options.PresencePenalty);
        Assert.Same(settings.ResponseFormat, options.ResponseFormat);
        AdditionalPropertiesDictionary properties = options.AdditionalProperties!;
        Assert.Equal(2.3, properties["target_ttft_speedup"]);
        Assert.Equal(1.1, properties["target_decode_speedup"]);
        Assert.Equal(0.1, properties["max_quality_loss"]);
        Assert.Equal(true, properties["use_thresholds"]);
        Assert.Equal("when_idle", properties["completion"]);
        Assert.Equal("recent-window", properties["importance"]);
        Assert.Equal(new Dictionary<string, float> { ["tone"] = 0.3f, ["Tone"] = -1 }, properties["lora_adapters"]);
        Assert.NotSame(settings.LoraAdapters, properties["lora_adapters"]);
        Assert.Equal(0.05f, properties["min_p"]);
        Assert.Equal(3, properties["foretoken.other"]);
        Assert.Same(progress, properties["foretoken.prefill_progress"]);
        Assert.Equal(10, properties.Count);
    }

    private static JsonElement Element(string json) => JsonElement.Parse(json);

    private static void AssertSameSettings(
        ForetokenPromptExecutionSettings expected,
        ForetokenPromptExecutionSettings actual
    )
    {
        foreach (PropertyInfo property in OwnProperties)
        {
            if (property.GetValue(expected) is ChatResponseFormat format)
            {
                AssertSameFormat(format, (ChatResponseFormat?)property.GetValue(actual));
            }
            else
            {
                Assert.Equal(property.GetValue(expected), property.GetValue(actual));
            }
        }
    }

    private static void AssertSameFormat(ChatResponseFormat expected, ChatResponseFormat? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.GetType(), actual.GetType());
        if (expected is ChatResponseFormatJson json)
        {
            ChatResponseFormatJson other = (ChatResponseFormatJson)actual;
            Assert.Equal(json.Schema?.GetRawText(), other.Schema?.GetRawText());
            Assert.Equal(json.SchemaName, other.SchemaName);
            Assert.Equal(json.SchemaDescription, other.SchemaDescription);
        }
    }

    private sealed class OtherSettings : PromptExecutionSettings
    {
        [JsonPropertyName("temperature")]
        public double Temperature { get; init; }

        [JsonPropertyName("stop")]
        public string? Stop { get; init; }
    }
}

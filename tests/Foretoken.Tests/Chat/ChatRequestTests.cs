using System.Text.Json;
using Foretoken.Chat;
using Foretoken.Planning;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NSubstitute;

namespace Foretoken.Tests.Chat;

public sealed class ChatRequestTests
{
    [Fact]
    public void Without_options_no_speed_and_no_budget_are_asked_for()
    {
        ChatRequest request = Create(new(), new());
        Assert.Null(request.Speed.TargetTtftSpeedup);
        Assert.Null(request.Speed.MaxQualityLoss);
        Assert.Null(request.Speed.UseThresholds);
        Assert.Equal(1, new ForetokenChatClientOptions().TargetTtftSpeedup);
    }

    [Fact]
    public void The_client_s_speed_budget_and_thresholds_hold_where_the_request_names_none()
    {
        ForetokenChatClientOptions defaults = new()
        {
            TargetTtftSpeedup = 2,
            MaxQualityLoss = 0.3,
            UseThresholds = true,
        };
        ChatRequest request = Create(defaults, new());
        Assert.Equal(
            ((double?)2.0, (double?)0.3, (bool?)true),
            (request.Speed.TargetTtftSpeedup, request.Speed.MaxQualityLoss, request.Speed.UseThresholds)
        );
        // those of a copy, as a client makes it
        Assert.Equal(2, Create(defaults.Clone(), new()).Speed.TargetTtftSpeedup);
    }

    [Fact]
    public void A_request_names_the_adapters_that_it_computes_with_or_takes_the_client_s()
    {
        ForetokenChatClientOptions defaults = new()
        {
            Adapters =
            [
                new() { Path = "tone.gguf", Scale = 0.5f },
                new()
                {
                    Path = "law.gguf",
                    Name = "legal",
                    Scale = 0,
                },
            ],
        };
        Assert.Equal(new Dictionary<string, float> { ["tone"] = 0.5f }, Create(defaults, new()).Adapters);
        Assert.Equal(
            new Dictionary<string, float> { ["legal"] = 1 },
            Create(defaults, new ChatOptions().WithLoraAdapters("legal")).Adapters
        );
        Assert.Empty(Create(defaults, new ChatOptions().WithLoraAdapters()).Adapters);
        ChatOptions json = new()
        {
            AdditionalProperties = new()
            {
                ["lora_adapters"] = JsonSerializer.SerializeToElement(new { tone = 2, legal = 0.25 }),
            },
        };
        Assert.Equal(
            new Dictionary<string, float> { ["tone"] = 2, ["legal"] = 0.25f },
            Create(defaults, json).Adapters
        );
        ArgumentException e = Assert.Throws<ArgumentException>(() =>
            Create(defaults, new ChatOptions().WithLoraAdapters("lega"))
        );
        Assert.Contains("'tone', 'legal'", e.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() =>
            new ForetokenChatClientOptions { Adapters = [new() { Path = "a/x.gguf" }, new() { Path = "b/x.gguf" }] }
        );
    }

    [Fact]
    public void A_request_overrides_speed_budget_and_thresholds_each_by_itself()
    {
        ForetokenChatClientOptions defaults = new()
        {
            TargetTtftSpeedup = 2,
            MaxQualityLoss = 0.3,
            UseThresholds = true,
        };
        ChatRequest careful = Create(defaults, new ChatOptions().WithMaxQualityLoss(0.05).WithThresholds(false));
        Assert.Equal(
            ((double?)2.0, (double?)0.05, (bool?)false),
            (careful.Speed.TargetTtftSpeedup, careful.Speed.MaxQualityLoss, careful.Speed.UseThresholds)
        );

        ChatRequest plain = Create(defaults, new ChatOptions().WithTargetTtftSpeedup(1));
        Assert.Equal(((double?)1.0, (double?)0.3), (plain.Speed.TargetTtftSpeedup, plain.Speed.MaxQualityLoss));
    }

    [Fact]
    public void A_request_overrides_the_client_s_speed_of_output_tokens()
    {
        ForetokenChatClientOptions defaults = new() { TargetDecodeSpeedup = 1.1 };
        Assert.Null(Create(new(), new()).Speed.TargetDecodeSpeedup);
        Assert.Equal(1.1, Create(defaults.Clone(), new()).Speed.TargetDecodeSpeedup);
        Assert.Equal(1.3, Create(defaults, new ChatOptions().WithTargetDecodeSpeedup(1.3)).Speed.TargetDecodeSpeedup);
        Assert.Throws<ArgumentOutOfRangeException>(() => new ChatOptions().WithTargetDecodeSpeedup(0.5));
        Assert.Throws<ArgumentOutOfRangeException>(() => new PrefillRequest { TargetDecodeSpeedup = double.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            Create(new(), new() { AdditionalProperties = new() { ["target_decode_speedup"] = 0 } })
        );
        Assert.False(
            new PrefillRequest { TargetTtftSpeedup = 1, TargetDecodeSpeedup = 1.1 }
                .Speed
                .KeepsAll
        );
        Assert.True(
            new PrefillRequest { TargetDecodeSpeedup = 1 }
                .Speed
                .KeepsAll
        );
    }

    [Fact]
    public void A_request_gives_speed_options_as_its_raw_representation_and_properties_go_before_them()
    {
        ForetokenChatClientOptions defaults = new()
        {
            Speed = new() { MaxQualityLoss = 0.3, Strict = true },
        };
        ChatOptions options = new ChatOptions
        {
            RawRepresentationFactory = _ => new SpeedOptions
            {
                TargetTtftSpeedup = 3,
                UseThresholds = true,
                Strict = false,
            },
        }.WithPrefillProgress(new Progress<PrefillProgress>());
        SpeedOptions asked = Create(defaults, options).Speed;
        Assert.Equal(
            new SpeedOptions
            {
                TargetTtftSpeedup = 3,
                MaxQualityLoss = 0.3,
                UseThresholds = true,
                Strict = false,
            },
            asked
        );
        Assert.Equal(2, Create(defaults, options.WithTargetTtftSpeedup(2)).Speed.TargetTtftSpeedup);
    }

    [Fact]
    public void A_request_asks_strictly_by_an_additional_property()
    {
        ChatOptions options = new() { AdditionalProperties = new() { ["strict"] = "true" } };
        Assert.True(Create(new(), options).Speed.Strict);
        options.AdditionalProperties["strict"] = 3;
        Assert.Throws<ArgumentException>(() => Create(new(), options));
    }

    [Fact]
    public void The_short_names_of_the_options_are_those_of_the_records()
    {
        ForetokenChatClientOptions options = new()
        {
            TargetTtftSpeedup = 2,
            ContextSize = 4096,
            GpuLayers = 3,
        };
        Assert.Equal(new SpeedOptions { TargetTtftSpeedup = 2 }, options.Speed);
        Assert.Equal((4096, 3), (options.Session.ContextSize, options.Model.GpuLayers));
        // a client's copy does not see later changes
        ForetokenChatClientOptions copy = options.Clone();
        options.Session.ContextSize = 1;
        options.Model.GpuLayers = 0;
        Assert.Equal((4096, 3), (copy.Session.ContextSize, copy.Model.GpuLayers));
    }

    [Fact]
    public void A_budget_comes_in_any_type_of_number()
    {
        foreach (object loss in (object[])[0.25, 0.25f, "0.25", JsonSerializer.SerializeToElement(0.25)])
        {
            ChatOptions options = new() { AdditionalProperties = new() { ["max_quality_loss"] = loss } };
            Assert.Equal(0.25, Create(new(), options).Speed.MaxQualityLoss);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-0.1)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_budget_that_is_none_is_refused(double loss)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new ChatOptions().WithMaxQualityLoss(loss));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ForetokenChatClientOptions { MaxQualityLoss = loss });
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            Create(new(), new() { AdditionalProperties = new() { ["max_quality_loss"] = loss } })
        );
    }

    [Fact]
    public void The_raw_representation_of_a_request_is_what_the_sampler_is_told()
    {
        ChatOptions options = new()
        {
            TopK = 5,
            RawRepresentationFactory = _ => new SamplerOptions
            {
                Temperature = 0.5f,
                TopK = 40,
                RepeatPenalty = 1.1f,
            },
        };
        SamplerOptions sampling = Create(new(), options).Sampling;
        Assert.Equal((0.5f, 5, 1.1f), (sampling.Temperature, sampling.TopK, sampling.RepeatPenalty));
    }

    [Fact]
    public void A_raw_representation_for_another_client_is_logged_and_one_with_a_grammar_refused()
    {
        List<string> log = [];
        ChatOptions foreign = new() { RawRepresentationFactory = _ => "for another client" };
        Assert.Equal(new SamplerOptions(), Create(new(), foreign, new ListLogger(log)).Sampling);
        Assert.Contains(log, message => message.Contains("SamplerOptions", StringComparison.Ordinal));
        ChatOptions grammar = new()
        {
            RawRepresentationFactory = _ => new SamplerOptions { Grammar = "root ::= [0-9]" },
        };
        Assert.Throws<ArgumentException>(() => Create(new(), grammar));
    }

    private static ChatRequest Create(
        ForetokenChatClientOptions defaults,
        ChatOptions options,
        ILogger? logger = null
    ) =>
        ChatRequest.Create(
            [new ChatMessage(ChatRole.User, "x")],
            options,
            defaults,
            logger ?? NullLogger.Instance,
            Substitute.For<IChatClient>()
        );
}

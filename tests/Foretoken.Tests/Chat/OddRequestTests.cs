using System.Text;
using System.Text.Json;
using Foretoken.Chat;
using Foretoken.Interop;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>Requests as frameworks and long conversations make them: nulls, numbers that are none, contents of any kind.</summary>
public sealed class OddRequestTests
{
    [Fact]
    public void A_message_that_is_null_is_refused_with_its_place()
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => Create([new(ChatRole.User, "x"), null!]));
        Assert.Contains("message at 1 is null", e.Message, StringComparison.Ordinal);
        Assert.Equal("messages", e.ParamName);
    }

    [Fact]
    public void Contents_and_texts_that_are_null_say_nothing()
    {
        ChatMessage message = new(ChatRole.User, [null!, new TextContent(null), new TextContent("x"), null!]);
        Assert.Equal(["user: x"], Rendered(Create([message])));
    }

    [Fact]
    public void A_tool_that_is_null_is_refused()
    {
        Assert.Contains(
            "tools is null",
            Assert.Throws<ArgumentException>(() => Create(User, new() { Tools = [null!] })).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Stop_sequences_that_are_null_or_empty_stop_nothing()
    {
        Assert.Equal(["END"], Create(User, new() { StopSequences = [null!, "", "END"] }).StopSequences);
        Assert.Equal("all of it", new StopSequenceMatcher([null!, ""]).Append("all of it"));
    }

    [Fact]
    public void A_stop_sequence_with_half_of_a_character_is_refused()
    {
        // not as data of a theory, which would be turned into UTF-8
        foreach (string stop in (string[])["\uD83D", "\uDE00", "a\uDE00", "😀\uD83D", "\uDE00\uD83D"])
        {
            Assert.Contains(
                "stop sequence at 1",
                Assert.Throws<ArgumentException>(() => Create(User, new() { StopSequences = ["😀", stop] })).Message,
                StringComparison.Ordinal
            );
        }
    }

    [Fact]
    public void Half_of_a_character_in_a_message_does_not_end_the_conversation()
    {
        ChatRequest request = Create([new(ChatRole.User, "a\uD83Db"), new(ChatRole.User, "\0 and \u0001")]);
        Assert.Equal(["user: a\uFFFDb", "user: \0 and \u0001"], Rendered(request));
    }

    public static TheoryData<string, Action<float>> Samplings =>
        new()
        {
            { "Temperature", value => _ = new SamplerOptions { Temperature = value } },
            { "TopP", value => _ = new SamplerOptions { TopP = value } },
            { "MinP", value => _ = new SamplerOptions { MinP = value } },
            { "RepeatPenalty", value => _ = new SamplerOptions { RepeatPenalty = value } },
            { "FrequencyPenalty", value => _ = new SamplerOptions { FrequencyPenalty = value } },
            { "PresencePenalty", value => _ = new SamplerOptions { PresencePenalty = value } },
            { "Temperature", value => Create(User, new() { Temperature = value }) },
            { "TopP", value => Create(User, new() { TopP = value }) },
            { "FrequencyPenalty", value => Create(User, new() { FrequencyPenalty = value }) },
            { "PresencePenalty", value => Create(User, new() { PresencePenalty = value }) },
            { "min_p", value => Ask("min_p", value) },
            { "target_ttft_speedup", value => Ask("target_ttft_speedup", value) },
            { "target_decode_speedup", value => Ask("target_decode_speedup", value) },
            { "max_quality_loss", value => Ask("max_quality_loss", value) },
        };

    [Theory]
    [MemberData(nameof(Samplings))]
    public void A_value_that_is_no_number_or_out_of_range_is_refused_by_its_name(string name, Action<float> set)
    {
        foreach (
            float value in (float[])
                [float.NaN, float.PositiveInfinity, float.NegativeInfinity, -1e6f, -101, float.MinValue]
        )
        {
            ArgumentOutOfRangeException e = Assert.Throws<ArgumentOutOfRangeException>(() => set(value));
            Assert.Equal(name, e.ParamName);
            Assert.DoesNotContain("JSON", e.Message, StringComparison.OrdinalIgnoreCase);
        }
    }

    [Fact]
    public void A_raw_representation_with_what_is_no_number_is_refused_where_it_is_made()
    {
        ChatOptions options = new()
        {
            RawRepresentationFactory = _ => new SamplerOptions { RepeatPenalty = float.NaN },
        };
        Assert.Equal(
            "RepeatPenalty",
            Assert.Throws<ArgumentOutOfRangeException>(() => Create(User, options, client: new NoClient())).ParamName
        );
    }

    [Theory]
    [InlineData(513)]
    [InlineData(9999)]
    [InlineData(-1)]
    public void More_threads_than_there_can_be_are_refused_by_name(int threads)
    {
        Assert.Equal(
            "Threads",
            Assert
                .Throws<ArgumentOutOfRangeException>(() => new ForetokenChatClientOptions { Threads = threads })
                .ParamName
        );
        Assert.Throws<ArgumentOutOfRangeException>(() => new SessionOptions { Threads = threads });
        Assert.Throws<ArgumentOutOfRangeException>(() => new SessionOptions { BatchThreads = threads });
    }

    [Fact]
    public void Sizes_beyond_any_memory_and_names_that_are_none_are_refused_by_name()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new ForetokenChatClientOptions { ContextSize = int.MaxValue });
        Assert.Throws<ArgumentOutOfRangeException>(() => new SessionOptions { UBatchSize = int.MaxValue });
        Assert.Throws<ArgumentException>(() => new ForetokenChatClientOptions { Devices = ["CUDA0", null!] });
        Assert.Throws<ArgumentException>(() => new ModelOptions { RpcServers = [""] });
        Assert.Throws<ArgumentException>(() => new ForetokenChatClientOptions { ChatTemplate = "" });
        Assert.Throws<ArgumentException>(() => new ForetokenChatClientOptions { Adapters = [null!] });
    }

    public static TheoryData<string> Kinds => ["error", "image", "uri", "file", "unknown", "usage", "reasoning"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_a_text_model_cannot_read_does_not_end_the_conversation_that_it_is_in(string kind)
    {
        foreach (ChatRole role in (ChatRole[])[ChatRole.User, ChatRole.Assistant, ChatRole.System, ChatRole.Tool])
        {
            List<string> log = [];
            ChatRequest request = Create(
                [
                    new(ChatRole.User, "first"),
                    new(role, [Content(kind), new TextContent("said")]),
                    new(ChatRole.User, "last"),
                ],
                logger: new ListLogger(log)
            );
            Assert.Equal(["user: first", $"{role}: said", "user: last"], Rendered(request));
            bool isPartOfEveryConversation = kind is "usage" or "reasoning";
            Assert.Equal(isPartOfEveryConversation ? 0 : 1, log.Count);
        }
    }

    [Theory]
    [InlineData("error", false)]
    [InlineData("unknown", false)]
    [InlineData("image", true)]
    [InlineData("uri", true)]
    [InlineData("file", true)]
    public void What_is_asked_about_and_cannot_be_read_is_refused(string kind, bool isRefused)
    {
        ChatMessage[] messages = [new(ChatRole.User, [new TextContent("What is this?"), Content(kind)])];
        if (isRefused)
        {
            string name = Content(kind).GetType().Name;
            Assert.Contains(
                name,
                Assert.Throws<NotSupportedException>(() => Create(messages)).Message,
                StringComparison.Ordinal
            );
        }
        else
        {
            Assert.Equal(["user: What is this?"], Rendered(Create(messages)));
        }
    }

    [Fact]
    public void An_answer_that_was_only_an_error_keeps_its_turn()
    {
        ChatRequest request = Create([
            new(ChatRole.User, "first"),
            new(ChatRole.Assistant, [new ErrorContent("out of memory")]),
            new(ChatRole.User, "again"),
        ]);
        Assert.Equal(["user: first", "assistant: ", "user: again"], Rendered(request));
    }

    [Fact]
    public void Text_data_is_read_without_its_byte_order_mark()
    {
        foreach (Encoding encoding in (Encoding[])[new UTF8Encoding(false), Encoding.UTF8, Encoding.Unicode])
        {
            byte[] bytes = [.. encoding.GetPreamble(), .. encoding.GetBytes("größer 😀")];
            ChatMessage message = new(ChatRole.User, [new DataContent(bytes, "text/plain")]);
            Assert.Equal(["user: größer 😀"], Rendered(Create([message])));
        }
    }

    [Fact]
    public void Odd_values_of_function_calls_and_results_do_not_end_the_conversation()
    {
        Dictionary<string, object?> itself = [];
        itself["self"] = itself;
        ChatRequest request = Create([
            new(ChatRole.User, "x"),
            new(
                ChatRole.Assistant,
                [new FunctionCallContent("1", "f", new Dictionary<string, object?> { ["x"] = double.NaN })]
            ),
            new(ChatRole.Tool, [new FunctionResultContent("1", float.PositiveInfinity)]),
            new(
                ChatRole.Assistant,
                [new FunctionCallContent("2", "f", new Dictionary<string, object?> { ["x"] = itself })]
            ),
            new(ChatRole.Tool, [new FunctionResultContent("2", null)]),
            new(ChatRole.User, "go on"),
        ]);
        Assert.Contains("NaN", request.RenderJson, StringComparison.Ordinal);
        Assert.Equal(6, Rendered(request).Length);
    }

    [Theory]
    [InlineData("'n_threads' in the context config must be an integer in [0, 512]", "'Threads' in")]
    [InlineData("use a smaller 'n_ctx' or quantized 'type_k' and 'type_v'", "'ContextSize' or quantized 'KvCacheType'")]
    [InlineData("the model has no chat template; pass one as 'template_override'", "pass one as 'ChatTemplate'")]
    [InlineData("there is no device 'cuda7'", "there is no device 'cuda7'")]
    public void Native_names_of_options_become_the_callers(string message, string expected) =>
        Assert.Contains(expected, NativeOptionNames.Translate(message), StringComparison.Ordinal);

    private static ChatMessage[] User => [new(ChatRole.User, "x")];

    private static AIContent Content(string kind) =>
        kind switch
        {
            "error" => new ErrorContent("it failed"),
            "image" => new DataContent(new byte[4], "image/png"),
            "uri" => new UriContent("https://example.org/a.mp3", "audio/mpeg"),
            "file" => new HostedFileContent("file-1"),
            "usage" => new UsageContent(new UsageDetails()),
            "reasoning" => new TextReasoningContent("hm"),
            _ => new UnknownContent(),
        };

    private static void Ask(string key, object value) =>
        Create(User, new() { AdditionalProperties = new() { [key] = value } });

    private static string[] Rendered(ChatRequest request)
    {
        using JsonDocument json = JsonDocument.Parse(request.RenderJson);
        return
        [
            .. json
                .RootElement.GetProperty("messages")
                .EnumerateArray()
                .Select(message =>
                    $"{message.GetProperty("role").GetString()}: {message.GetProperty("content").GetString()}"
                ),
        ];
    }

    private static ChatRequest Create(
        ChatMessage[] messages,
        ChatOptions? options = null,
        ILogger? logger = null,
        IChatClient? client = null
    ) => ChatRequest.Create(messages, options, new ForetokenChatClientOptions(), logger ?? NullLogger.Instance, client);

    private sealed class UnknownContent : AIContent;

    private sealed class NoClient : IChatClient
    {
        public Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        ) => throw new NotSupportedException();

        public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        ) => throw new NotSupportedException();

        public object? GetService(Type serviceType, object? serviceKey = null) => null;

        public void Dispose() { }
    }
}

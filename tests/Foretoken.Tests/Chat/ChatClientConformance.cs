using System.Text.Json;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>
/// What <see cref="IChatClient"/> promises, as claims that any client can be run through: derive a class, say how a client is
/// made, and what it can do.
/// </summary>
public abstract class ChatClientConformance
{
    private const string Question = "Name three colours of the rainbow.";

    /// <summary>Makes a client on which nothing has run. Its answers to the same request must be the same (greedy decoding).</summary>
    protected abstract IChatClient CreateClient();

    /// <summary>
    /// Makes a client that can call functions; null when there is none. Of a random model it can only be asked for what a
    /// grammar forces it to do.
    /// </summary>
    protected virtual IChatClient? CreateToolClient() => null;

    /// <summary>An additional property that the client reads as a number, and a valid value that is a whole number.</summary>
    protected abstract (string Key, int Value) NumericOption { get; }

    [Fact]
    public async Task Streaming_and_whole_responses_agree()
    {
        using IChatClient client = CreateClient();
        List<ChatResponseUpdate> updates = await Collect(client.GetStreamingResponseAsync(User(Question), Short()));
        ChatResponse whole = await client.GetResponseAsync(User(Question), Short());
        ChatResponse folded = updates.ToChatResponse();

        Assert.NotEqual("", whole.Text);
        Assert.True(updates.Count > 1, "the answer did not come in pieces");
        Assert.Equal(whole.Text, folded.Text);
        Assert.Equal(whole.FinishReason, folded.FinishReason);
        Assert.Equal(whole.ModelId, folded.ModelId);
        Assert.Equal(whole.Usage!.InputTokenCount, folded.Usage!.InputTokenCount);
        Assert.Equal(whole.Usage.OutputTokenCount, folded.Usage.OutputTokenCount);
        Assert.NotEqual(whole.ResponseId, folded.ResponseId);
    }

    [Fact]
    public async Task Updates_belong_to_one_message_of_the_assistant_and_the_last_one_says_why_it_ended()
    {
        using IChatClient client = CreateClient();
        List<ChatResponseUpdate> updates = await Collect(client.GetStreamingResponseAsync(User(Question), Short()));
        Assert.All(updates, update => Assert.Equal(ChatRole.Assistant, update.Role));
        Assert.NotNull(Assert.Single(updates.Select(update => update.ResponseId).Distinct()));
        Assert.NotNull(Assert.Single(updates.Select(update => update.MessageId).Distinct()));
        Assert.All(updates, update => Assert.NotNull(update.CreatedAt));
        Assert.All(updates[..^1], update => Assert.Null(update.FinishReason));
        Assert.NotNull(updates[^1].FinishReason);
        Assert.Single(updates.SelectMany(update => update.Contents).OfType<UsageContent>());
        Assert.Single(updates.ToChatResponse().Messages);
    }

    [Fact]
    public async Task Usage_adds_up()
    {
        using IChatClient client = CreateClient();
        UsageDetails small = (await client.GetResponseAsync(User("Hi"), Short())).Usage!;
        UsageDetails large = (await client.GetResponseAsync(User(Question + Question), Short())).Usage!;
        Assert.True(large.InputTokenCount > small.InputTokenCount);
        Assert.Equal(large.InputTokenCount + large.OutputTokenCount, large.TotalTokenCount);
        Assert.InRange(large.CachedInputTokenCount ?? 0, 0, large.InputTokenCount!.Value);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Maximal_tokens_end_the_answer_for_its_length(int max)
    {
        using IChatClient client = CreateClient();
        ChatResponse response = await client.GetResponseAsync(User(Question), Short(max));
        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.Equal(max, response.Usage!.OutputTokenCount);
    }

    [Fact]
    public async Task Stop_sequence_ends_the_answer_before_it_wherever_it_stands()
    {
        using IChatClient client = CreateClient();
        string full = (await client.GetResponseAsync(User(Question), Short())).Text;
        Assert.True(full.Length > 6, full);
        for (int begin = 1; begin < full.Length - 3; begin += full.Length / 4)
        {
            string stop = full[begin..(begin + 3)];
            ChatOptions options = Short();
            options.StopSequences = ["never to be seen", stop];
            List<ChatResponseUpdate> updates = await Collect(client.GetStreamingResponseAsync(User(Question), options));
            Assert.Equal(
                full[..full.IndexOf(stop, StringComparison.Ordinal)],
                string.Concat(updates.Select(update => update.Text))
            );
            Assert.Equal(ChatFinishReason.Stop, updates[^1].FinishReason);
        }
    }

    [Fact]
    public async Task Instructions_are_a_system_message()
    {
        using IChatClient client = CreateClient();
        ChatOptions options = Short();
        options.Instructions = "You answer in French.";
        ChatResponse instructed = await client.GetResponseAsync(User(Question), options);
        ChatResponse written = await client.GetResponseAsync(
            [new(ChatRole.System, "You answer in French."), .. User(Question)],
            Short()
        );
        Assert.Equal(written.Text, instructed.Text);
        Assert.Equal(written.Usage!.InputTokenCount, instructed.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task History_is_read()
    {
        using IChatClient client = CreateClient();
        List<ChatMessage> history = [.. User("My name is Ada.")];
        ChatResponse first = await client.GetResponseAsync(history, Short());
        history.AddMessages(first);
        history.AddRange(User(Question));
        ChatResponse second = await client.GetResponseAsync(history, Short());
        ChatResponse alone = await client.GetResponseAsync(User(Question), Short());
        Assert.True(second.Usage!.InputTokenCount > alone.Usage!.InputTokenCount + first.Usage!.InputTokenCount / 2);
    }

    [Fact]
    public async Task Several_contents_of_a_message_are_one_text()
    {
        using IChatClient client = CreateClient();
        ChatMessage parts = new(
            ChatRole.User,
            [
                new TextContent(Question[..10]),
                new DataContent(System.Text.Encoding.UTF8.GetBytes(Question[10..]), "text/plain"),
            ]
        );
        Assert.Equal(
            (await client.GetResponseAsync(User(Question), Short())).Text,
            (await client.GetResponseAsync([parts], Short())).Text
        );
    }

    [Fact]
    public async Task Json_schema_binds_the_answer()
    {
        using IChatClient client = CreateClient();
        ChatOptions options = new()
        {
            MaxOutputTokens = 200,
            ResponseFormat = ChatResponseFormat.ForJsonSchema(
                JsonSerializer.Deserialize<JsonElement>(
                    """
                    {
                      "type": "object",
                      "properties": {"colour": {"enum": ["red", "green"]}, "warm": {"type": "boolean"}},
                      "required": ["colour", "warm"],
                      "additionalProperties": false
                    }
                    """
                )
            ),
        };
        ChatResponse response = await client.GetResponseAsync(User("Describe a colour."), options);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        using JsonDocument json = JsonDocument.Parse(response.Text);
        Assert.Contains(json.RootElement.GetProperty("colour").GetString(), (string[])["red", "green"]);
        Assert.Contains(
            json.RootElement.GetProperty("warm").ValueKind,
            (JsonValueKind[])[JsonValueKind.True, JsonValueKind.False]
        );
    }

    [Fact]
    public async Task Required_function_is_called_and_its_result_goes_back()
    {
        using IChatClient? client = CreateToolClient();
        if (client is null)
        {
            return;
        }
        AIFunction lamp = AIFunctionFactory.Create((bool on) => on ? "It is on." : "It is off.", "switch_lamp");
        List<ChatMessage> history = [.. User("Switch the lamp on.")];
        ChatOptions options = new()
        {
            MaxOutputTokens = 200,
            Tools = [lamp],
            ToolMode = ChatToolMode.RequireSpecific("switch_lamp"),
        };
        ChatResponse response = await client.GetResponseAsync(history, options);
        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
        FunctionCallContent call = Assert.Single(
            response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>()
        );
        Assert.Equal("switch_lamp", call.Name);
        Assert.NotEqual("", call.CallId);
        Assert.Null(call.Exception);
        object? result = await lamp.InvokeAsync(new AIFunctionArguments(call.Arguments));

        history.AddMessages(response);
        history.Add(new ChatMessage(ChatRole.Tool, [new FunctionResultContent(call.CallId, result)]));
        options = Short();
        options.Tools = [lamp];
        options.ToolMode = ChatToolMode.None;
        ChatResponse last = await client.GetResponseAsync(history, options);
        Assert.DoesNotContain(last.Messages.SelectMany(message => message.Contents), c => c is FunctionCallContent);
        Assert.True(last.Usage!.OutputTokenCount > 0);
    }

    [Fact]
    public async Task Seed_repeats_a_sampled_answer()
    {
        using IChatClient client = CreateClient();
        HashSet<string> answers = [];
        for (long seed = 1; seed <= 4; seed++)
        {
            ChatOptions options = Short();
            options.Temperature = 1.5f;
            options.Seed = seed;
            string answer = (await client.GetResponseAsync(User(Question), options)).Text;
            Assert.Equal(answer, (await client.GetResponseAsync(User(Question), options)).Text);
            answers.Add(answer);
        }
        Assert.True(answers.Count > 1, "every seed gave the same answer");
    }

    [Fact]
    public async Task Numbers_among_the_additional_properties_come_in_any_type()
    {
        using IChatClient client = CreateClient();
        (string key, int value) = NumericOption;
        string text = JsonSerializer.Serialize(value);
        List<string> answers = [];
        object[] forms =
        [
            value,
            (long)value,
            (float)value,
            (double)value,
            (decimal)value,
            text,
            JsonSerializer.SerializeToElement(value),
            JsonSerializer.SerializeToElement(text),
        ];
        foreach (object form in forms)
        {
            ChatOptions options = Short(4);
            options.AdditionalProperties = new() { [key] = form };
            answers.Add((await client.GetResponseAsync(User(Question), options)).Text);
        }
        Assert.Single(answers.Distinct());

        foreach (object wrong in (object[])["much", true, JsonSerializer.SerializeToElement(new { })])
        {
            ChatOptions options = Short(4);
            options.AdditionalProperties = new() { [key] = wrong };
            ArgumentException error = await Assert.ThrowsAnyAsync<ArgumentException>(() =>
                client.GetResponseAsync(User(Question), options)
            );
            Assert.Contains(key, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task What_the_caller_hands_over_is_not_changed()
    {
        using IChatClient client = CreateClient();
        List<ChatMessage> messages = [new(ChatRole.System, "Be brief."), .. User(Question)];
        ChatOptions options = Short();
        options.Instructions = "Be kind.";
        options.StopSequences = ["never to be seen"];
        string messagesBefore = JsonSerializer.Serialize(messages, AIJsonUtilities.DefaultOptions);
        string optionsBefore = JsonSerializer.Serialize(options, AIJsonUtilities.DefaultOptions);
        await client.GetResponseAsync(messages, options);
        Assert.Equal(messagesBefore, JsonSerializer.Serialize(messages, AIJsonUtilities.DefaultOptions));
        Assert.Equal(optionsBefore, JsonSerializer.Serialize(options, AIJsonUtilities.DefaultOptions));
    }

    [Fact]
    public async Task Services_are_found_by_type_and_key()
    {
        using IChatClient client = CreateClient();
        Assert.Same(client, client.GetService(typeof(IChatClient)));
        Assert.Same(client, client.GetService(client.GetType()));
        Assert.Null(client.GetService(typeof(IChatClient), "another key"));
        Assert.Null(client.GetService(typeof(ChatClientConformance)));
        Assert.Throws<ArgumentNullException>(() => client.GetService(null!));

        ChatClientMetadata metadata = client.GetService<ChatClientMetadata>()!;
        Assert.False(string.IsNullOrEmpty(metadata.ProviderName));
        Assert.Equal(metadata.DefaultModelId, (await client.GetResponseAsync(User("Hi"), Short(1))).ModelId);
    }

    [Fact]
    public async Task Cancelled_before_it_begins_a_request_gives_nothing()
    {
        using IChatClient client = CreateClient();
        using CancellationTokenSource source = new();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            client.GetResponseAsync(User(Question), Short(), source.Token)
        );
        IAsyncEnumerator<ChatResponseUpdate> updates = client
            .GetStreamingResponseAsync(User(Question), Short(), source.Token)
            .GetAsyncEnumerator();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await updates.MoveNextAsync());
        await updates.DisposeAsync();
        await AssertWorks(client);
    }

    [Fact]
    public async Task Cancelled_during_the_answer_a_request_ends_with_the_caller_s_token()
    {
        using IChatClient client = CreateClient();
        using CancellationTokenSource source = new();
        int seen = 0;
        OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            ChatOptions options = Short(500);
            options.StopSequences = ["never to be seen"];
            await foreach (
                ChatResponseUpdate update in client.GetStreamingResponseAsync(User(Question), options, source.Token)
            )
            {
                seen++;
                await source.CancelAsync();
            }
        });
        Assert.Equal(source.Token, error.CancellationToken);
        Assert.True(seen > 0);
        await AssertWorks(client);
    }

    [Fact]
    public async Task The_enumerator_s_own_token_cancels_too()
    {
        using IChatClient client = CreateClient();
        using CancellationTokenSource source = new();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (
                ChatResponseUpdate _ in client
                    .GetStreamingResponseAsync(User(Question), Short())
                    .WithCancellation(source.Token)
            ) { }
        });
        await AssertWorks(client);
    }

    [Fact]
    public async Task A_reader_may_leave_early_or_never_come()
    {
        using IChatClient client = CreateClient();
        _ = client.GetStreamingResponseAsync(User(Question), Short(500));
        await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync(User(Question), Short(500)))
        {
            break;
        }
        await AssertWorks(client);
    }

    [Fact]
    public async Task Requests_at_once_get_the_answers_of_a_quiet_client()
    {
        using IChatClient client = CreateClient();
        string[] questions = [.. Enumerable.Range(1, 8).Select(i => $"What is {i} plus {i}?")];
        List<string> quiet = [];
        foreach (string question in questions)
        {
            quiet.Add((await client.GetResponseAsync(User(question), Short(6))).Text);
        }
        ChatResponse[] crowd = await Task.WhenAll(
            questions.Select(question => Task.Run(() => client.GetResponseAsync(User(question), Short(6))))
        );
        Assert.Equal(quiet, crowd.Select(response => response.Text));
        Assert.Equal(8, crowd.Select(response => response.ResponseId).Distinct().Count());
    }

    [Fact]
    public async Task Missing_messages_are_refused_and_empty_texts_are_not()
    {
        using IChatClient client = CreateClient();
        await Assert.ThrowsAsync<ArgumentNullException>(() => client.GetResponseAsync((ChatMessage[])null!));
        Assert.Throws<ArgumentNullException>(() => client.GetStreamingResponseAsync((ChatMessage[])null!).ToString());
        await Assert.ThrowsAnyAsync<ArgumentException>(() => client.GetResponseAsync((ChatMessage[])[]));
        Assert.NotNull((await client.GetResponseAsync(User(""), Short(1))).FinishReason);
        Assert.NotNull((await client.GetResponseAsync([new ChatMessage(ChatRole.User, [])], Short(1))).FinishReason);
    }

    [Fact]
    public async Task Contents_that_cannot_be_read_are_refused_by_name()
    {
        using IChatClient client = CreateClient();
        foreach (
            AIContent content in (AIContent[])
                [new DataContent(new byte[4], "image/png"), new UriContent("https://example.org/a.png", "image/png")]
        )
        {
            NotSupportedException error = await Assert.ThrowsAsync<NotSupportedException>(() =>
                client.GetResponseAsync([new ChatMessage(ChatRole.User, [content])])
            );
            Assert.Contains(content.GetType().Name, error.Message, StringComparison.Ordinal);
        }
        await AssertWorks(client);
    }

    [Fact]
    public async Task Values_out_of_range_are_refused_by_name()
    {
        using IChatClient client = CreateClient();
        (string Name, ChatOptions Options)[] cases =
        [
            (nameof(ChatOptions.Temperature), new() { Temperature = -1 }),
            (nameof(ChatOptions.Temperature), new() { Temperature = float.NaN }),
            (nameof(ChatOptions.TopP), new() { TopP = 1.5f }),
            (nameof(ChatOptions.TopK), new() { TopK = -1 }),
            (nameof(ChatOptions.MaxOutputTokens), new() { MaxOutputTokens = 0 }),
            (nameof(ChatOptions.FrequencyPenalty), new() { FrequencyPenalty = float.PositiveInfinity }),
        ];
        foreach ((string name, ChatOptions options) in cases)
        {
            ArgumentOutOfRangeException error = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() =>
                client.GetResponseAsync(User(Question), options)
            );
            Assert.Contains(name, error.Message, StringComparison.Ordinal);
        }
        await AssertWorks(client);
    }

    [Fact]
    public async Task A_disposed_client_says_so()
    {
        IChatClient client = CreateClient();
        await client.GetResponseAsync(User("Hi"), Short(1));
        client.Dispose();
        client.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.GetResponseAsync(User(Question)));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () =>
            await Collect(client.GetStreamingResponseAsync(User(Question)))
        );
        // one on which nothing ever ran
        CreateClient().Dispose();
    }

    private static async Task AssertWorks(IChatClient client) =>
        Assert.Equal(2, (await client.GetResponseAsync(User("Say hello."), Short(2))).Usage!.OutputTokenCount);

    private static ChatMessage[] User(string text) => [new(ChatRole.User, text)];

    private static ChatOptions Short(int max = 12) => new() { MaxOutputTokens = max };

    private static async Task<List<ChatResponseUpdate>> Collect(IAsyncEnumerable<ChatResponseUpdate> updates)
    {
        List<ChatResponseUpdate> all = [];
        await foreach (ChatResponseUpdate update in updates)
        {
            all.Add(update);
        }
        return all;
    }
}

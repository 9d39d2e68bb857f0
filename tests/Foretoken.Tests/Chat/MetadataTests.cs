using Foretoken.Errors;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>What a client says of itself and its prompts without a request.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class MetadataTests(TinyChatModel test)
{
    [Fact]
    public void The_id_of_a_split_model_is_its_name_and_not_that_of_a_shard()
    {
        string path = TestModel.FindPath();
        Assert.Contains("-00001-of-", path, StringComparison.Ordinal);
        using ForetokenChatClient client = new(new ForetokenChatClientOptions { ModelPath = path });
        ChatClientMetadata metadata = client.GetService<ChatClientMetadata>()!;
        Assert.Equal("SmolLM2-135M-Instruct.Q4_1", metadata.DefaultModelId);
        Assert.Equal("127.0.0.1", metadata.ProviderUri!.Host);
        Assert.Equal("foretoken", metadata.ProviderName);
    }

    [Fact]
    public async Task The_id_can_be_given_and_is_that_of_responses()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ModelId = "house-model");
        Assert.Equal("house-model", client.GetService<ChatClientMetadata>()!.DefaultModelId);
        Assert.Equal(
            "house-model",
            (await client.GetResponseAsync("Hello", new ChatOptions { MaxOutputTokens = 1 })).ModelId
        );
        Assert.Throws<ArgumentException>(() => new ForetokenChatClientOptions { ModelId = "" });
    }

    [Fact]
    public async Task Prompts_are_counted_without_a_request()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = ToolTemplate.Text);
        Assert.Null(client.GetService<PromptCounter>());
        await client.LoadAsync();
        PromptCounter counter = client.GetService<PromptCounter>()!;
        Assert.Equal(2048, counter.ContextSize);
        Assert.Equal(test.Model.Tokenize("Hello there").Length, counter.CountTokens("Hello there"));

        ChatMessage[] messages = [new(ChatRole.System, "Be brief."), new(ChatRole.User, "Hello there")];
        foreach (
            ChatOptions options in (ChatOptions[])
                [
                    new(),
                    new() { Instructions = "Be kind." },
                    new() { Tools = [AIFunctionFactory.Create(() => "noon", "get_time")] },
                ]
        )
        {
            options.MaxOutputTokens = 1;
            int counted = counter.CountTokens(messages, options);
            ChatResponse response = await client.GetResponseAsync(messages, options);
            Assert.Equal(response.Usage!.InputTokenCount, counted);
        }
        client.Dispose();
        Assert.Throws<ObjectDisposedException>(() => counter.CountTokens("x"));
        Assert.Throws<ObjectDisposedException>(() => counter.CountTokens(messages));
    }

    [Fact]
    public async Task A_reducer_keeps_a_conversation_within_the_context()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ContextSize = 512);
        ForetokenChatReducer reducer = new(client.AsBuilder().UseFunctionInvocation().Build(), reservedTokens: 32);
        List<ChatMessage> history = [new(ChatRole.System, "Be brief.")];
        for (int turn = 0; turn < 12; turn++)
        {
            history.Add(new(ChatRole.User, $"Question {turn}: {Documents.Filler(turn, 10)}"));
            if (turn < 11)
            {
                history.Add(new(ChatRole.Assistant, [new FunctionCallContent($"{turn}", "look")]));
                history.Add(new(ChatRole.Tool, [new FunctionResultContent($"{turn}", "seen")]));
                history.Add(new(ChatRole.Assistant, $"Answer {turn}."));
            }
        }
        PromptCounter? counter = client.GetService<PromptCounter>();
        Assert.Null(counter);
        ChatMessage[] kept = [.. await reducer.ReduceAsync(history)];
        counter = client.GetService<PromptCounter>()!;
        Assert.True(counter.CountTokens(history) > 512 - 32);
        Assert.InRange(counter.CountTokens(kept), 1, 512 - 128);
        Assert.Same(history[0], kept[0]);
        Assert.Same(history[^1], kept[^1]);
        // whole turns: behind the system message stands a question, and all that came after it
        Assert.Equal(ChatRole.User, kept[1].Role);
        Assert.Equal(history[^(kept.Length - 1)..], kept[1..]);

        // a conversation that fits stays as it is
        Assert.Equal(kept, await reducer.ReduceAsync(kept));
        await Assert.ThrowsAsync<ContextFullException>(() =>
            reducer.ReduceAsync([new(ChatRole.User, Documents.Filler(1, 600))])
        );
        using IChatClient other = new NoClient();
        Assert.Throws<ArgumentException>(() => new ForetokenChatReducer(other, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ForetokenChatReducer(client, 0));
    }

    [Fact]
    public async Task Reasoning_is_counted_and_can_be_left_out_of_the_response()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = Templates.Reasoning);
        ChatOptions options = new() { MaxOutputTokens = 8 };
        ChatResponse response = await client.GetResponseAsync("Why?", options);
        Assert.NotEqual("", string.Concat(response.Messages[0].Contents.OfType<TextReasoningContent>()));
        Assert.InRange(response.Usage!.ReasoningTokenCount!.Value, 1, 8);

        options.Reasoning = new() { Output = ReasoningOutput.None };
        ChatResponse silent = await client.GetResponseAsync("Why?", options);
        Assert.DoesNotContain(silent.Messages[0].Contents, content => content is TextReasoningContent);
        Assert.Equal(response.Usage.ReasoningTokenCount, silent.Usage!.ReasoningTokenCount);

        using ForetokenChatClient plain = test.CreateClient(options => options.ChatTemplate = Templates.Plain);
        Assert.Equal(
            0,
            (await plain.GetResponseAsync("Why?", new() { MaxOutputTokens = 2 })).Usage!.ReasoningTokenCount
        );
    }

    private sealed class NoClient : IChatClient
    {
        public void Dispose() { }

        public Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        ) => throw new NotSupportedException();

        public object? GetService(Type serviceType, object? serviceKey = null) => null;

        public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        ) => throw new NotSupportedException();
    }
}

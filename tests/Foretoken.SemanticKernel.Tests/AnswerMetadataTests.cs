using System.Text.Json;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Microsoft.SemanticKernel;
using Microsoft.SemanticKernel.ChatCompletion;
using TextContent = Microsoft.Extensions.AI.TextContent;

namespace Foretoken.SemanticKernel.Tests;

/// <summary>What answers say of themselves, under the names that Semantic Kernel's own connectors use.</summary>
public sealed class AnswerMetadataTests
{
    [Fact]
    public async Task An_answer_has_finish_reason_id_time_and_model_in_its_metadata_and_the_response_as_inner_content()
    {
        using ScriptedChatClient client = new(new TextContent("Hello."));
        ChatMessageContent answer = await Service(client).GetChatMessageContentAsync("Hi");

        AssertDescribed(answer.Metadata!, "stop");
        Assert.True(answer.Metadata!.ContainsKey("Usage"));
        Assert.Equal("scripted-model", answer.ModelId);
        ChatResponse inner = Assert.IsType<ChatResponse>(answer.InnerContent);
        Assert.Equal("Hello.", inner.Text);
        Assert.Null(answer.GetPrefillReport());
    }

    [Fact]
    public async Task A_streamed_answer_has_them_too()
    {
        using ScriptedChatClient client = new(new TextContent("Hello."));
        StreamingChatMessageContent[] contents =
        [
            .. await Service(client).GetStreamingChatMessageContentsAsync("Hi").ToListAsync(),
        ];

        AssertDescribed(contents[^1].Metadata!, "stop");
        Assert.All(contents, content => Assert.IsType<ChatResponseUpdate>(content.InnerContent));
        Assert.Null(contents[^1].GetPrefillReport());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_result_of_a_prompt_has_them_whichever_way_the_client_was_registered(bool completion)
    {
        using ScriptedChatClient client = new(new TextContent("Hello."), new TextContent("Hello."));
        IKernelBuilder builder = Kernel.CreateBuilder();
        _ = completion ? builder.AddForetokenChatCompletion(client) : builder.AddForetokenChatClient(client);
        Kernel kernel = builder.Build();

        FunctionResult result = await kernel.InvokePromptAsync("Hi");
        AssertDescribed(result.Metadata!, "stop");
        Assert.Null(result.GetPrefillReport());
        StreamingChatMessageContent last = (
            await kernel.InvokePromptStreamingAsync<StreamingChatMessageContent>("Hi").ToListAsync()
        )[^1];
        AssertDescribed(last.Metadata!, "stop");
        Assert.NotNull(last.InnerContent);
    }

    [Fact]
    public async Task The_report_of_an_answer_is_found_and_stays_out_of_a_saved_history()
    {
        PrefillReport report = new()
        {
            TargetSpeedup = 2,
            PromisedSpeedup = 2,
            PromptTokens = 10,
            ReusedTokens = 0,
            Stages = [],
            TimeToFirstToken = TimeSpan.Zero,
            PrefillTime = TimeSpan.Zero,
            SelectTime = TimeSpan.Zero,
            KvBytes = 1,
            Reason = "a reason",
        };
        using ScriptedChatClient scripted = new(new TextContent("Hello."), new TextContent("Hello."));
        using IChatClient client = scripted
            .AsBuilder()
            .Use(
                async (messages, options, inner, cancellationToken) =>
                {
                    ChatResponse response = await inner.GetResponseAsync(messages, options, cancellationToken);
                    response.RawRepresentation = report;
                    return response;
                },
                (messages, options, inner, cancellationToken) =>
                    WithReport(inner.GetStreamingResponseAsync(messages, options, cancellationToken), report)
            )
            .Build();
        ChatHistory history = new("Be brief.");
        history.AddUserMessage("Hi");
        ChatMessageContent answer = await Service(client).GetChatMessageContentAsync(history);
        Assert.Same(report, answer.GetPrefillReport());
        history.Add(answer);

        string saved = JsonSerializer.Serialize(history);
        Assert.DoesNotContain("a reason", saved, StringComparison.Ordinal);
        Assert.InRange(saved.Length, 1, 1000);
        ChatHistory restored = JsonSerializer.Deserialize<ChatHistory>(saved)!;
        Assert.Equal("Hello.", restored[^1].Content);
        Assert.Null(restored[^1].GetPrefillReport());

        StreamingChatMessageContent last = (
            await Service(client).GetStreamingChatMessageContentsAsync("Hi").ToListAsync()
        )[^1];
        Assert.Same(report, last.GetPrefillReport());
    }

    private static IChatCompletionService Service(IChatClient client) =>
        Kernel.CreateBuilder().AddForetokenChatCompletion(client).Build().GetRequiredService<IChatCompletionService>();

    private static async IAsyncEnumerable<ChatResponseUpdate> WithReport(
        IAsyncEnumerable<ChatResponseUpdate> updates,
        PrefillReport report
    )
    {
        await foreach (ChatResponseUpdate update in updates)
        {
            update.RawRepresentation = report;
            yield return update;
        }
    }

    private static void AssertDescribed(IReadOnlyDictionary<string, object?> metadata, string finishReason)
    {
        Assert.Equal(finishReason, metadata["FinishReason"]);
        Assert.StartsWith("response-", (string)metadata["Id"]!, StringComparison.Ordinal);
        Assert.Equal(ScriptedChatClient.CreatedAt, metadata["CreatedAt"]);
        Assert.Equal("scripted-model", metadata["ModelId"]);
    }
}

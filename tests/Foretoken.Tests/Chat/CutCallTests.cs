using System.Text;
using Foretoken.Chat;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>A call is handed over when it is complete and fits, and never otherwise.</summary>
[Collection(nameof(TestModel))]
public sealed class CutCallTests(TestModel test)
{
    private const string Complete =
        "<tool_call>\n{\"name\": \"delete_files\", \"arguments\": {\"folder\": \"/tmp/old\"}}\n</tool_call>";

    private static readonly AIFunction Delete = AIFunctionFactory.Create(
        (string folder = "/") => $"{folder} is gone",
        "delete_files"
    );

    private static readonly ChatMessage Question = new(ChatRole.User, "Delete the old files in /tmp/old.");

    [Fact]
    public void A_call_cut_at_any_place_is_text_or_the_call_that_was_meant()
    {
        int handedOver = 0;
        for (int length = 0; length <= Complete.Length; length++)
        {
            (List<AIContent> contents, AnswerReader reader) = Read(Complete[..length], [Delete]);
            foreach (FunctionCallContent call in contents.OfType<FunctionCallContent>())
            {
                handedOver++;
                Assert.Null(call.Exception);
                Assert.Equal("/tmp/old", call.Arguments!["folder"]!.ToString());
                Assert.Empty(reader.RefusedCalls);
            }
            if (length > "<tool_call>\n".Length && !contents.Exists(content => content is FunctionCallContent))
            {
                Assert.NotEmpty(reader.RefusedCalls);
                Assert.NotEqual("", Text(contents));
            }
        }
        Assert.NotEqual(0, handedOver);
    }

    [Theory]
    [InlineData("""{"folder": 7}""", "folder")]
    [InlineData("""{"folder": null}""", "folder")]
    public void A_call_that_does_not_fit_is_text(string arguments, string reason)
    {
        string text = $"<tool_call>\n{{\"name\": \"delete_files\", \"arguments\": {arguments}}}\n</tool_call>";
        (List<AIContent> contents, AnswerReader reader) = Read(text, [Delete]);
        Assert.DoesNotContain(contents, content => content is FunctionCallContent);
        Assert.Contains("delete_files", Text(contents), StringComparison.Ordinal);
        if (reader.ParseError is null)
        {
            Assert.Contains(reason, Assert.Single(reader.RefusedCalls).Reason, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Of_two_calls_the_complete_one_is_handed_over_and_the_cut_one_is_text()
    {
        string text = Complete + "\n" + Complete[..^30];
        (List<AIContent> contents, AnswerReader reader) = Read(text, [Delete], parallel: true);
        Assert.Equal(
            "/tmp/old",
            Assert.Single(contents.OfType<FunctionCallContent>()).Arguments!["folder"]!.ToString()
        );
        Assert.Equal("delete_files", Assert.Single(reader.RefusedCalls).Name);
        Assert.Contains("delete_files", Text(contents), StringComparison.Ordinal);
    }

    [Fact]
    public void Two_calls_are_two_calls()
    {
        (List<AIContent> contents, AnswerReader reader) = Read(Complete + "\n" + Complete, [Delete], parallel: true);
        Assert.Equal(2, contents.OfType<FunctionCallContent>().Count());
        Assert.Empty(reader.RefusedCalls);
        Assert.Null(reader.ParseError);
    }

    [Theory]
    [InlineData(ToolChoice.Required, false)]
    [InlineData(ToolChoice.Required, true)]
    [InlineData(ToolChoice.Automatic, false)]
    public async Task The_token_limit_hands_over_whole_calls_only(ToolChoice choice, bool streams)
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = ToolTemplate.Text);
        foreach (int limit in (int[])[1, 4, 8, 12, 14, 16, 18, 20, 24])
        {
            ChatOptions options = new()
            {
                Tools = [Delete],
                ToolMode = choice == ToolChoice.Required ? ChatToolMode.RequireAny : ChatToolMode.Auto,
                MaxOutputTokens = limit,
            };
            ChatResponse response = streams
                ? await client.GetStreamingResponseAsync([Question], options).ToChatResponseAsync()
                : await client.GetResponseAsync([Question], options);
            FunctionCallContent[] calls =
            [
                .. response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>(),
            ];
            Assert.All(calls, call => Assert.Null(call.Exception));
            Assert.All(calls, call => Assert.NotNull(call.Arguments));
            if (response.Usage!.OutputTokenCount == limit && calls.Length == 0)
            {
                Assert.Equal(ChatFinishReason.Length, response.FinishReason);
                Assert.True(choice == ToolChoice.Automatic || limit == 1 || response.Text.Length > 0);
            }
        }
    }

    [Fact]
    public async Task A_stop_sequence_inside_a_call_leaves_text_and_the_reason_Stop()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = ToolTemplate.Text);
        ChatResponse response = await client.GetResponseAsync(
            [Question],
            new()
            {
                Tools = [Delete],
                ToolMode = ChatToolMode.RequireAny,
                StopSequences = ["arguments"],
                MaxOutputTokens = 100,
            }
        );
        Assert.DoesNotContain(
            response.Messages.SelectMany(message => message.Contents),
            content => content is FunctionCallContent
        );
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        Assert.Contains("delete_files", response.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_response_format_beside_tools_in_the_template_s_own_format_is_refused()
    {
        using ForetokenChatClient client = test.CreateClient(options =>
        {
            options.ChatTemplate = ToolTemplate.Text;
            // which changes nothing for such a template
            options.UseGenericTools = true;
        });
        NotSupportedException error = await Assert.ThrowsAsync<NotSupportedException>(() =>
            client.GetResponseAsync([Question], new() { Tools = [Delete], ResponseFormat = ChatResponseFormat.Json })
        );
        Assert.Contains("tools", error.Message, StringComparison.Ordinal);
    }

    /// <summary>How the tools are chosen.</summary>
    public enum ToolChoice
    {
        /// <summary>By the model.</summary>
        Automatic,

        /// <summary>One at least.</summary>
        Required,
    }

    private static string Text(List<AIContent> contents) =>
        string.Concat(contents.OfType<TextContent>().Select(content => content.Text));

    private (List<AIContent> Contents, AnswerReader Reader) Read(string text, AIFunction[] tools, bool parallel = false)
    {
        ChatRequest request = ChatRequest.Create(
            [Question],
            new() { Tools = [.. tools], AllowMultipleToolCalls = parallel },
            new(),
            NullLogger.Instance
        );
        using ChatTemplate template = new(test.Model, ToolTemplate.Text);
        using ChatPrompt prompt = template.Render(request.RenderJson);
        AnswerReader reader = new(test.Model, prompt, request);
        List<AIContent> contents = [];
        foreach (Rune c in text.EnumerateRunes())
        {
            contents.AddRange(reader.Append(c.ToString()));
        }
        contents.AddRange(reader.Finish());
        return (contents, reader);
    }
}

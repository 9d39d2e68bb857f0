using System.Text.Json;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>Answers that end inside of a character, and conversations with odd texts, on a real model.</summary>
[Collection(nameof(TestModel))]
public sealed class CutTextTests(TestModel test)
{
    // several tokens a character, and the model has to say exactly this
    private static readonly ChatResponseFormat Forced = ChatResponseFormat.ForJsonSchema(
        JsonDocument.Parse("""{"const": "😀🤖漢字😀"}""").RootElement
    );

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_never_ends_with_half_of_a_character(bool hasStops)
    {
        using ForetokenChatClient client = test.CreateClient();
        string whole = await Answer(client, 64, hasStops);
        Assert.Equal("\"😀🤖漢字😀\"", whole);
        HashSet<string> cut = [];
        for (int tokens = 1; tokens <= 16; tokens++)
        {
            string answer = await Answer(client, tokens, hasStops);
            Assert.DoesNotContain('\uFFFD', answer);
            Assert.StartsWith(answer, whole, StringComparison.Ordinal);
            cut.Add(answer);

            ChatResponse once = await client.GetResponseAsync("Say it.", Options(tokens, hasStops));
            Assert.Equal(answer, once.Text);
        }
        Assert.True(cut.Count < 16, "every token was a whole character, so that nothing was cut");
    }

    [Fact]
    public async Task Odd_texts_are_answered()
    {
        using ForetokenChatClient client = test.CreateClient();
        // not as data of a theory, which would be turned into UTF-8
        foreach (
            string text in (string[])
                [
                    "a\uD83Db",
                    "\0",
                    "a\0b\u0001\u001B[31m",
                    "\uFEFFHello",
                    "line\r\nline\rline\u2028line",
                    "\uFFFF\uFFFE",
                ]
        )
        {
            ChatMessage[] messages = [new(ChatRole.System, text), new(ChatRole.User, text)];
            ChatResponse response = await client.GetResponseAsync(messages, new() { MaxOutputTokens = 2 });
            Assert.Equal(2, response.Usage!.OutputTokenCount);
        }
    }

    [Fact]
    public async Task A_failed_answer_in_the_history_leaves_the_conversation_going()
    {
        using ForetokenChatClient client = test.CreateClient();
        ChatResponse response = await client.GetResponseAsync(
            [
                new(ChatRole.User, [new DataContent(new byte[4], "image/png"), new TextContent("What is this?")]),
                new(ChatRole.Assistant, [new ErrorContent("it failed")]),
                new(ChatRole.User, "Say hello."),
            ],
            new() { MaxOutputTokens = 2 }
        );
        Assert.Equal(2, response.Usage!.OutputTokenCount);
    }

    private static async Task<string> Answer(ForetokenChatClient client, int tokens, bool hasStops) =>
        string.Concat(
            await client
                .GetStreamingResponseAsync("Say it.", Options(tokens, hasStops))
                .Select(u => u.Text)
                .ToListAsync()
        );

    private static ChatOptions Options(int tokens, bool hasStops) =>
        new()
        {
            ResponseFormat = Forced,
            MaxOutputTokens = tokens,
            // held back while they may begin, and they never come
            StopSequences = hasStops ? ["😀🤖漢語", "字😀x"] : null,
        };
}

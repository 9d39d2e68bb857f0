using Foretoken.Cli.Chat;
using Foretoken.Errors;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Cli.Tests.Chat;

public sealed class ConversationTests
{
    private static readonly ChatArguments Arguments = new()
    {
        Speed = 2,
        System = "Be brief.",
        MaxTokens = 7,
    };

    [Fact]
    public async Task The_whole_history_goes_with_each_question()
    {
        ScriptedChatClient client = new ScriptedChatClient().Says(null, "Par", "is.").Says(null, "Rome.");
        Conversation conversation = new(client, Arguments);

        await Ask(conversation, "France?");
        await Ask(conversation, "Italy?");

        Assert.Equal(
            ["system: Be brief.", "user: France?", "assistant: Paris.", "user: Italy?"],
            client.Requests[1].Select(m => $"{m.Role}: {m.Text}")
        );
    }

    [Fact]
    public async Task The_request_carries_speed_length_and_sampling()
    {
        ScriptedChatClient client = new ScriptedChatClient().Says(null, "a").Says(null, "b");
        Conversation conversation = new(client, Arguments with { Temperature = 0.5f, Seed = 9 });

        await Ask(conversation, "1");
        conversation.Speed = 2.9;
        await Ask(conversation, "2");

        Assert.Equal(2.0, client.Options[0].AdditionalProperties!["target_ttft_speedup"]);
        Assert.Equal(2.9, client.Options[1].AdditionalProperties!["target_ttft_speedup"]);
        Assert.Equal(
            (7, 0.5f, 9L),
            (client.Options[0].MaxOutputTokens, client.Options[0].Temperature, client.Options[0].Seed)
        );
    }

    [Fact]
    public async Task Documents_go_with_one_question()
    {
        ScriptedChatClient client = new ScriptedChatClient().Says(null, "a").Says(null, "b");
        Conversation conversation = new(client, Arguments);
        conversation.Attach(new Attachment("a.txt", "Alpha."));

        await Ask(conversation, "1");
        await Ask(conversation, "2");

        Assert.Equal(
            "Here is the document a.txt:\n\nAlpha.\n\nAnswer this question about the document: 1",
            client.Requests[0][^1].Text
        );
        Assert.Equal("2", client.Requests[1][^1].Text);
    }

    [Fact]
    public async Task A_failed_question_leaves_the_conversation_as_it_was()
    {
        ScriptedChatClient client = new ScriptedChatClient().Fails(new ContextFullException(9, 4)).Says(null, "a");
        Conversation conversation = new(client, Arguments);
        conversation.Attach(new Attachment("a.txt", "Alpha."));

        await Assert.ThrowsAsync<ContextFullException>(() => Ask(conversation, "1"));

        Assert.Equal(["Be brief."], conversation.Messages.Select(m => m.Text));
        Assert.Single(conversation.Documents);
        Assert.Equal("a", (await Ask(conversation, "2")).Text);
    }

    [Fact]
    public async Task A_cancelled_answer_stays_as_far_as_it_came()
    {
        using CancellationTokenSource source = new();
        ScriptedChatClient client = new ScriptedChatClient().Hangs("Once upon", source.Cancel);
        Conversation conversation = new(client, Arguments);

        Answer answer = await conversation.AskAsync("Tell.", null, (_, _) => ValueTask.CompletedTask, source.Token);

        Assert.True(answer.WasCancelled);
        Assert.Equal("Once upon", answer.Text);
        Assert.Equal(["Be brief.", "Tell.", "Once upon"], conversation.Messages.Select(m => m.Text));
    }

    [Fact]
    public async Task Cancelled_before_the_first_word_nothing_was_asked()
    {
        using CancellationTokenSource source = new();
        ScriptedChatClient client = new ScriptedChatClient().Hangs("", source.Cancel);
        Conversation conversation = new(client, Arguments);
        conversation.Attach(new Attachment("a.txt", "Alpha."));

        await conversation.AskAsync("Tell.", null, (_, _) => ValueTask.CompletedTask, source.Token);

        Assert.Equal(["Be brief."], conversation.Messages.Select(m => m.Text));
        Assert.Single(conversation.Documents);
        Assert.Null(conversation.Last);
    }

    [Fact]
    public async Task The_report_and_the_counts_come_with_the_answer()
    {
        Conversation conversation = new(new ScriptedChatClient().Says(Reports.Thinned, "a", "b", "c"), Arguments);

        Answer answer = await Ask(conversation, "1");

        Assert.Same(Reports.Thinned, answer.Report);
        Assert.Equal(3, answer.OutputTokens);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        Assert.Same(answer, conversation.Last);
    }

    [Fact]
    public async Task Reset_forgets_all_but_the_system_prompt()
    {
        Conversation conversation = new(new ScriptedChatClient().Says(null, "a"), Arguments);
        await Ask(conversation, "1");

        conversation.Reset();

        Assert.Equal(["Be brief."], conversation.Messages.Select(m => m.Text));
        Assert.Null(conversation.Last);
    }

    [Theory]
    [InlineData("plain text, ümläut, 漢字\tand\nlines", "plain text, ümläut, 漢字\tand\nlines")]
    [InlineData("\x1b[31mred\x07\r", "[31mred")]
    [InlineData("c1 \u009b control", "c1  control")]
    public void A_model_cannot_control_the_terminal(string said, string shown) =>
        Assert.Equal(shown, Conversation.Printable(said));

    private static Task<Answer> Ask(Conversation conversation, string question) =>
        conversation.AskAsync(question, null, (_, _) => ValueTask.CompletedTask, CancellationToken.None);
}

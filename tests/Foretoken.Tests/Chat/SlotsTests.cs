using Foretoken.Errors;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>A client with several slots.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class SlotsTests(TinyChatModel test)
{
    [Fact]
    public void There_is_at_least_one_slot()
    {
        Assert.Equal(1, new ForetokenChatClientOptions().Slots);
        Assert.Throws<ArgumentOutOfRangeException>(() => new ForetokenChatClientOptions { Slots = 0 });
    }

    [Fact]
    public async Task Requests_of_different_slots_run_at_the_same_time()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.Slots = 2);
        using ManualResetEventSlim release = new();
        Task<ChatResponse> held = client.GetResponseAsync("first", Held(release));
        // would never end if it had to wait for the first one
        ChatResponse second = await client.GetResponseAsync("second");
        Assert.False(held.IsCompleted);
        release.Set();
        await held;
        Assert.Equal(2, client.IdleSlots);

        using ForetokenChatClient quiet = test.CreateClient();
        Assert.Equal((await quiet.GetResponseAsync("second")).Text, second.Text);
        Assert.Equal((await quiet.GetResponseAsync("first")).Text, (await held).Text);
    }

    [Fact]
    public async Task Conversations_keep_to_their_slots()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.Slots = 2);
        List<ChatMessage>[] conversations =
        [
            [new(ChatRole.User, Documents.Filler(1, 30))],
            [new(ChatRole.User, Documents.Filler(2, 30))],
        ];
        for (int turn = 0; turn < 4; turn++)
        {
            foreach (List<ChatMessage> conversation in conversations)
            {
                ChatResponse response = await client.GetResponseAsync(conversation);
                // of what was sent before, only the answer may be computed again: its bytes need not be the same text
                int sentBefore = turn == 0 ? 0 : (int)conversation[^1].AdditionalProperties!["before"]!;
                Assert.True(response.Usage!.CachedInputTokenCount >= sentBefore - 1);
                conversation.AddMessages(response);
                conversation.Add(
                    new ChatMessage(ChatRole.User, $"And then, {turn}?")
                    {
                        AdditionalProperties = new() { ["before"] = (int)response.Usage.InputTokenCount! },
                    }
                );
            }
        }
    }

    [Fact]
    public async Task New_conversation_takes_the_empty_slot_and_then_the_least_recently_used_one()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.Slots = 2);
        string first = Documents.Filler(1, 40);
        string second = Documents.Filler(2, 40);
        ChatOptions one = new() { MaxOutputTokens = 1 };
        await client.GetResponseAsync(first, one);
        await client.GetResponseAsync(second, one);
        Assert.True(await Reused(first) > 100);
        // the second one is now the least recently used
        await client.GetResponseAsync(Documents.Filler(3, 40), one);
        Assert.True(await Reused(first) > 100);
        Assert.True(await Reused(second) < 100);

        async Task<int> Reused(string text) =>
            (await client.GetResponseAsync(text, one)).GetPrefillReport()!.ReusedTokens;
    }

    [Fact]
    public async Task Prefix_is_reused_whichever_conversation_it_came_from()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.Slots = 3);
        ChatMessage system = new(ChatRole.System, Documents.Filler(4, 60));
        await client.GetResponseAsync([new(ChatRole.User, Documents.Filler(5, 30))]);
        ChatResponse before = await client.GetResponseAsync([system, new(ChatRole.User, "What is it about?")]);
        ChatMessage[] other = [system, new(ChatRole.User, "Who is in it?")];
        ChatResponse after = await client.GetResponseAsync(other);
        Assert.True(after.Usage!.CachedInputTokenCount > before.Usage!.InputTokenCount * 3 / 4);

        using ForetokenChatClient fresh = test.CreateClient();
        ChatResponse computed = await fresh.GetResponseAsync(other);
        Assert.Equal(0, computed.Usage!.CachedInputTokenCount);
        Assert.Equal(computed.Text, after.Text);
    }

    [Fact]
    public async Task Prefix_that_was_thinned_for_another_question_is_not_reused()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.Slots = 2);
        string document = Documents.Filler(6, 80);
        ChatOptions thin = new ChatOptions { MaxOutputTokens = 4 }.WithTargetTtftSpeedup(2);
        ChatResponse first = await client.GetResponseAsync(document + "Who?", thin);
        PrefillReport report = first.GetPrefillReport()!;
        Assert.True(report.Stages[^1].Tokens < report.NewTokens, report.ToJson());

        ChatResponse other = await client.GetResponseAsync(document + "Where?", thin);
        Assert.True(other.GetPrefillReport()!.ReusedTokens < 20);
        ChatResponse plain = await client.GetResponseAsync(document + "Who?");
        Assert.Equal(report.PromptTokens, plain.GetPrefillReport()!.NewTokens);

        // a later turn contains the whole prompt that the tokens were chosen for
        ChatResponse later = await client.GetResponseAsync(
            [new(ChatRole.User, document + "Where?"), .. other.Messages, new(ChatRole.User, "Really?")],
            thin
        );
        Assert.True(later.GetPrefillReport()!.ReusedTokens >= other.Usage!.InputTokenCount - 1);
    }

    [Fact]
    public async Task Requests_are_served_in_the_order_they_came()
    {
        using ForetokenChatClient client = test.CreateClient();
        using ManualResetEventSlim release = new();
        Task<ChatResponse> held = client.GetResponseAsync("held", Held(release));
        List<int> order = [];
        List<Task> waiting = [];
        for (int i = 0; i < 6; i++)
        {
            int number = i;
            // the prompt is one chunk, so there is one report
            ChatOptions options = new ChatOptions { MaxOutputTokens = 1 }.WithPrefillProgress(
                new Reporter(_ => order.Add(number))
            );
            waiting.Add(client.GetResponseAsync($"{i}", options));
        }
        release.Set();
        await held;
        await Task.WhenAll(waiting);
        Assert.Equal([0, 1, 2, 3, 4, 5], order);
    }

    [Fact]
    public async Task Requests_that_cannot_succeed_fail_without_waiting_for_a_slot()
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ContextSize = 256);
        using ManualResetEventSlim release = new();
        Task<ChatResponse> held = client.GetResponseAsync("x", Held(release));
        await Assert.ThrowsAsync<ContextFullException>(() => client.GetResponseAsync(Documents.Filler(1, 300)));
        Assert.False(held.IsCompleted);
        release.Set();
        await held;
    }

    [Fact]
    public async Task Disposing_ends_the_requests_of_all_slots_and_the_waiting_ones()
    {
        ForetokenChatClient client = test.CreateClient(options =>
        {
            options.Slots = 2;
            options.ContextSize = 8192;
            options.MaxOutputTokens = 8000;
        });
        await client.LoadAsync();
        using CountdownEvent started = new(2);
        ChatOptions endless = new ChatOptions { StopSequences = ["never to be seen"] }.WithPrefillProgress(
            new Reporter(_ => started.Signal())
        );
        Task<ChatResponse>[] running = [.. Enumerable.Range(0, 2).Select(_ => client.GetResponseAsync("x", endless))];
        await Task.Run(started.Wait);
        Task<ChatResponse>[] waiting = [.. Enumerable.Range(0, 3).Select(_ => client.GetResponseAsync("y"))];
        await client.DisposeAsync();
        foreach (Task<ChatResponse> request in (Task<ChatResponse>[])[.. running, .. waiting])
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => request);
        }
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.LoadAsync());
    }

    [Fact]
    public async Task Session_is_offered_where_there_is_one_only()
    {
        using ForetokenChatClient one = test.CreateClient();
        Assert.Null(one.GetService<ForetokenSession>());
        ChatResponse response = await one.GetResponseAsync("x");
        Assert.True(one.GetService<ForetokenSession>()!.TokenCount >= response.Usage!.InputTokenCount);

        using ForetokenChatClient two = test.CreateClient(options => options.Slots = 2);
        await two.LoadAsync();
        Assert.Null(two.GetService<ForetokenSession>());
    }

    /// <summary>A request that stands still in its slot until it is released.</summary>
    private static ChatOptions Held(ManualResetEventSlim release) =>
        new ChatOptions().WithPrefillProgress(new Reporter(_ => release.Wait()));

    private sealed class Reporter(Action<PrefillProgress> report) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => report(value);
    }
}

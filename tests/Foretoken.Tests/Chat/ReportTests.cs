using System.Text.Json;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Agents.AI;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Options;

namespace Foretoken.Tests.Chat;

/// <summary>The prefill report travels as raw representation: with an answer, and not with what is saved of it.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class ReportTests(TinyChatModel test)
{
    private static readonly ChatOptions Few = new() { MaxOutputTokens = 3 };

    [Fact]
    public async Task The_report_is_the_raw_representation_of_a_response_its_message_and_the_last_update()
    {
        using ForetokenChatClient client = test.CreateClient();
        ChatResponse response = await client.GetResponseAsync("Hello", Few);
        PrefillReport report = Assert.IsType<PrefillReport>(response.RawRepresentation);
        Assert.Same(report, response.GetPrefillReport());
        Assert.Same(report, response.Messages[^1].GetPrefillReport());
        Assert.Null(response.AdditionalProperties);
        Assert.All(response.Messages, message => Assert.Null(message.AdditionalProperties));

        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync("Hello", Few).ToListAsync();
        Assert.IsType<PrefillReport>(updates[^1].RawRepresentation);
        Assert.All(updates, update => Assert.Null(update.AdditionalProperties));
        Assert.All(updates[..^1], update => Assert.Null(update.GetPrefillReport()));
    }

    [Fact]
    public async Task Updates_that_are_put_together_still_have_it()
    {
        using ForetokenChatClient client = test.CreateClient();
        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync("Hello", Few).ToListAsync();
        ChatResponse response = updates.ToChatResponse();
        Assert.NotNull(response.GetPrefillReport());
        Assert.Same(updates[^1].GetPrefillReport(), response.GetPrefillReport());
        Assert.Same(updates[^1].GetPrefillReport(), response.Messages[0].GetPrefillReport());
        // an answer is one text and nothing else
        Assert.IsType<TextContent>(Assert.Single(response.Messages[0].Contents));
    }

    [Fact]
    public async Task Saved_answers_are_short_and_what_comes_back_has_the_counts()
    {
        using ForetokenChatClient client = test.CreateClient();
        ChatResponse response = await client.GetResponseAsync(
            Documents.Filler(8, 80),
            new ChatOptions { MaxOutputTokens = 3 }.WithTargetTtftSpeedup(2)
        );
        string json = JsonSerializer.Serialize(response.Messages, AIJsonUtilities.DefaultOptions);
        Assert.InRange(json.Length, 1, 400 + (6 * response.Text.Length));
        Assert.DoesNotContain("speedup", json, StringComparison.OrdinalIgnoreCase);

        ChatResponse back = JsonSerializer.Deserialize<ChatResponse>(
            JsonSerializer.Serialize(response, AIJsonUtilities.DefaultOptions),
            AIJsonUtilities.DefaultOptions
        )!;
        Assert.Equal(response.Text, back.Text);
        Assert.Null(back.GetPrefillReport());
        PrefillReport report = response.GetPrefillReport()!;
        Assert.True(report.KeptTokens < report.NewTokens);
        Assert.Equal(report.KeptTokens, back.Usage!.AdditionalCounts!["foretoken.kept_tokens"]);
        Assert.Equal(report.NewTokens, back.Usage.AdditionalCounts["foretoken.computed_tokens"]);
    }

    [Fact]
    public async Task A_distributed_cache_keeps_the_answer_whatever_was_asked_for()
    {
        using ForetokenChatClient client = test.CreateClient();
        RecordingCache cache = new();
        using DistributedCachingChatClient cached = new(client, cache);
        ChatOptions options = new ChatOptions { MaxOutputTokens = 3 }
            .WithTargetTtftSpeedup(1.5)
            .WithTargetDecodeSpeedup(1)
            .WithThresholds()
            .WithImportance("recent-window")
            .WithLoraAdapters()
            .WithPrefillProgress(new Progress<PrefillProgress>());
        ChatResponse first = await cached.GetResponseAsync("Hello", options);
        ChatResponse again = await cached.GetResponseAsync("Hello", options);
        Assert.NotNull(first.GetPrefillReport());
        Assert.Null(again.GetPrefillReport());
        Assert.Equal(first.Text, again.Text);
        Assert.Equal(first.Usage!.AdditionalCounts, again.Usage!.AdditionalCounts);
        Assert.InRange(cache.LargestValue, 1, 1000 + (6 * first.Text.Length));

        List<ChatResponseUpdate> streamed = await cached.GetStreamingResponseAsync("Hi", options).ToListAsync();
        List<ChatResponseUpdate> repeated = await cached.GetStreamingResponseAsync("Hi", options).ToListAsync();
        Assert.NotNull(streamed.ToChatResponse().GetPrefillReport());
        Assert.Null(repeated.ToChatResponse().GetPrefillReport());
        Assert.Equal(streamed.ToChatResponse().Text, repeated.ToChatResponse().Text);
    }

    [Fact]
    public void Every_option_can_be_part_of_the_key_of_a_cache_without_reflection()
    {
        ChatOptions options = new ChatOptions()
            .WithTargetTtftSpeedup(1.5)
            .WithTargetDecodeSpeedup(1.1)
            .WithMaxQualityLoss(0.1)
            .WithThresholds()
            .WithImportance("recent-window")
            .WithLoraAdapters(new Dictionary<string, float> { ["tone"] = 0.5f })
            .WithPrefillProgress(new Progress<PrefillProgress>());
        foreach (object? value in options.AdditionalProperties!.Values)
        {
            Type type = value!.GetType();
            Assert.True(type.IsPrimitive || type == typeof(string) || type == typeof(JsonElement), type.FullName);
        }
        Assert.DoesNotContain(
            "progress",
            JsonSerializer.Serialize(options, AIJsonUtilities.DefaultOptions),
            StringComparison.OrdinalIgnoreCase
        );
    }

    [Fact]
    public async Task Progress_and_the_raw_representation_of_a_request_go_together()
    {
        using ForetokenChatClient client = test.CreateClient();
        int reports = 0;
        ChatOptions options = new ChatOptions
        {
            MaxOutputTokens = 1,
            RawRepresentationFactory = _ => new SamplerOptions { Grammar = "root ::= [0-9]" },
        }.WithPrefillProgress(new Reporter(() => reports++));
        // the sampler's options came through: a grammar is refused there
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetResponseAsync("Hello", options));
        options.RawRepresentationFactory = null;
        await client.GetResponseAsync("Hello", options.WithPrefillProgress(new Reporter(() => reports++)));
        Assert.True(reports > 0);
    }

    [Fact]
    public async Task A_session_of_an_agent_is_short_and_goes_on_after_it_was_saved()
    {
        using ForetokenChatClient client = test.CreateClient();
        ChatClientAgent agent = client.AsAIAgent(instructions: "Be brief.", name: "tiny");
        AgentSession session = await agent.CreateSessionAsync();
        AgentResponse response = await agent.RunAsync("Hello", session, new ChatClientAgentRunOptions(Few));
        Assert.NotNull(ForetokenChatOptionsExtensions.FindPrefillReport(response.RawRepresentation));

        string saved = (await agent.SerializeSessionAsync(session)).GetRawText();
        Assert.InRange(saved.Length, 1, 800 + (6 * response.Text.Length));
        Assert.DoesNotContain("speedup", saved, StringComparison.OrdinalIgnoreCase);
        AgentSession restored = await agent.DeserializeSessionAsync(JsonElement.Parse(saved));
        AgentResponse next = await agent.RunAsync("And?", restored, new ChatClientAgentRunOptions(Few));
        PrefillReport report = ForetokenChatOptionsExtensions.FindPrefillReport(next.RawRepresentation)!;
        // the first turn was in the restored session, and in the KV cache
        Assert.True(report.ReusedTokens > response.Usage!.InputTokenCount / 2);
    }

    private sealed class Reporter(Action report) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => report();
    }

    private sealed class RecordingCache : IDistributedCache
    {
        private readonly MemoryDistributedCache _cache = new(Options.Create(new MemoryDistributedCacheOptions()));

        public int LargestValue { get; private set; }

        public byte[]? Get(string key) => _cache.Get(key);

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default) => _cache.GetAsync(key, token);

        public void Refresh(string key) => _cache.Refresh(key);

        public Task RefreshAsync(string key, CancellationToken token = default) => _cache.RefreshAsync(key, token);

        public void Remove(string key) => _cache.Remove(key);

        public Task RemoveAsync(string key, CancellationToken token = default) => _cache.RemoveAsync(key, token);

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options)
        {
            LargestValue = Math.Max(LargestValue, value.Length);
            _cache.Set(key, value, options);
        }

        public Task SetAsync(
            string key,
            byte[] value,
            DistributedCacheEntryOptions options,
            CancellationToken token = default
        )
        {
            LargestValue = Math.Max(LargestValue, value.Length);
            return _cache.SetAsync(key, value, options, token);
        }
    }
}

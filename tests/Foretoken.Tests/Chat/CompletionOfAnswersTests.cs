using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Tests.Chat;

/// <summary>A chat that completes thinned prompts behind the first words of its answers.</summary>
[Collection(nameof(TestModel))]
public sealed class CompletionOfAnswersTests(TestModel test)
{
    private static readonly string Document = Documents.Filler(3, 400);

    [Fact]
    public async Task The_prompt_is_complete_before_the_answer_ends()
    {
        using ForetokenChatClient client = Create(CompletionMode.WhileAnswering);
        ChatResponse response = await AskAsync(client);
        PrefillReport report = response.GetPrefillReport()!;
        CompletionReport completion = report.Completion!;
        Assert.True(report.PromisedSpeedup > 1.5);
        Assert.Equal(CompletionGrade.Fill, completion.Grade);
        Assert.Equal(0, completion.RemainingTokens);
        Assert.InRange(completion.CompleteAtOutputToken!.Value, 2, 8);
        Assert.True(completion.Tokens >= report.NewTokens - report.KeptTokens - 40);
        Assert.Equal(completion.Tokens, response.Usage!.AdditionalCounts!["foretoken.completed_tokens"]);
        Assert.Contains("\"completion\": {", report.ToJson(), StringComparison.Ordinal);
        Assert.False(client.GetService<ForetokenSession>()!.IsThinned);
    }

    [Fact]
    public async Task The_exact_grade_goes_on_behind_the_answer_s_first_tokens_too()
    {
        using ForetokenChatClient client = Create(
            CompletionMode.WhileAnswering,
            options => options.Completion = options.Completion! with { Grade = CompletionGrade.Exact }
        );
        ChatResponse response = await AskAsync(client);
        Assert.Equal(0, response.GetPrefillReport()!.Completion!.RemainingTokens);
        Assert.True(client.GetService<ForetokenSession>()!.IsExact);
    }

    [Fact]
    public async Task A_request_may_do_without()
    {
        using ForetokenChatClient client = Create(CompletionMode.WhileAnswering);
        ChatResponse response = await AskAsync(client, options => options.WithCompletion(CompletionMode.Never));
        Assert.Null(response.GetPrefillReport()!.Completion);
        Assert.True(client.GetService<ForetokenSession>()!.IsThinned);
        Assert.Equal(0, client.GetService<ForetokenSession>()!.ResidualBytes);
    }

    [Fact]
    public async Task What_takes_too_much_memory_is_not_completed_while_answering()
    {
        using ForetokenChatClient client = Create(
            CompletionMode.WhileAnswering,
            options => options.Completion = options.Completion! with { MaxStorageBytes = 100_000 }
        );
        ChatResponse response = await AskAsync(client);
        Assert.Null(response.GetPrefillReport()!.Completion);
        Assert.Equal(0, client.GetService<ForetokenSession>()!.ResidualBytes);
    }

    [Fact]
    public async Task Output_tokens_that_shall_be_faster_are_not_made_slower()
    {
        using ForetokenChatClient client = new(
            test.Model,
            new ForetokenChatClientOptions { ContextSize = 2048, Threads = TestModel.Threads }
        );
        ChatResponse response = await AskAsync(client, options => options.WithTargetDecodeSpeedup(1.05));
        Assert.Null(response.GetPrefillReport()!.Completion);
    }

    [Fact]
    public async Task When_idle_the_conversation_becomes_exact()
    {
        List<string> log = [];
        using ForetokenChatClient client = Create(CompletionMode.Always, options => options.LoggerFactory = Log(log));
        ChatResponse first = await AskAsync(client);
        await UntilAsync(log, "was completed when idle");
        Assert.True(client.GetService<ForetokenSession>()!.IsExact);

        // the whole history is there for a request that leaves nothing out
        ChatResponse again = await client.GetResponseAsync(
            [new(ChatRole.User, Question()), .. first.Messages, new(ChatRole.User, "And in one word?")],
            new ChatOptions { MaxOutputTokens = 2 }.WithTargetTtftSpeedup(1)
        );
        Assert.True(again.Usage!.CachedInputTokenCount >= first.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task A_request_does_not_wait_for_an_idle_completion()
    {
        List<string> log = [];
        using ForetokenChatClient quiet = Create(CompletionMode.Never);
        ChatResponse expected = await quiet.GetResponseAsync("Say hello.", new ChatOptions { MaxOutputTokens = 8 });
        using ForetokenChatClient client = Create(
            CompletionMode.WhenIdle,
            options =>
            {
                options.LoggerFactory = Log(log);
                options.UBatchSize = 64;
            }
        );
        for (int i = 0; i < 3; i++)
        {
            await AskAsync(client);
            // it has a dozen chunks in front of it
            ChatResponse response = await client.GetResponseAsync(
                "Say hello.",
                new ChatOptions { MaxOutputTokens = 8 }
            );
            Assert.Equal(expected.Text, response.Text);
        }
        Assert.DoesNotContain(log, line => line.Contains("when idle failed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Disposing_ends_an_idle_completion()
    {
        List<string> log = [];
        ForetokenChatClient client = Create(CompletionMode.WhenIdle, options => options.LoggerFactory = Log(log));
        await AskAsync(client);
        await client.DisposeAsync();
        Assert.DoesNotContain(log, line => line.Contains("when idle failed", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("sometimes")]
    [InlineData(3)]
    public async Task A_mode_that_there_is_not_is_refused(object mode)
    {
        using ForetokenChatClient client = Create(CompletionMode.Never);
        ChatOptions options = new() { AdditionalProperties = new() { ["completion"] = mode } };
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() =>
            client.GetResponseAsync("Hello", options)
        );
        Assert.Contains("completion", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new ChatOptions().WithCompletion((CompletionMode)9));
    }

    private static string Question() => $"{Document}\n\nSummarise the text above in a few sentences.";

    private static Task<ChatResponse> AskAsync(ForetokenChatClient client, Action<ChatOptions>? configure = null)
    {
        ChatOptions options = new ChatOptions { MaxOutputTokens = 16 }.WithTargetTtftSpeedup(2);
        configure?.Invoke(options);
        return client.GetResponseAsync(Question(), options);
    }

    private ForetokenChatClient Create(CompletionMode mode, Action<ForetokenChatClientOptions>? configure = null)
    {
        ForetokenChatClientOptions options = new()
        {
            ContextSize = 2048,
            UBatchSize = 128,
            Threads = TestModel.Threads,
            Completion = new CompletionOptions { Mode = mode },
        };
        configure?.Invoke(options);
        return new ForetokenChatClient(test.Model, options);
    }

    private static ILoggerFactory Log(List<string> log) =>
        LoggerFactory.Create(builder => builder.SetMinimumLevel(LogLevel.Debug).AddProvider(new ListLogger(log)));

    private static async Task UntilAsync(List<string> log, string text)
    {
        // an error instead of a test that hangs
        using CancellationTokenSource never = new(TimeSpan.FromMinutes(5));
        while (true)
        {
            never.Token.ThrowIfCancellationRequested();
            lock (log)
            {
                if (log.Exists(line => line.Contains(text, StringComparison.Ordinal)))
                {
                    return;
                }
            }
            await Task.Delay(20);
        }
    }
}

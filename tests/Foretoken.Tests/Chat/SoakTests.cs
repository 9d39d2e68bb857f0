using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Xunit.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>
/// A client under a mixed load: eight requests at once on three slots, three of ten cancelled somewhere, one of ten wrong or hostile, and
/// other clients of the same model disposed in between. <c>FORETOKEN_SOAK_REQUESTS</c> sets how many requests there are.
/// </summary>
[Collection(nameof(SoakTests))]
public sealed class SoakTests(TinyChatModel test, ITestOutputHelper output)
{
    private const int AtOnce = 8;
    private const int Slots = 3;
    private const int Disposals = 16;

    // a disposed client that keeps its two KV caches costs 25 MB, which is far beyond this after a few of them
    private const long MemoryTolerance = 128 << 20;

    private static readonly int Requests = int.TryParse(
        Environment.GetEnvironmentVariable("FORETOKEN_SOAK_REQUESTS"),
        CultureInfo.InvariantCulture,
        out int requests
    )
        ? requests
        : 160;

    private readonly ConcurrentDictionary<string, int> _counts = new();
    private readonly ConcurrentBag<Thinned> _thinned = [];

    [Fact]
    public async Task Every_answer_under_load_is_that_of_a_quiet_client_and_nothing_leaks()
    {
        Work[] work = [.. Enumerable.Range(0, 12).Select(Work.Create)];
        string[] expected = await Quiet(work);
        Assert.True(expected.Distinct().Count() > work.Length / 2, "answers that are all the same would prove nothing");

        using ForetokenChatClient client = test.CreateClient(options => options.Slots = Slots);
        long before = 0;
        int quarter = Requests / 4;
        foreach ((int from, int to) in ((int, int)[])[(0, quarter), (quarter, Requests)])
        {
            await Parallel.ForEachAsync(
                Enumerable.Range(from, to - from),
                new ParallelOptions { MaxDegreeOfParallelism = AtOnce },
                async (i, _) =>
                {
                    if (i * Disposals / Requests != (i + 1) * Disposals / Requests)
                    {
                        await DisposeInTheMiddle(i);
                    }
                    await Request(client, i, work, expected);
                }
            );
            Assert.Equal(Slots, client.IdleSlots);
            // the first quarter warms up: buffers grow to what the longest prompts need
            before = from == 0 ? WorkingSet() : before;
        }
        long after = WorkingSet();

        output.WriteLine(
            $"{Requests} requests: {string.Join(", ", _counts.OrderBy(count => count.Key).Select(count => $"{count.Value} {count.Key}"))}"
        );
        output.WriteLine($"working set {before >> 20} MiB after a quarter of them, {after >> 20} MiB after all");
        Assert.True(_counts.GetValueOrDefault("cancelled") >= Requests / 10);
        Assert.True(_counts.GetValueOrDefault("completed") >= Requests / 2);
        Assert.True(_counts.GetValueOrDefault("refused") > 0);
        Assert.InRange(_counts.GetValueOrDefault("disposed"), 1, int.MaxValue);
        Assert.True(after - before < MemoryTolerance, $"the working set grew from {before} to {after} bytes");
        await AssertThinnedAnswers();
    }

    /// <summary>One request that is answered, cancelled at a random moment, or wrong.</summary>
    private async Task Request(ForetokenChatClient client, int i, Work[] work, string[] expected)
    {
        Random random = new(i);
        int kind = random.Next(10);
        if (kind == 0)
        {
            await Wrong(client, random);
            Count("refused");
            return;
        }
        if (kind == 1)
        {
            string text = $"{i}. {Documents.Filler(i, 75)}";
            ChatResponse thin = await client.GetResponseAsync(text, Thin());
            PrefillReport report = thin.GetPrefillReport()!;
            Assert.True(report.Stages[^1].Tokens < report.NewTokens, report.Reason);
            _thinned.Add(new Thinned(text, thin.Text, report));
            Count("completed");
            Count("thinned");
            return;
        }

        int chosen = random.Next(work.Length);
        using CancellationTokenSource source = new();
        int cancelAfterUpdates = int.MaxValue;
        ChatOptions options = work[chosen].CreateOptions();
        if (kind < 5)
        {
            switch (random.Next(4))
            {
                case 0:
                    // anywhere: in the queue, in the prefill, in the answer, or too late
                    source.CancelAfter(random.Next(60));
                    break;
                case 1:
                    options.WithPrefillProgress(new Reporter(_ => source.Cancel()));
                    break;
                case 2:
                    await source.CancelAsync();
                    break;
                default:
                    cancelAfterUpdates = random.Next(4);
                    break;
            }
        }
        try
        {
            List<ChatResponseUpdate> updates = [];
            await foreach (
                ChatResponseUpdate update in client.GetStreamingResponseAsync(
                    work[chosen].Messages,
                    options,
                    source.Token
                )
            )
            {
                updates.Add(update);
                if (updates.Count > cancelAfterUpdates)
                {
                    await source.CancelAsync();
                }
            }
            Assert.Equal(expected[chosen], updates.ToChatResponse().Text);
            Count("completed");
        }
        catch (OperationCanceledException e)
        {
            Assert.Equal(source.Token, e.CancellationToken);
            Assert.True(source.IsCancellationRequested);
            Count("cancelled");
        }
    }

    /// <summary>A request that is refused: mistakes, and what others may send to bring a program down.</summary>
    private async Task Wrong(ForetokenChatClient client, Random random)
    {
        ChatMessage[] hello = [new(ChatRole.User, "Hello")];
        await (
            random.Next(11) switch
            {
                0 => Fails<ContextFullException>([new(ChatRole.User, Documents.Filler(1, 600))], null),
                1 => Fails<NotSupportedException>(hello, new() { ConversationId = "x" }),
                2 => Fails<ArgumentOutOfRangeException>(hello, new() { TopP = float.NaN }),
                3 => Fails<NotSupportedException>(hello, new() { Tools = [AIFunctionFactory.Create(() => 1, "f")] }),
                4 => Fails<GrammarException>(hello, Format("""{"type": "string", "pattern": "^(?=a)b$"}""")),
                5 => Fails<GrammarException>(hello, Format("""{"type": "string", "minLength": 5, "maxLength": 2}""")),
                6 => Fails<GrammarException>(
                    hello,
                    Format("""{"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}""")
                ),
                7 => Fails<ContextFullException>([new(ChatRole.User, new string('-', 200_000))], null),
                8 => Fails<ContextFullException>(
                    [.. Enumerable.Range(0, 2000).Select(i => new ChatMessage(ChatRole.User, $"<s>{i}</s>"))],
                    null
                ),
                9 => Endless(),
                _ => Fails<InvalidDataException>(
                    hello,
                    new ChatOptions().WithPrefillProgress(new Reporter(_ => throw new InvalidDataException()))
                ),
            }
        );

        async Task Fails<T>(ChatMessage[] messages, ChatOptions? options)
            where T : Exception => await Assert.ThrowsAsync<T>(() => client.GetResponseAsync(messages, options));

        static ChatOptions Format(string schema) =>
            new()
            {
                ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonSerializer.Deserialize<JsonElement>(schema)),
            };

        async Task Endless()
        {
            using ForetokenChatClient other = test.CreateClient(options =>
                options.ChatTemplate = "{% for i in range(1000000000) %}{{ [i, messages] }}{% endfor %}"
            );
            await Assert.ThrowsAsync<ChatTemplateException>(() => other.GetResponseAsync(hello));
        }
    }

    /// <summary>A second client of the model that is disposed while its requests run and wait.</summary>
    private async Task DisposeInTheMiddle(int i)
    {
        ForetokenChatClient client = test.CreateClient(options =>
        {
            options.Slots = 2;
            options.ContextSize = 4096;
            options.MaxOutputTokens = 4000;
        });
        TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ChatOptions endless = new ChatOptions { StopSequences = ["never to be seen"] }.WithPrefillProgress(
            new Reporter(_ => started.TrySetResult())
        );
        Task<ChatResponse>[] requests =
        [
            .. Enumerable.Range(0, 4).Select(n => client.GetResponseAsync($"{n} {Documents.Filler(n, 10)}", endless)),
        ];
        await started.Task;
        await (i % 2 == 0 ? client.DisposeAsync() : new ValueTask(Task.Run(client.Dispose)));
        foreach (Task<ChatResponse> request in requests)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => request);
            Count("disposed");
        }
    }

    private async Task<string[]> Quiet(Work[] work)
    {
        List<string> answers = [];
        foreach (Work item in work)
        {
            // a new client each time: nothing is reused
            using ForetokenChatClient quiet = test.CreateClient();
            ChatResponse response = await quiet.GetResponseAsync(item.Messages, item.CreateOptions());
            Assert.Equal(0, response.Usage!.CachedInputTokenCount);
            answers.Add(response.Text);
        }
        return [.. answers];
    }

    /// <summary>
    /// Which tokens a plan keeps depends on how many are new, so the quiet client is first brought to hold the prefix that the
    /// answer under load could reuse.
    /// </summary>
    private async Task AssertThinnedAnswers()
    {
        using ForetokenChatClient quiet = test.CreateClient();
        foreach (Thinned thinned in _thinned)
        {
            await quiet.GetResponseAsync(thinned.Text, new ChatOptions { MaxOutputTokens = 1 });
            ForetokenSession session = quiet.GetService<ForetokenSession>()!;
            session.Rewind(thinned.Report.ReusedTokens);
            ChatResponse response = await quiet.GetResponseAsync(thinned.Text, Thin());
            PrefillReport report = response.GetPrefillReport()!;
            Assert.Equal(thinned.Report.ReusedTokens, report.ReusedTokens);
            Assert.Equal(thinned.Report.Stages.Select(s => s.Tokens), report.Stages.Select(s => s.Tokens));
            Assert.Equal(thinned.Answer, response.Text);
        }
    }

    private void Count(string what) => _counts.AddOrUpdate(what, 1, (_, count) => count + 1);

    private static ChatOptions Thin() => new ChatOptions { MaxOutputTokens = 8 }.WithTargetTtftSpeedup(2);

    /// <summary>Bytes of physical memory that the process uses, without what was freed and not yet given back.</summary>
    private static long WorkingSet()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        // glibc keeps the freed KV caches of a few dozen clients in the arenas of its threads
        if (
            OperatingSystem.IsLinux()
            && NativeLibrary.TryLoad("libc.so.6", out nint libc)
            && NativeLibrary.TryGetExport(libc, "malloc_trim", out nint trim)
        )
        {
            Marshal.GetDelegateForFunctionPointer<MallocTrim>(trim)(0);
        }
        return Environment.WorkingSet;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int MallocTrim(nuint pad);

    /// <summary>A request whose answer is determined: greedy, or with a seed, and nothing left out.</summary>
    private sealed record Work(ChatMessage[] Messages, int Kind)
    {
        internal static Work Create(int i)
        {
            // few beginnings, so that prefixes are found in other conversations
            ChatMessage system = new(ChatRole.System, Documents.Filler(i % 3, 10));
            ChatMessage first = new(ChatRole.User, Documents.Filler(i, 5 + (i * 2)));
            return new Work(
                i % 2 == 0
                    ? [system, first]
                    : [system, first, new(ChatRole.Assistant, "I see."), new(ChatRole.User, $"And {i}?")],
                i
            );
        }

        internal ChatOptions CreateOptions()
        {
            ChatOptions options = new() { MaxOutputTokens = 8 };
            if (Kind % 4 == 1)
            {
                options.Temperature = 1.2f;
                options.Seed = Kind;
            }
            if (Kind % 4 == 2)
            {
                options.MaxOutputTokens = 40;
                options.ResponseFormat = ChatResponseFormat.ForJsonSchema(
                    JsonSerializer.Deserialize<JsonElement>("""{"enum": ["yes", "no", "perhaps"]}""")
                );
            }
            return options;
        }
    }

    private sealed record Thinned(string Text, string Answer, PrefillReport Report);

    private sealed class Reporter(Action<PrefillProgress> report) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => report(value);
    }
}

/// <summary>Nothing else runs meanwhile: memory is measured.</summary>
[CollectionDefinition(nameof(SoakTests), DisableParallelization = true)]
public sealed class SoakTestsDefinition : ICollectionFixture<TinyChatModel>;

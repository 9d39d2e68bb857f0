using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>Activities and metrics, by the OpenTelemetry conventions for generative AI.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class TelemetryTests(TinyChatModel test)
{
    // other tests chat with other models meanwhile
    private const string Model = "tiny-chat";

    [Fact]
    public async Task Activity_of_a_request_tells_what_was_asked_and_what_came_out()
    {
        ConcurrentQueue<Activity> stopped = [];
        using ActivityListener listener = Listen(stopped);
        using ActivitySource source = new("Foretoken.Tests.Caller");
        using ActivityListener callers = new()
        {
            ShouldListenTo = candidate => candidate == source,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
        };
        ActivitySource.AddActivityListener(callers);
        using ForetokenChatClient client = test.CreateClient();
        Activity? inside = null;
        ChatOptions options = new ChatOptions
        {
            MaxOutputTokens = 3,
            Temperature = 0.5f,
            TopP = 0.25f,
            TopK = 40,
            Seed = 7,
            StopSequences = ["never to be seen"],
        }
            .WithTargetTtftSpeedup(1.5)
            .WithPrefillProgress(new Reporter(() => inside = Activity.Current));
        ChatResponse response;
        using (Activity? caller = source.StartActivity("caller"))
        {
            response = await client.GetResponseAsync("Hello", options);
            Assert.Same(caller, Activity.Current);
            Assert.Equal(caller!.SpanId, Assert.Single(stopped).ParentSpanId);
        }

        Activity activity = Assert.Single(stopped);
        Assert.Equal(activity.SpanId, inside!.SpanId);
        Assert.Equal($"chat {Model}", activity.DisplayName);
        Assert.Equal(ActivityKind.Internal, activity.Kind);
        Assert.Equal(ActivityStatusCode.Unset, activity.Status);
        Dictionary<string, object?> tags = activity.TagObjects.ToDictionary();
        Assert.Equal("chat", tags["gen_ai.operation.name"]);
        Assert.Equal("foretoken", tags["gen_ai.provider.name"]);
        Assert.Equal(Model, tags["gen_ai.request.model"]);
        Assert.Equal(Model, tags["gen_ai.response.model"]);
        Assert.Equal(response.ResponseId, tags["gen_ai.response.id"]);
        Assert.Equal("text", tags["gen_ai.output.type"]);
        Assert.Equal(3, tags["gen_ai.request.max_tokens"]);
        Assert.Equal(0.5f, tags["gen_ai.request.temperature"]);
        Assert.Equal(0.25f, tags["gen_ai.request.top_p"]);
        Assert.Equal(40, tags["gen_ai.request.top_k"]);
        Assert.Equal(7L, tags["gen_ai.request.seed"]);
        Assert.Equal(["never to be seen"], (string[])tags["gen_ai.request.stop_sequences"]!);
        Assert.Equal([response.FinishReason!.Value.Value], (string[])tags["gen_ai.response.finish_reasons"]!);
        Assert.Equal((int)response.Usage!.InputTokenCount!, tags["gen_ai.usage.input_tokens"]);
        Assert.Equal((int)response.Usage.OutputTokenCount!, tags["gen_ai.usage.output_tokens"]);
        Assert.Equal(1.5, tags["foretoken.prefill.speedup.target"]);
        Assert.Equal(response.GetPrefillReport()!.PromisedSpeedup, tags["foretoken.prefill.speedup.promised"]);
        Assert.DoesNotContain(
            tags.Values,
            value => value is string text && text.Contains("Hello", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task Activity_of_a_failed_request_names_the_error()
    {
        ConcurrentQueue<Activity> stopped = [];
        using ActivityListener listener = Listen(stopped);
        using ForetokenChatClient client = test.CreateClient(options => options.ContextSize = 256);
        await Assert.ThrowsAsync<ContextFullException>(() => client.GetResponseAsync(Documents.Filler(1, 300)));
        using CancellationTokenSource source = new();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            client.GetResponseAsync("x", cancellationToken: source.Token)
        );
        Assert.Equal(
            [typeof(ContextFullException).FullName, typeof(OperationCanceledException).FullName],
            stopped.Select(activity => activity.GetTagItem("error.type"))
        );
        Assert.All(stopped, activity => Assert.Equal(ActivityStatusCode.Error, activity.Status));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task With_telemetry_around_the_client_a_request_has_one_span_that_also_tells_of_the_prefill(
        bool outermost
    )
    {
        string source = $"Foretoken.Tests.Around.{outermost}";
        ConcurrentQueue<Activity> stopped = [];
        using ActivityListener own = Listen(stopped);
        using ActivityListener around = new()
        {
            ShouldListenTo = candidate => candidate.Name == source,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = stopped.Enqueue,
        };
        ActivitySource.AddActivityListener(around);
        using ForetokenChatClient inner = test.CreateClient();
        using IChatClient client = outermost
            ? inner.AsBuilder().UseOpenTelemetry(sourceName: source).UseFunctionInvocation().Build()
            : inner.AsBuilder().UseFunctionInvocation().UseOpenTelemetry(sourceName: source).Build();
        ChatOptions options = new ChatOptions { MaxOutputTokens = 2 }.WithTargetTtftSpeedup(1.5);

        await client.GetResponseAsync("Hello", options);
        Check();
        await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("Hello", options)) { }
        Check();
        // without anything around it, the client has a span of its own
        await inner.GetResponseAsync("Hello", options);
        Assert.Equal(ForetokenDiagnostics.ActivitySourceName, Assert.Single(stopped).Source.Name);

        void Check()
        {
            Activity span = Assert.Single(
                stopped,
                activity => activity.DisplayName.StartsWith("chat", StringComparison.Ordinal)
            );
            stopped.Clear();
            Assert.Equal(source, span.Source.Name);
            Assert.Equal($"chat {Model}", span.DisplayName);
            Assert.Equal("127.0.0.1", span.GetTagItem("server.address"));
            Assert.Equal(1.5, span.GetTagItem("foretoken.prefill.speedup.target"));
            Assert.NotNull(span.GetTagItem("foretoken.prefill.speedup.promised"));
            Assert.NotEqual(0, span.GetTagItem("gen_ai.usage.input_tokens"));
        }
    }

    [Fact]
    public async Task Without_a_listener_there_is_no_activity()
    {
        using ForetokenChatClient client = test.CreateClient();
        bool seen = true;
        await client.GetResponseAsync(
            "x",
            new ChatOptions { MaxOutputTokens = 1 }.WithPrefillProgress(
                new Reporter(() => seen = Activity.Current?.Source.Name == ForetokenDiagnostics.ActivitySourceName)
            )
        );
        Assert.False(seen);
    }

    [Fact]
    public async Task Metrics_tell_durations_and_tokens()
    {
        ConcurrentDictionary<string, double> seen = new();
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == ForetokenDiagnostics.MeterName)
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
        listener.Start();
        using ForetokenChatClient client = test.CreateClient();
        PrefillReport report = (
            await client.GetResponseAsync(
                Documents.Filler(8, 80),
                new ChatOptions { MaxOutputTokens = 3 }.WithTargetTtftSpeedup(2)
            )
        ).GetPrefillReport()!;
        await Assert.ThrowsAsync<ContextFullException>(() => client.GetResponseAsync(Documents.Filler(1, 800)));

        Assert.Equal(report.TimeToFirstToken.TotalSeconds, seen["gen_ai.server.time_to_first_token"]);
        Assert.Equal(report.QueueTime.TotalSeconds, seen["foretoken.queue.duration"]);
        Assert.Equal(report.PromisedSpeedup, seen["foretoken.prefill.speedup.promised"]);
        Assert.Equal(report.ReusedTokens, seen["foretoken.prefill.tokens reused"]);
        Assert.Equal(report.Stages[^1].Tokens, seen["foretoken.prefill.tokens kept"]);
        Assert.Equal(report.NewTokens - report.Stages[^1].Tokens, seen["foretoken.prefill.tokens dropped"]);
        Assert.True(seen["foretoken.prefill.tokens dropped"] > 0);
        Assert.True(seen["gen_ai.server.time_per_output_token"] > 0);
        Assert.True(
            seen["gen_ai.server.request.duration"]
                >= seen["gen_ai.server.time_to_first_token"] + seen["gen_ai.server.time_per_output_token"]
        );
        Assert.True(seen.ContainsKey($"gen_ai.server.request.duration {typeof(ContextFullException).FullName}"));

        void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            string name = instrument.Name;
            bool ours = false;
            foreach ((string key, object? tag) in tags)
            {
                ours |= key == "gen_ai.request.model" && tag is Model;
                name += key is "foretoken.prefill.outcome" or "error.type" ? $" {tag}" : "";
            }
            if (ours)
            {
                seen.AddOrUpdate(name, value, (_, sum) => sum + value);
            }
        }
    }

    private static ActivityListener Listen(ConcurrentQueue<Activity> stopped)
    {
        ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == ForetokenDiagnostics.ActivitySourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (activity.DisplayName == $"chat {Model}")
                {
                    stopped.Enqueue(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        return listener;
    }

    private sealed class Reporter(Action report) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => report();
    }
}

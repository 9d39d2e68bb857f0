using System.Diagnostics;
using System.Diagnostics.Metrics;
using Foretoken.Sessions;

namespace Foretoken.Diagnostics;

/// <summary>
/// Metrics and activities, by the OpenTelemetry semantic conventions for generative AI (gen-ai-metrics, gen-ai-spans) where
/// these have a name, and under <c>foretoken.*</c> where they do not. Bucket boundaries are those that the conventions advise.
/// </summary>
internal static class ForetokenMeter
{
    internal const string ProviderName = "foretoken";

    private static readonly ActivitySource Source = new(ForetokenDiagnostics.ActivitySourceName);

    private static readonly Meter Meter = new(ForetokenDiagnostics.MeterName);

    private static readonly Histogram<double> RequestDuration = Seconds(
        "gen_ai.server.request.duration",
        "From a request's arrival to its end, time in the queue included.",
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
    );

    private static readonly Histogram<double> TimeToFirstToken = Seconds(
        "gen_ai.server.time_to_first_token",
        "From the beginning of a request's work to its first token.",
        [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
    );

    private static readonly Histogram<double> TimePerOutputToken = Seconds(
        "gen_ai.server.time_per_output_token",
        "Mean time of a request's output tokens after its first.",
        [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5]
    );

    private static readonly Histogram<double> QueueDuration = Seconds(
        "foretoken.queue.duration",
        "Time that a request waited for a slot.",
        [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
    );

    private static readonly Histogram<double> SpeedupPromised = Meter.CreateHistogram<double>(
        "foretoken.prefill.speedup.promised",
        "1",
        "Speedup of the prefill that the plan promised."
    );

    private static readonly Histogram<double> SpeedupAchieved = Meter.CreateHistogram<double>(
        "foretoken.prefill.speedup.achieved",
        "1",
        "Speedup of a thinned prefill that its own times speak for, an estimate."
    );

    private static readonly Histogram<double> PrefillDuration = Seconds(
        "foretoken.prefill.duration",
        "Time of the prefill, the choice of tokens included.",
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
    );

    private static readonly Histogram<double> DurationRatio = Meter.CreateHistogram(
        "foretoken.prefill.duration.ratio",
        "1",
        "Time of the prefill over the time that was expected of it.",
        tags: null,
        new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.5, 0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.4, 2] }
    );

    private static readonly Counter<long> PrefillTokens = Meter.CreateCounter<long>(
        "foretoken.prefill.tokens",
        "{token}",
        "Prompt tokens: reused from the KV cache, or computed, and then kept or dropped by the last stage."
    );

    /// <summary>Name of the span of a chat request, by the conventions.</summary>
    internal static string ChatName(string model) => $"chat {model}";

    /// <summary>The activity of a chat request; null while nobody listens.</summary>
    internal static Activity? StartChat(string model)
    {
        // listeners sample by name and these tags, so they are given at the start
        TagList tags = Tags(model);
        return Source.HasListeners()
            ? Source.StartActivity(ChatName(model), ActivityKind.Internal, default(ActivityContext), tags)
            : null;
    }

    internal static void RecordPrefill(string model, PrefillReport report)
    {
        TagList tags = Tags(model);
        TimeToFirstToken.Record(report.TimeToFirstToken.TotalSeconds, tags);
        QueueDuration.Record(report.QueueTime.TotalSeconds, tags);
        SpeedupPromised.Record(report.PromisedSpeedup, tags);
        PrefillDuration.Record(report.PrefillTime.TotalSeconds, tags);
        if (report.AchievedSpeedup is { } achieved)
        {
            SpeedupAchieved.Record(achieved, tags);
        }
        if (report.ExpectedPrefillTime is { } expected)
        {
            DurationRatio.Record(report.PrefillTime / expected.Time, tags);
        }
        Count("reused", report.ReusedTokens);
        Count("kept", report.KeptTokens);
        Count("dropped", report.NewTokens - report.KeptTokens);

        void Count(string outcome, int tokens) =>
            PrefillTokens.Add(tokens, new("foretoken.prefill.outcome", outcome), new("gen_ai.request.model", model));
    }

    internal static void RecordDecode(string model, TimeSpan timePerToken) =>
        TimePerOutputToken.Record(timePerToken.TotalSeconds, Tags(model));

    internal static void RecordRequest(string model, TimeSpan duration, string? errorType)
    {
        TagList tags = Tags(model);
        if (errorType is not null)
        {
            tags.Add("error.type", errorType);
        }
        RequestDuration.Record(duration.TotalSeconds, tags);
    }

    private static TagList Tags(string model) =>
        new()
        {
            { "gen_ai.operation.name", "chat" },
            { "gen_ai.provider.name", ProviderName },
            { "gen_ai.request.model", model },
        };

    private static Histogram<double> Seconds(string name, string description, double[] boundaries) =>
        Meter.CreateHistogram(
            name,
            "s",
            description,
            tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = boundaries }
        );
}

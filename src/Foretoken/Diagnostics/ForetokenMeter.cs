using System.Diagnostics;
using System.Diagnostics.Metrics;
using Foretoken.Inference;

namespace Foretoken.Diagnostics;

/// <summary>
/// Metrics and activities, by the OpenTelemetry conventions for generative AI where these have a name, and under
/// <c>foretoken.*</c> where they do not.
/// </summary>
internal static class ForetokenMeter
{
    internal const string ProviderName = "foretoken";

    internal static readonly ActivitySource Source = new(ForetokenDiagnostics.ActivitySourceName);

    private static readonly Meter Meter = new(ForetokenDiagnostics.MeterName);

    private static readonly Histogram<double> TimeToFirstToken = Meter.CreateHistogram<double>(
        "gen_ai.server.time_to_first_token",
        "s",
        "From the beginning of a request's work to its first token."
    );

    private static readonly Histogram<double> SpeedupPromised = Meter.CreateHistogram<double>(
        "foretoken.prefill.speedup.promised",
        "1",
        "Speedup of the prefill that the plan promised."
    );

    private static readonly Counter<long> PrefillTokens = Meter.CreateCounter<long>(
        "foretoken.prefill.tokens",
        "{token}",
        "New prompt tokens by what the last stage did with them."
    );

    internal static void Record(string model, PrefillReport report)
    {
        TagList tags = new() { { "gen_ai.provider.name", ProviderName }, { "gen_ai.request.model", model } };
        TimeToFirstToken.Record(report.TimeToFirstToken.TotalSeconds, tags);
        SpeedupPromised.Record(report.PromisedSpeedup, tags);
        int kept = report.Stages.Count == 0 ? report.NewTokens : report.Stages[^1].Tokens;
        PrefillTokens.Add(kept, new("foretoken.prefill.outcome", "kept"), new("gen_ai.request.model", model));
        PrefillTokens.Add(
            report.NewTokens - kept,
            new("foretoken.prefill.outcome", "dropped"),
            new("gen_ai.request.model", model)
        );
    }
}

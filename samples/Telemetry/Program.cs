// What the library tells OpenTelemetry: two questions about a document, the second of which finds the document in the cache.
//
//   Telemetry MODEL DOCUMENT QUESTION QUESTION [SPEEDUP]
//
// An application would export over OTLP; here the exporters write lines to standard error.
using System.Diagnostics;
using Foretoken;
using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Samples;
using Foretoken.Samples.Telemetry;
using Microsoft.Extensions.AI;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;

if (args.Length is < 4 or > 5 || !File.Exists(args[1]))
{
    Console.Error.WriteLine("Usage: Telemetry MODEL DOCUMENT QUESTION QUESTION [SPEEDUP], with a DOCUMENT that exists");
    return 2;
}
if (!Speedup.TryParse(args.ElementAtOrDefault(4), out double speedup))
{
    Console.Error.WriteLine($"SPEEDUP is a number such as 2.5, and '{args[4]}' is not.");
    return 2;
}

using LineExporter<Activity> activities = new(ActivityText.Format);
using LineExporter<Metric> measurements = new(MetricText.Format);
using TracerProvider traces = Sdk.CreateTracerProviderBuilder()
    .AddSource(ForetokenDiagnostics.ActivitySourceName)
    .AddProcessor(new SimpleActivityExportProcessor(activities))
    .Build();

// without a period: exported when the provider is disposed
using MeterProvider metrics = Sdk.CreateMeterProviderBuilder()
    .AddMeter(ForetokenDiagnostics.MeterName)
    .AddReader(new BaseExportingMetricReader(measurements))
    .Build();

try
{
    using ForetokenChatClient client = new(
        new()
        {
            ModelPath = args[0],
            TargetTtftSpeedup = speedup,
            MaxOutputTokens = 64,
        }
    );
    List<ChatMessage> conversation = [];
    foreach (string question in args[2..4])
    {
        string text = conversation.Count == 0 ? $"{File.ReadAllText(args[1])}\n\n{question}" : question;
        conversation.Add(new ChatMessage(ChatRole.User, text));
        ChatResponse response = await client.GetResponseAsync(conversation);
        conversation.AddMessages(response);
        Console.WriteLine(response.Text);
    }
    return 0;
}
catch (Exception e) when (e is ForetokenException or ArgumentException or IOException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

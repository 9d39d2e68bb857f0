// A pipeline of Microsoft.Extensions.AI over a local model: what applications put around any chat client.
//
//   Pipeline [DOCUMENT [SPEEDUP]]
//
// Structured output, the same request again from a distributed cache, a function that the model calls, a log and spans.
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using Foretoken;
using Foretoken.Chat;
using Foretoken.Errors;
using Foretoken.Samples;
using Foretoken.Samples.Telemetry;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using OpenTelemetry;
using OpenTelemetry.Trace;

string document = args.ElementAtOrDefault(0) ?? SampleFiles.Document;
if (!File.Exists(document) || !Speedup.TryParse(args.ElementAtOrDefault(1), out double speedup))
{
    Console.Error.WriteLine(
        "Usage: Pipeline [DOCUMENT [SPEEDUP]], with a DOCUMENT that exists and a SPEEDUP such as 2.5"
    );
    return 2;
}

const string source = "Foretoken.Samples.Pipeline";
using LineExporter<Activity> spans = new(ActivityText.Format);
using TracerProvider traces = Sdk.CreateTracerProviderBuilder()
    .AddSource(source)
    .AddProcessor(new SimpleActivityExportProcessor(spans))
    .Build();
using ILoggerFactory loggers = LoggerFactory.Create(logging =>
    logging.AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace).SetMinimumLevel(LogLevel.Debug)
);

ForetokenChatClient local = new(
    new()
    {
        ModelPath = SampleFiles.Model,
        ChatTemplate = SampleFiles.ToolTemplate,
        TargetTtftSpeedup = speedup,
    }
);

// one round of calls: a small model may count the same lines until its context is full
using IChatClient client = local
    .AsBuilder()
    .UseFunctionInvocation(configure: invoking => invoking.MaximumIterationsPerRequest = 1)
    .UseDistributedCache(new MemoryDistributedCache(Options.Create(new MemoryDistributedCacheOptions())))
    .UseOpenTelemetry(sourceName: source)
    .UseLogging(loggers)
    .Build();

try
{
    string prompt = $"{await File.ReadAllTextAsync(document)}\n\nWhat is described here, and under which licence?";
    for (int time = 1; time <= 2; time++)
    {
        ChatResponse<Description> answer = await client.GetResponseAsync<Description>(
            prompt,
            new ChatOptions { Temperature = 0 },
            useJsonSchemaResponseFormat: true
        );
        Console.WriteLine($"{time}: {answer.Result.Name}, {answer.Result.Licence} (pages: {answer.Result.Pages})");
        Console.WriteLine(
            answer.GetPrefillReport() is { } report
                ? $"   computed: first token after {report.TimeToFirstToken.TotalSeconds:0.00} s"
                : "   from the cache"
        );
    }

    AIFunction lines = AIFunctionFactory.Create(
        [Description("Counts the lines of the document.")]
        () =>
        {
            int count = File.ReadLines(document).Count();
            Console.WriteLine($"[the model counts lines: {count}]");
            return count;
        },
        "count_lines"
    );
    ChatResponse counted = await client.GetResponseAsync(
        "How many lines has the document?",
        new ChatOptions
        {
            Temperature = 0,
            MaxOutputTokens = 80,
            Tools = [lines],
            ToolMode = ChatToolMode.RequireAny,
        }
    );
    Console.WriteLine(counted.Text);
    return 0;
}
catch (Exception e) when (e is ForetokenException or NotSupportedException or ArgumentException or IOException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

/// <summary>What the model is asked to fill in; with limits, so that its answer ends and fits whatever it writes.</summary>
internal sealed record Description(
    [property: Description("What is described, in a few words.")] [property: StringLength(60)] string Name,
    [property: Description("The licence.")] [property: StringLength(30)] string Licence,
    [property: Description("How many pages it has, from 0 to 9.")] [property: Range(0, 9)] int? Pages
);

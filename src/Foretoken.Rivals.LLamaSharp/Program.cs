// Foretoken.Rivals.LLamaSharp SETTINGS, as JSON. Every line on standard input is a prompt, as the number of tokens to decode after
// the first and the prompt's tokens; it is answered by a line of JSON. The first line out says that the model is loaded.
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Foretoken.Rivals.LLamaSharp;
using LLama;
using LLama.Common;
using LLama.Native;
using LLama.Sampling;

try
{
    Settings settings = JsonSerializer.Deserialize(args[0], ProtocolContext.Default.Settings)!;
    if (!Enum.TryParse($"GGML_TYPE_{settings.KvCacheType}", ignoreCase: true, out GGMLType kvType))
    {
        throw new NotSupportedException($"LLamaSharp has no KV cache of the format {settings.KvCacheType}.");
    }
    ModelParams parameters = new(settings.Model)
    {
        GpuLayerCount = 0,
        ContextSize = settings.Context,
        BatchSize = settings.Batch,
        UBatchSize = settings.UBatch,
        Threads = settings.Threads,
        BatchThreads = settings.Threads,
        FlashAttention = settings.FlashAttention,
        TypeK = kvType,
        TypeV = kvType,
    };
    using LLamaWeights weights = LLamaWeights.LoadFromFile(parameters);
    using LLamaContext context = weights.CreateContext(parameters);
    string version = typeof(Settings)
        .Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .First(attribute => attribute.Key == "LLamaSharp")
        .Value!;
    Write(new Ready(version), ProtocolContext.Default.Ready);

    while (Console.ReadLine() is { } line && line != "quit")
    {
        int[] numbers = [.. line.Split(' ').Select(number => int.Parse(number, CultureInfo.InvariantCulture))];
        Write(await RunAsync(context, numbers[1..], numbers[0]), ProtocolContext.Default.Answer);
    }
    return 0;
}
catch (Exception e)
{
    Write(new Failure(e.Message.ReplaceLineEndings(" ")), ProtocolContext.Default.Failure);
    return 1;
}

// as LLamaSharp's executors do it: the context decodes, a pipeline samples
static async Task<Answer> RunAsync(LLamaContext context, int[] prompt, int decodeTokens)
{
    context.NativeHandle.MemoryClear();
    using GreedySamplingPipeline sampling = new();
    LLamaBatch batch = new();
    List<LLamaToken> next = [.. prompt.Select(token => (LLamaToken)token)];
    List<double> times = [];
    int past = 0;
    while (times.Count <= decodeTokens)
    {
        long start = Stopwatch.GetTimestamp();
        (DecodeResult result, _, past) = await context.DecodeAsync(next, LLamaSeqId.Zero, batch, past);
        if (result != DecodeResult.Ok)
        {
            throw new InvalidOperationException($"LLamaSharp's decoding ended with {result}.");
        }
        LLamaToken token = sampling.Sample(context.NativeHandle, batch.TokenCount - 1);
        times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        next = [token];
    }
    return new Answer(times[0], times[1..]);
}

static void Write<T>(T value, JsonTypeInfo<T> type) => Console.WriteLine(JsonSerializer.Serialize(value, type));

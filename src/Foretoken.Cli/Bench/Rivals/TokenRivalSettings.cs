using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Sessions;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>What the program of a <see cref="TokenRival"/> is told: the settings of both of our sides.</summary>
internal sealed record TokenRivalSettings(
    string Model,
    int Context,
    int Batch,
    int UBatch,
    int Threads,
    bool FlashAttention,
    string KvCacheType
)
{
    internal static TokenRivalSettings Of(string modelPath, ContextInfo context, KvCacheType kvCacheType) =>
        new(
            Path.GetFullPath(modelPath),
            context.ContextSize,
            context.BatchSize,
            context.UBatchSize,
            context.BatchThreads,
            context.FlashAttention,
            BenchCommand.KvTypes.First(pair => pair.Value == kvCacheType).Key
        );

    internal string ToJson() => JsonSerializer.Serialize(this, TokenRivalJsonContext.Default.TokenRivalSettings);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(TokenRivalSettings))]
internal sealed partial class TokenRivalJsonContext : JsonSerializerContext;

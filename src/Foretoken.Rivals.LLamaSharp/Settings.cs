using System.Text.Json.Serialization;

namespace Foretoken.Rivals.LLamaSharp;

/// <summary>What the benchmark tells: the settings of both of its sides.</summary>
/// <param name="Model">The model's file; of a split model, its first shard.</param>
/// <param name="Context">Tokens of context.</param>
/// <param name="Batch">Tokens per batch.</param>
/// <param name="UBatch">Tokens per graph.</param>
/// <param name="Threads">Threads, for prefill and decode.</param>
/// <param name="FlashAttention">Whether attention is fused.</param>
/// <param name="KvCacheType">Format of keys and values, as llama.cpp spells it: <c>f16</c>, <c>q8_0</c>.</param>
internal sealed record Settings(
    string Model,
    uint Context,
    uint Batch,
    uint UBatch,
    int Threads,
    bool FlashAttention,
    string KvCacheType
);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(Settings))]
[JsonSerializable(typeof(Ready))]
[JsonSerializable(typeof(Answer))]
[JsonSerializable(typeof(Failure))]
internal sealed partial class ProtocolContext : JsonSerializerContext;

/// <summary>The first line, once the model is loaded.</summary>
internal sealed record Ready(string Version);

/// <summary>What one prompt took, milliseconds: to the first token, and for each further one.</summary>
internal sealed record Answer(double Ttft, IReadOnlyList<double> Decode);

/// <summary>Why there is no answer.</summary>
internal sealed record Failure(string Error);

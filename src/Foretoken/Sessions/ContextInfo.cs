using System.Text.Json.Serialization;

namespace Foretoken.Sessions;

/// <summary>A context as it was created: the values that defaults resolved to.</summary>
public sealed record ContextInfo
{
    /// <summary>Tokens that the context holds.</summary>
    [JsonPropertyName("n_ctx_seq")]
    public int ContextSize { get; init; }

    /// <summary>Tokens per chunk.</summary>
    [JsonPropertyName("n_batch")]
    public int BatchSize { get; init; }

    /// <summary>Tokens per computed graph.</summary>
    [JsonPropertyName("n_ubatch")]
    public int UBatchSize { get; init; }

    /// <summary>Whether attention is fused.</summary>
    [JsonPropertyName("flash_attn")]
    public bool FlashAttention { get; init; }

    /// <summary>Whether prefill can be staged.</summary>
    public bool Staged { get; init; }

    /// <summary>Bytes allocated for keys and values.</summary>
    public long KvBytesAllocated { get; init; }

    /// <summary>Threads that decode.</summary>
    [JsonPropertyName("n_threads")]
    public int Threads { get; init; }

    /// <summary>Threads that prefill.</summary>
    [JsonPropertyName("n_threads_batch")]
    public int BatchThreads { get; init; }

    /// <summary>Names of the devices that compute, the CPU last; of an RPC server <c>RPC0</c>, <c>RPC1</c> and so on.</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];
}

using System.Text.RegularExpressions;

namespace Foretoken.Interop;

/// <summary>What the native library calls an option, and what its users do: errors come in their words.</summary>
internal static partial class NativeOptionNames
{
    private static readonly Dictionary<string, string> Names = new(StringComparer.Ordinal)
    {
        ["n_ctx"] = "ContextSize",
        ["n_batch"] = "BatchSize",
        ["n_ubatch"] = "UBatchSize",
        ["n_threads"] = "Threads",
        ["n_threads_batch"] = "BatchThreads",
        ["type_k"] = "KvCacheType",
        ["type_v"] = "KvCacheType",
        ["flash_attn"] = "FlashAttention",
        ["offload_kqv"] = "OffloadKvCache",
        ["staged"] = "Staged",
        ["n_gpu_layers"] = "GpuLayers",
        ["use_mmap"] = "UseMemoryMap",
        ["use_mlock"] = "UseMemoryLock",
        ["vocab_only"] = "VocabularyOnly",
        ["devices"] = "Devices",
        ["rpc_servers"] = "RpcServers",
        ["temperature"] = "Temperature",
        ["top_k"] = "TopK",
        ["top_p"] = "TopP",
        ["min_p"] = "MinP",
        ["repeat_penalty"] = "RepeatPenalty",
        ["repeat_last_n"] = "RepeatLastN",
        ["frequency_penalty"] = "FrequencyPenalty",
        ["presence_penalty"] = "PresencePenalty",
        ["seed"] = "Seed",
        ["template_override"] = "ChatTemplate",
    };

    /// <summary>A message of the native library with the options' names that callers know, in the same quotes.</summary>
    internal static string Translate(string message) =>
        Quoted()
            .Replace(
                // one option of ours is two of llama.cpp's
                message.Replace("'type_k' and 'type_v'", "'type_k'", StringComparison.Ordinal),
                match => Names.TryGetValue(match.Groups[1].Value, out string? name) ? $"'{name}'" : match.Value
            );

    [GeneratedRegex("'([a-z_]+)'")]
    private static partial Regex Quoted();
}

using System.Text;
using System.Text.Json;
using Foretoken.Schemas;

namespace Foretoken.Sessions;

/// <summary>The JSON objects that the native library is configured with; keys as in foretoken.h.</summary>
internal static class NativeConfig
{
    internal static string Model(ModelOptions options) =>
        Write(json =>
        {
            json.WriteNumber("n_gpu_layers", options.OffloadedLayers);
            json.WriteBoolean("use_mmap", options.UseMemoryMap);
            json.WriteBoolean("use_mlock", options.UseMemoryLock);
            json.WriteBoolean("vocab_only", options.VocabularyOnly);
            WriteStrings(json, "devices", options.Devices);
            WriteStrings(json, "rpc_servers", options.RpcServers);
        });

    internal static string Context(SessionOptions options, int contextSize, bool staged) =>
        Write(json =>
        {
            json.WriteNumber("n_ctx", contextSize);
            json.WriteNumber("n_batch", options.BatchSize);
            json.WriteNumber("n_ubatch", Math.Min(options.UBatchSize, options.BatchSize));
            json.WriteNumber("n_seq_max", 1);
            json.WriteNumber("n_threads", options.Threads);
            json.WriteNumber("n_threads_batch", options.BatchThreads == 0 ? options.Threads : options.BatchThreads);
            string type = options.KvCacheType switch
            {
                KvCacheType.F32 => "f32",
                KvCacheType.BF16 => "bf16",
                KvCacheType.Q8 => "q8_0",
                KvCacheType.Q4 => "q4_0",
                _ => "f16",
            };
            json.WriteString("type_k", type);
            json.WriteString("type_v", type);
            json.WriteString(
                "flash_attn",
                options.FlashAttention switch
                {
                    FlashAttentionMode.On => "on",
                    FlashAttentionMode.Off => "off",
                    _ => "auto",
                }
            );
            json.WriteBoolean("offload_kqv", options.OffloadKvCache);
            json.WriteBoolean("staged", staged);
        });

    internal static string Sampler(SamplerOptions options) =>
        Write(json =>
        {
            json.WriteNumber("temperature", options.Temperature);
            // a limit that is not asked for is switched off: llama.cpp's own defaults would apply otherwise
            json.WriteNumber("top_k", options.TopK ?? 0);
            json.WriteNumber("top_p", options.TopP ?? 1);
            json.WriteNumber("min_p", options.MinP ?? 0);
            WriteNumber(json, "repeat_penalty", options.RepeatPenalty);
            if (options.RepeatLastN is { } lastN)
            {
                json.WriteNumber("repeat_last_n", lastN);
            }
            WriteNumber(json, "frequency_penalty", options.FrequencyPenalty);
            WriteNumber(json, "presence_penalty", options.PresencePenalty);
            if (options.Seed is { } seed)
            {
                json.WriteNumber("seed", seed);
            }
            if (options.Grammar is not null)
            {
                json.WriteString("grammar", options.Grammar);
            }
            if (options.GrammarLazy)
            {
                json.WriteBoolean("grammar_lazy", true);
                if (options.GrammarTriggersJson is not null)
                {
                    json.WritePropertyName("grammar_triggers");
                    json.WriteRawValue(options.GrammarTriggersJson);
                }
            }
            if (options.GrammarPrefix is { Length: > 0 } prefix)
            {
                json.WriteString("grammar_prefix", prefix);
            }
            if (options.JsonSchema is not null)
            {
                json.WritePropertyName("json_schema");
                NormalizedSchema.Parse(options.JsonSchema, "the sampler").WriteTo(json);
            }
        });

    internal static string Write(Action<Utf8JsonWriter> body)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            body(json);
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    private static void WriteNumber(Utf8JsonWriter json, string key, float? value)
    {
        if (value is { } number)
        {
            json.WriteNumber(key, number);
        }
    }

    private static void WriteStrings(Utf8JsonWriter json, string key, IReadOnlyList<string>? values)
    {
        if (values is { Count: > 0 })
        {
            json.WriteStartArray(key);
            foreach (string value in values)
            {
                json.WriteStringValue(value);
            }
            json.WriteEndArray();
        }
    }
}

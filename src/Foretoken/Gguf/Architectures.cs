using System.Collections.Frozen;

namespace Foretoken.Gguf;

/// <summary>The architectures of llama.cpp release v0.5.0, and what stands against staging their prefill.</summary>
/// <remarks>
/// The native library has the last word: it builds the model's graph and looks. This list only lets a file be refused before
/// gigabytes are read.
/// </remarks>
internal static class Architectures
{
    private const string SlidingWindow =
        "it attends over sliding windows, whose cache forgets tokens by their position";
    private const string Recurrent =
        "it is recurrent (wholly or in part): a token that left would still change the state";
    private const string LatentAttention = "it caches compressed latents (MLA) instead of keys and values";
    private const string Encoder = "it is an encoder: it does not generate text token by token";
    private const string Diffusion = "it generates text by diffusion, not token by token";
    private const string NoBoundary = "its graph does not name the residual stream behind each layer";
    private const string MoreThanResidual =
        "its layers read more of what is below them than the residual stream in front of them";
    private const string KeyIndex = "it keeps an index of its keys beside the cache";
    private const string Draft = "it proposes tokens for another model and does not run alone";

    private static readonly FrozenDictionary<string, string?> Known = Create();

    // use sliding windows only in some models; the key says in which
    private static readonly FrozenSet<string> WindowByKey = new[]
    {
        "afmoe",
        "exaone4",
        "gemma3",
        "laguna",
        "mellum",
        "olmo2",
        "plamo3",
        "smallthinker",
    }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Whether llama.cpp knows the architecture.</summary>
    public static bool IsKnown(string architecture) => Known.ContainsKey(architecture);

    /// <summary>Why a model cannot be staged, or <see langword="null"/>.</summary>
    public static string? FindObstacle(string architecture, GgufFile header)
    {
        if (Known.TryGetValue(architecture, out string? reason) && reason is not null)
        {
            return reason;
        }

        return WindowByKey.Contains(architecture) && header.GetInt64($"{architecture}.attention.sliding_window") is > 0
            ? SlidingWindow
            : null;
    }

    private static FrozenDictionary<string, string?> Create()
    {
        Dictionary<string, string?> known = new(StringComparer.Ordinal);
        void Add(string? obstacle, string names)
        {
            foreach (string name in names.Split(' '))
            {
                known.Add(name, obstacle);
            }
        }

        Add(
            null,
            "llama deci falcon grok gpt2 gptneox mpt baichuan starcoder refact bloom stablelm qwen qwen2 qwen2moe qwen2vl qwen3 "
                + "qwen3moe qwen3vl qwen3vlmoe phi2 phi3 phimoe plamo plamo3 codeshell orion internlm2 minicpm gemma gemma3 starcoder2 "
                + "xverse command-r dbrx olmo olmo2 olmoe openelm arctic deepseek chatglm glm4 glm4moe bitnet jais jais2 nemotron "
                + "exaone exaone4 granite granitemoe chameleon bailingmoe bailingmoe2 dots1 arcee afmoe ernie4_5 ernie4_5-moe "
                + "hunyuan-moe hunyuan-dense smollm3 smallthinker seed_oss grovemoe apertus minimax-m2 pangu-embedded mistral3 "
                + "paddleocr maincoder deepseek2-ocr hunyuan_vl hy_v3 laguna mellum nanbeige pockettts qwen3tts talkie"
        );
        Add(
            SlidingWindow,
            "llama4 gemma2 gemma3n gemma4 cohere2 cohere2moe exaone-moe gpt-oss granite_swa maple mimo2 muse-glimmer spark2_5 "
                + "step35"
        );
        Add(
            Recurrent,
            "mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7 jamba falcon-h1 plamo2 granitehybrid lfm2 lfm2moe nemotron_h "
                + "nemotron_h_moe qwen3next qwen35 qwen35moe qwen4exp kimi-linear kimi-k3 bailingmoe3 minimax-01"
        );
        Add(LatentAttention, "deepseek2 deepseek32 deepseek4 dots3note glm-dsa hy_v4 mistral4 minicpm3 plm");
        Add(
            Encoder,
            "clip bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert gemma-embedding "
                + "llama-embed t5 t5encoder wavtokenizer-dec"
        );
        Add(Diffusion, "dream llada llada-moe rnd1");
        Add(NoBoundary, "cogvlm gptj");
        Add(MoreThanResidual, "graniteswitch hrm_text");
        Add(KeyIndex, "minimax-m3");
        Add(Draft, "dflash eagle3 gemma4-assistant");
        return known.ToFrozenDictionary(StringComparer.Ordinal);
    }
}

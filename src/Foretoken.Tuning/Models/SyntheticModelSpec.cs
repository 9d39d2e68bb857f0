using System.Globalization;
using Foretoken.Gguf;
using Foretoken.Plans;

namespace Foretoken.Tuning.Models;

/// <summary>Which random model <see cref="SyntheticModel"/> writes. Immutable.</summary>
internal sealed record SyntheticModelSpec
{
    private static readonly SyntheticModelSpec[] NamedShapes =
    [
        Create("smollm2-135m", 30, 576, 9, 3, 64, 1536, 49152, 8192, 100_000, true),
        Create("llama-3.2-1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 500_000, true),
        Create("llama-3.2-3b", 28, 3072, 24, 8, 128, 8192, 128256, 131072, 500_000, true),
        Create("llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072, 500_000, false),
        Create("llama-3.1-70b", 80, 8192, 64, 8, 128, 28672, 128256, 131072, 500_000, false),
        Create("llama-3.1-405b", 126, 16384, 128, 8, 128, 53248, 128256, 131072, 500_000, false),
    ];

    /// <summary>The names that <see cref="Parse"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. NamedShapes.Select(s => s.Name)];

    /// <summary>Name of the model, as in <c>general.name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The model's sizes. Widths must be multiples of the block length of <see cref="WeightType"/>.</summary>
    public required ModelShape Shape { get; init; }

    /// <summary>Tokens of context that the file claims. Default 8192.</summary>
    public int ContextSize { get; init; } = 8192;

    /// <summary>Base of the RoPE frequencies. Default 10000.</summary>
    public double RopeBase { get; init; } = 10_000;

    /// <summary>Whether the output matrix is the embedding. Default <see langword="true"/>.</summary>
    public bool TiesEmbeddings { get; init; } = true;

    /// <summary>
    /// Type of the weight matrices: <see cref="GgufTensorType.Q40"/> (default), <see cref="GgufTensorType.Q80"/>,
    /// <see cref="GgufTensorType.F16"/> or <see cref="GgufTensorType.F32"/>. Norms are always f32.
    /// </summary>
    public GgufTensorType WeightType { get; init; } = GgufTensorType.Q40;

    /// <summary>Seed of the weights: the same specification and seed give the same file. Default 0.</summary>
    public int Seed { get; init; }

    /// <summary>Reads a specification.</summary>
    /// <param name="text">
    /// One of <see cref="Names"/>, or sizes such as
    /// <c>layers=16,embd=2048,heads=32,kv-heads=8,ffn=8192,vocab=128256</c>. Optional: <c>head-size</c>, <c>ctx</c>,
    /// <c>rope</c>, <c>tied</c> (true or false), <c>type</c> (q4_0, q8_0, f16, f32), <c>seed</c>. A name may stand before
    /// optional settings: <c>llama-3.2-1b,type=q8_0</c>.
    /// </param>
    /// <exception cref="FormatException">The text is neither; the message says what is possible.</exception>
    public static SyntheticModelSpec Parse(string text)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(text);
        Dictionary<string, string> settings = new(StringComparer.OrdinalIgnoreCase);
        SyntheticModelSpec? named = null;
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            string[] pair = part.Split('=', 2, StringSplitOptions.TrimEntries);
            if (pair.Length == 2)
            {
                if (!settings.TryAdd(pair[0], pair[1]))
                {
                    throw new FormatException($"'{pair[0]}' is given twice in '{text}'.");
                }

                continue;
            }

            if (named is not null || settings.Count > 0)
            {
                throw new FormatException($"'{part}' in '{text}' is no setting: a name can only stand first. {Help()}");
            }

            named =
                Array.Find(NamedShapes, s => string.Equals(s.Name, part, StringComparison.OrdinalIgnoreCase))
                ?? throw new FormatException($"There is no shape named '{part}'. {Help()}");
        }

        int Size(string key, int? fallback) =>
            !settings.Remove(key, out string? value)
                ? fallback ?? throw new FormatException($"'{key}' is missing in '{text}'. {Help()}")
            : int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0
                ? number
            : throw new FormatException($"'{key}={value}' needs a positive number. {Help()}");

        int embedding = Size("embd", named?.Shape.EmbeddingSize);
        int heads = Size("heads", named?.Shape.HeadCount);
        SyntheticModelSpec spec = new()
        {
            Name = named?.Name ?? text,
            Shape = new ModelShape
            {
                LayerCount = Size("layers", named?.Shape.LayerCount),
                EmbeddingSize = embedding,
                HeadCount = heads,
                KvHeadCount = Size("kv-heads", named?.Shape.KvHeadCount ?? heads),
                HeadSize = Size("head-size", named?.Shape.HeadSize ?? Math.Max(1, embedding / heads)),
                FeedForwardSize = Size("ffn", named?.Shape.FeedForwardSize),
                VocabularySize = Size("vocab", named?.Shape.VocabularySize),
            },
            ContextSize = Size("ctx", named?.ContextSize ?? 8192),
            RopeBase = Size("rope", (int)(named?.RopeBase ?? 10_000)),
            TiesEmbeddings =
                !settings.Remove("tied", out string? tied) ? named?.TiesEmbeddings ?? true
                : bool.TryParse(tied, out bool isTied) ? isTied
                : throw new FormatException($"'tied={tied}' needs true or false."),
            WeightType = !settings.Remove("type", out string? type)
                ? GgufTensorType.Q40
                : type.ToUpperInvariant() switch
                {
                    "Q4_0" => GgufTensorType.Q40,
                    "Q8_0" => GgufTensorType.Q80,
                    "F16" => GgufTensorType.F16,
                    "F32" => GgufTensorType.F32,
                    _ => throw new FormatException(
                        $"'type={type}' is not possible. Types are q4_0, q8_0, f16 and f32."
                    ),
                },
            Seed =
                !settings.Remove("seed", out string? seed) ? 0
                : int.TryParse(seed, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) ? value
                : throw new FormatException($"'seed={seed}' needs a whole number."),
        };
        if (settings.Count > 0)
        {
            throw new FormatException($"'{settings.Keys.First()}' is no setting of a synthetic model. {Help()}");
        }

        return spec;
    }

    private static string Help() =>
        $"Known shapes: {string.Join(", ", Names)}. Or give sizes: layers=16,embd=2048,heads=32,kv-heads=8,ffn=8192,vocab=128256 "
        + "(optional: head-size, ctx, rope, tied, type, seed).";

    private static SyntheticModelSpec Create(
        string name,
        int layers,
        int embedding,
        int heads,
        int kvHeads,
        int headSize,
        int feedForward,
        int vocabulary,
        int context,
        double ropeBase,
        bool tied
    ) =>
        new()
        {
            Name = name,
            Shape = new ModelShape
            {
                LayerCount = layers,
                EmbeddingSize = embedding,
                HeadCount = heads,
                KvHeadCount = kvHeads,
                HeadSize = headSize,
                FeedForwardSize = feedForward,
                VocabularySize = vocabulary,
            },
            ContextSize = context,
            RopeBase = ropeBase,
            TiesEmbeddings = tied,
        };
}

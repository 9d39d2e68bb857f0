using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.Cli.Bench;

/// <summary>Everything that a benchmark recorded. In JSON, names are camelCase; times are milliseconds, sizes bytes.</summary>
internal sealed record BenchReport
{
    public required DateTimeOffset CreatedAt { get; init; }
    public required BenchModel Model { get; init; }
    public required MachineInfo Machine { get; init; }
    public required BenchBuild Build { get; init; }
    public required BenchSettings Settings { get; init; }
    public required BenchExactness Exactness { get; init; }
    public required IReadOnlyList<BenchRow> Rows { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, BenchJsonContext.Readable.BenchReport);
}

/// <summary>The model that was measured.</summary>
internal sealed record BenchModel
{
    public required string Name { get; init; }
    public required string Description { get; init; }
    public required bool IsSynthetic { get; init; }
    public required string Architecture { get; init; }
    public required int Layers { get; init; }
    public required int EmbeddingSize { get; init; }
    public required int VocabularySize { get; init; }
    public required long Parameters { get; init; }
    public required long SizeBytes { get; init; }
}

/// <summary>The builds that were compared. Both sides use the same ggml libraries.</summary>
internal sealed record BenchBuild
{
    public required string LlamaRelease { get; init; }
    public required string PatchHash { get; init; }
    public required string Key { get; init; }
    public required string Options { get; init; }
    public required string Compiler { get; init; }
    public required string BuildType { get; init; }

    /// <summary>What the patched library says about itself.</summary>
    public required JsonElement Library { get; init; }

    /// <summary>llama.cpp's own description of the machine and the build, from the unpatched side.</summary>
    public required string BaselineSystemInfo { get; init; }
}

/// <summary>How it was measured; the same on both sides.</summary>
internal sealed record BenchSettings
{
    public required int Pairs { get; init; }
    public required int WarmupsPerRow { get; init; }
    public required int Seed { get; init; }
    public required string Order { get; init; }
    public required int DecodeTokens { get; init; }
    public required int ContextSize { get; init; }
    public required int Threads { get; init; }
    public required int BatchSize { get; init; }
    public required int UbatchSize { get; init; }
    public required string KvCacheType { get; init; }
    public required string FlashAttention { get; init; }
    public required int GpuLayers { get; init; }
    public required string Importance { get; init; }

    /// <summary>Environment variables that steer OpenMP, ggml and llama.cpp; both sides had them.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }
}

/// <summary>Whether the rows that keep everything gave what unpatched llama.cpp gave, over all their measured runs.</summary>
internal sealed record BenchExactness
{
    /// <summary>Runs that were compared: target 1 and keep-all.</summary>
    public required int Runs { get; init; }

    /// <summary>Whether every run chose the baseline's first token; null when none was compared.</summary>
    public required bool? SameFirstToken { get; init; }

    /// <summary>Whether every run's logits were the baseline's, bit for bit; null when none was compared.</summary>
    public required bool? SameLogits { get; init; }

    /// <summary>Whether every run decoded the baseline's tokens; null when none was decoded.</summary>
    public required bool? SameDecodedTokens { get; init; }
}

/// <summary>One prompt length with one way of prefilling it.</summary>
internal sealed record BenchRow
{
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }

    /// <summary><c>target</c>, <c>keep-all</c> or <c>plan</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The speedup that was asked for; null for a given plan.</summary>
    public required double? Target { get; init; }

    /// <summary>The plan that ran, as <c>layer@retention</c>; null for plain prefill.</summary>
    public required string? Plan { get; init; }

    /// <summary>The planner's estimate.</summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>Median TTFT of the baseline over the median of ours.</summary>
    public required double MeasuredSpeedup { get; init; }

    /// <summary>Smallest ratio within a pair.</summary>
    public required double MeasuredSpeedupMin { get; init; }

    /// <summary>Largest ratio within a pair.</summary>
    public required double MeasuredSpeedupMax { get; init; }

    /// <summary>95 % interval of <see cref="MeasuredSpeedup"/> (bootstrap over pairs); null with fewer than three.</summary>
    public required IReadOnlyList<double>? MeasuredSpeedup95 { get; init; }

    /// <summary>Median TTFT of ours over the median of the baseline: 1 / <see cref="MeasuredSpeedup"/>.</summary>
    public required double TimeRatio { get; init; }

    public required double TtftMs { get; init; }
    public required double BaselineTtftMs { get; init; }
    public required int Pairs { get; init; }

    /// <summary>Tokens that each stage ran.</summary>
    public required IReadOnlyList<int> TokensPerStage { get; init; }

    /// <summary>First layer of each stage.</summary>
    public required IReadOnlyList<int> StageLayers { get; init; }

    /// <summary>Bytes of keys and values after the prompt.</summary>
    public required long KvBytes { get; init; }

    public required double CpuMs { get; init; }
    public required double BaselineCpuMs { get; init; }

    /// <summary>Median time of an output token after the prompt; null without <c>--decode</c>.</summary>
    public required double? DecodeMsPerToken { get; init; }
    public required double? BaselineDecodeMsPerToken { get; init; }

    /// <summary>Whether every run chose the baseline's first token. Expected where nothing is left out only.</summary>
    public required bool SameFirstToken { get; init; }

    /// <summary>Whether every run's logits were the baseline's, bit for bit. Expected where nothing is left out only.</summary>
    public required bool SameLogits { get; init; }

    /// <summary>The raw measurements, in the order of the pairs.</summary>
    public required IReadOnlyList<BenchSample> Samples { get; init; }
}

/// <summary>One pair.</summary>
internal sealed record BenchSample
{
    public required int Pair { get; init; }

    /// <summary>Which side ran first: <c>foretoken</c> or <c>baseline</c>.</summary>
    public required string First { get; init; }

    public required double TtftMs { get; init; }
    public required double BaselineTtftMs { get; init; }
    public required double CpuMs { get; init; }
    public required double BaselineCpuMs { get; init; }
    public required double SelectMs { get; init; }
    public required int FirstToken { get; init; }
    public required int BaselineFirstToken { get; init; }
    public required bool SameLogits { get; init; }
    public required bool? SameDecodedTokens { get; init; }
    public required IReadOnlyList<double> DecodeMs { get; init; }
    public required IReadOnlyList<double> BaselineDecodeMs { get; init; }
}

[JsonSerializable(typeof(BenchReport))]
internal sealed partial class BenchJsonContext : JsonSerializerContext
{
    internal static BenchJsonContext Readable { get; } =
        new(
            new JsonSerializerOptions
            {
                PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
                WriteIndented = true,
                // for files and terminals: no escapes for characters that only a web page would mind
                Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            }
        );
}

using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Cli.Machine;

namespace Foretoken.Cli.Bench;

/// <summary>Everything that a benchmark recorded. In JSON, names are camelCase; times are milliseconds, sizes bytes.</summary>
internal sealed record BenchReport
{
    /// <summary>What <c>--compare</c> expects; changes when the meaning of a field does.</summary>
    internal const int CurrentFormat = 2;

    public required int Format { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>False when the benchmark was stopped; what had been measured until then is here.</summary>
    public required bool IsComplete { get; init; }

    /// <summary>Why it was stopped; null when it was not.</summary>
    public required string? StoppedBecause { get; init; }

    /// <summary>What has to be known to read the numbers, for people.</summary>
    public required IReadOnlyList<string> Notes { get; init; }

    public required MachineInfo Machine { get; init; }
    public required BenchBuild Build { get; init; }
    public required BenchSettings Settings { get; init; }
    public required IReadOnlyList<BenchModel> Models { get; init; }

    /// <summary>Promises beside measurements, over all rows that ask for a speedup.</summary>
    public required PromiseSummary Promises { get; init; }

    public required BenchExactness Exactness { get; init; }
    public required IReadOnlyList<BenchRow> Rows { get; init; }

    /// <summary>Unpatched llama.cpp, by model and length.</summary>
    public required IReadOnlyList<BenchBaselineRow> Baseline { get; init; }

    /// <summary>Other programs, by length; empty when none was named.</summary>
    public required IReadOnlyList<BenchRivalRow> Rivals { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, BenchJsonContext.Readable.BenchReport);
}

/// <summary>A model that was measured.</summary>
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

    /// <summary>Tokens that both sides' contexts hold.</summary>
    public required int ContextSize { get; init; }

    /// <summary>What ranked the tokens.</summary>
    public required string Importance { get; init; }

    /// <summary>Seconds that this machine was measured for before the first round; null when it was not.</summary>
    public required double? CalibrationSeconds { get; init; }

    /// <summary>Rounds that were measured, partly or in full.</summary>
    public required IReadOnlyList<BenchRound> Rounds { get; init; }

    /// <summary>The most memory that our process had resident, mapped weights and the .NET runtime included; null where unknown.</summary>
    public required long? PeakMemoryBytes { get; init; }

    /// <summary>The same of the unpatched process.</summary>
    public required long? BaselinePeakMemoryBytes { get; init; }
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

    /// <summary>Hash of the source tree that both sides were built from, before patches.</summary>
    public required string Tree { get; init; }

    /// <summary>Version of the managed library, with its commit where the build knew it.</summary>
    public required string Version { get; init; }

    /// <summary>What the patched library says about itself.</summary>
    public required JsonElement Library { get; init; }

    /// <summary>llama.cpp's own description of the machine and the build, from the unpatched side.</summary>
    public required string BaselineSystemInfo { get; init; }
}

/// <summary>How it was measured; the same on both sides.</summary>
internal sealed record BenchSettings
{
    public required IReadOnlyList<int> Lengths { get; init; }
    public required IReadOnlyList<double> Targets { get; init; }
    public required IReadOnlyList<string> Plans { get; init; }
    public required int Pairs { get; init; }
    public required string WarmUp { get; init; }
    public required int Seed { get; init; }
    public required string Order { get; init; }
    public required int DecodeTokens { get; init; }
    public required int Threads { get; init; }
    public required int BatchSize { get; init; }
    public required int UbatchSize { get; init; }
    public required string KvCacheType { get; init; }
    public required string FlashAttention { get; init; }
    public required int GpuLayers { get; init; }

    /// <summary>Devices that computed, the CPU last.</summary>
    public required IReadOnlyList<string> Devices { get; init; }

    /// <summary>Devices that were named; none for the default ones.</summary>
    public required IReadOnlyList<string> AskedDevices { get; init; }

    /// <summary>RPC servers of the patched side.</summary>
    public required IReadOnlyList<string> RpcServers { get; init; }

    /// <summary>RPC servers of the unpatched side, on the same machines.</summary>
    public required IReadOnlyList<string> BaselineRpcServers { get; init; }
    public required double? MaxMinutes { get; init; }

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

[JsonSerializable(typeof(BenchReport))]
[JsonSerializable(typeof(BenchComparison))]
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

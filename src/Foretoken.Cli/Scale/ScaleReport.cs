using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.Cli.Scale;

/// <summary>What `foretoken scale --json` prints. Everything in it is calculated; nothing was measured.</summary>
internal sealed record ScaleReport
{
    public required IReadOnlyList<Hardware> Hardware { get; init; }

    /// <summary>Seconds that a boundary is taken to cost.</summary>
    public required double BoundarySeconds { get; init; }

    /// <summary>Tokens of every prompt that are always kept.</summary>
    public required int AlwaysKept { get; init; }
    public required IReadOnlyList<ScaleRow> Rows { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, ScaleJsonContext.Default.ScaleReport);
}

/// <summary>One model, prompt length and device.</summary>
internal sealed record ScaleRow
{
    public required string Hardware { get; init; }
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }

    /// <summary>Bytes of the weights.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Bytes of the f16 keys and values of the whole prompt.</summary>
    public required long KvBytes { get; init; }

    /// <summary>Devices of this kind that hold weights and KV cache; of several, one computes while the others wait.</summary>
    public required int Devices { get; init; }

    /// <summary>Calculated time to first token when everything is kept.</summary>
    public required double PlainTtftSeconds { get; init; }

    /// <summary>Share of the plain time that attention takes.</summary>
    public required double AttentionShare { get; init; }

    /// <summary>The largest speedup of any plan; the smallest is always 1.</summary>
    public required double ReachableSpeedup { get; init; }

    /// <summary>What keeps the fastest plan from being faster.</summary>
    public required ScaleBound Bound { get; init; }
    public required IReadOnlyList<ScalePlan> Plans { get; init; }
}

/// <summary>A plan for one target.</summary>
internal sealed record ScalePlan
{
    public required double Target { get; init; }
    public required bool IsTargetReached { get; init; }
    public required double PromisedSpeedup { get; init; }
    public required double TtftSeconds { get; init; }

    /// <summary>Boundaries as <c>layer@retention</c>; null when everything is kept.</summary>
    public required string? Plan { get; init; }

    /// <summary>Bytes of the f16 keys and values that the plan leaves in the cache.</summary>
    public required long KvBytes { get; init; }
}

/// <summary>Where the time of the fastest plan goes, and why there is no faster one.</summary>
internal sealed record ScaleBound
{
    /// <summary>Why: `schedule`, `always-kept` or `memory-bandwidth`.</summary>
    public required string Limit { get; init; }

    /// <summary>Share of its time in the layers below the first boundary, which every token runs through.</summary>
    public required double BelowFirstBoundary { get; init; }

    /// <summary>Share of its time that does not depend on the tokens: boundaries and logits.</summary>
    public required double Overheads { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ScaleReport))]
internal sealed partial class ScaleJsonContext : JsonSerializerContext;

using Foretoken.Cli.Numbers;

namespace Foretoken.Cli.Bench;

/// <summary>One prompt length with one way of prefilling it.</summary>
internal sealed record BenchRow
{
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }

    /// <summary><c>target</c>, <c>keep-all</c> or <c>plan</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The speedup that was asked for; null for a given plan.</summary>
    public required double? Target { get; init; }

    /// <summary>The plan that ran last, as <c>layer@retention</c>; null for plain prefill.</summary>
    public required string? Plan { get; init; }

    /// <summary>What the planner promised, from the prefills' own reports; the median, since plans follow what is learned meanwhile.</summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>Whether all promises rest on times measured on this machine; otherwise operations were counted.</summary>
    public required bool IsPromiseMeasured { get; init; }

    /// <summary>The largest speedup that could have been asked for with this prompt (median); null for a given plan.</summary>
    public required double? ReachableSpeedup { get; init; }

    /// <summary>Whether every promise lay between 1 and what was reachable at that moment.</summary>
    public required bool IsPromiseInRange { get; init; }

    /// <summary>Median TTFT of the baseline over the median of ours.</summary>
    public required double MeasuredSpeedup { get; init; }

    /// <summary>Smallest ratio within a pair.</summary>
    public required double MeasuredSpeedupMin { get; init; }

    /// <summary>Largest ratio within a pair.</summary>
    public required double MeasuredSpeedupMax { get; init; }

    /// <summary>95 % interval of <see cref="MeasuredSpeedup"/>; null with fewer than three rounds.</summary>
    public required IReadOnlyList<double>? MeasuredSpeedup95 { get; init; }

    /// <summary><see cref="MeasuredSpeedup"/> / <see cref="PromisedSpeedup"/> - 1.</summary>
    public required double PromiseError { get; init; }

    /// <summary>Median CPU time of the baseline over the median of ours.</summary>
    public required double MeasuredCpuSpeedup { get; init; }

    /// <summary>Median TTFT of ours over the median of the baseline: 1 / <see cref="MeasuredSpeedup"/>.</summary>
    public required double TimeRatio { get; init; }

    /// <summary>Median time to first token.</summary>
    public required double TtftMs { get; init; }

    /// <summary>Median time to first token of the baseline's runs of this length.</summary>
    public required double BaselineTtftMs { get; init; }
    public required Percentiles TtftPercentiles { get; init; }

    /// <summary>Measured runs, each paired with a run of the baseline on the same tokens in the same round.</summary>
    public required int Pairs { get; init; }

    /// <summary>Pairs during which other processes used more than a twentieth of the cores. They are counted all the same.</summary>
    public required int DisturbedPairs { get; init; }

    /// <summary>Tokens that each stage ran.</summary>
    public required IReadOnlyList<int> TokensPerStage { get; init; }

    /// <summary>First layer of each stage.</summary>
    public required IReadOnlyList<int> StageLayers { get; init; }

    /// <summary>Median time of each stage.</summary>
    public required IReadOnlyList<double> StageMs { get; init; }

    /// <summary>Median time of choosing tokens.</summary>
    public required double SelectMs { get; init; }

    /// <summary>Median time of what is neither a stage nor selection: the first token's sampling, and overheads.</summary>
    public required double FirstTokenMs { get; init; }

    /// <summary>Bytes of keys and values after the prompt.</summary>
    public required long KvBytes { get; init; }

    /// <summary>Share of the keys and values of plain prefill.</summary>
    public required double KvShare { get; init; }

    public required double CpuMs { get; init; }
    public required double BaselineCpuMs { get; init; }

    /// <summary>Median time of an output token after the prompt; null when none was decoded.</summary>
    public required double? DecodeMsPerToken { get; init; }
    public required double? BaselineDecodeMsPerToken { get; init; }

    /// <summary>Whether every run chose the baseline's first token. Expected where nothing is left out only.</summary>
    public required bool SameFirstToken { get; init; }

    /// <summary>Whether every run's logits were the baseline's, bit for bit. Expected where nothing is left out only.</summary>
    public required bool SameLogits { get; init; }

    /// <summary>Why this plan, as the prefill's report says.</summary>
    public required string Reason { get; init; }

    /// <summary>The raw measurements, in the order of the rounds.</summary>
    public required IReadOnlyList<BenchSample> Samples { get; init; }
}

/// <summary>One run of ours, with the baseline's run of the same tokens that was nearest to it in time.</summary>
internal sealed record BenchSample
{
    public required int Round { get; init; }

    /// <summary>Place of our run in its round, from 0.</summary>
    public required int Position { get; init; }

    /// <summary>Place of the baseline's run in the round.</summary>
    public required int BaselinePosition { get; init; }

    public required double PromisedSpeedup { get; init; }
    public required bool IsPromiseMeasured { get; init; }
    public required double? ReachableSpeedup { get; init; }

    /// <summary>The plan that ran; null for plain prefill.</summary>
    public required string? Plan { get; init; }

    public required double TtftMs { get; init; }
    public required double BaselineTtftMs { get; init; }
    public required double CpuMs { get; init; }
    public required double BaselineCpuMs { get; init; }
    public required IReadOnlyList<double> StageMs { get; init; }
    public required double SelectMs { get; init; }

    /// <summary>Share of the machine's cores that other processes used during our run; null when unknown.</summary>
    public required double? OtherCpuShare { get; init; }
    public required int FirstToken { get; init; }
    public required int BaselineFirstToken { get; init; }
    public required bool SameLogits { get; init; }
    public required bool? SameDecodedTokens { get; init; }
    public required IReadOnlyList<double> DecodeMs { get; init; }
    public required IReadOnlyList<double> BaselineDecodeMs { get; init; }
}

/// <summary>Unpatched llama.cpp at one prompt length.</summary>
internal sealed record BenchBaselineRow
{
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }
    public required double TtftMs { get; init; }
    public required Percentiles TtftPercentiles { get; init; }
    public required double CpuMs { get; init; }
    public required double? DecodeMsPerToken { get; init; }
    public required IReadOnlyList<BenchBaselineSample> Samples { get; init; }
}

/// <summary>One run of the baseline.</summary>
internal sealed record BenchBaselineSample
{
    public required int Round { get; init; }
    public required int Position { get; init; }
    public required double TtftMs { get; init; }
    public required double CpuMs { get; init; }
    public required double? OtherCpuShare { get; init; }
    public required int FirstToken { get; init; }
    public required IReadOnlyList<double> DecodeMs { get; init; }
}

/// <summary>Another program at one prompt length.</summary>
internal sealed record BenchRivalRow
{
    public required string Rival { get; init; }
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }

    /// <summary>Tokens of the prompt as the rival counted them (median), its chat template included; null when it did not say.</summary>
    public required double? RivalPromptTokens { get; init; }

    /// <summary>Median time to first token, by our clock.</summary>
    public required double TtftMs { get; init; }
    public required Percentiles TtftPercentiles { get; init; }

    /// <summary>Median TTFT of unpatched llama.cpp over this; null when that has no run of the length.</summary>
    public required double? SpeedupOverBaseline { get; init; }
    public required double? DecodeMsPerToken { get; init; }
    public required IReadOnlyList<BenchRivalSample> Samples { get; init; }
}

/// <summary>One run of a rival.</summary>
internal sealed record BenchRivalSample
{
    public required int Round { get; init; }
    public required int Position { get; init; }
    public required double TtftMs { get; init; }
    public required int? RivalPromptTokens { get; init; }
    public required IReadOnlyList<double> DecodeMs { get; init; }
}

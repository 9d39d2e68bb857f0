using Foretoken.Cli.Options;
using Foretoken.Sessions;
using Foretoken.Tuning;
using Foretoken.Tuning.Importance;

namespace Foretoken.Cli.Tune.Compare;

/// <summary>What <c>foretoken tune compare</c> is asked for.</summary>
internal sealed record TuneComparisonOptions
{
    /// <summary>GGUF file; null for the model of the samples.</summary>
    internal string? Model { get; init; }

    /// <summary>Numbers of prompts to learn from.</summary>
    internal IReadOnlyList<int> Counts { get; init; } = [8, 24, 80, 160];

    /// <summary>Sorts of facts in the prompts to learn from.</summary>
    internal IReadOnlyList<string> Facts { get; init; } = [.. TuneComparisonCase.Sorts.Select(sort => sort.Name)];

    /// <summary>What is learned from: the first from every number of prompts, others from the largest with facts of all kinds.</summary>
    internal IReadOnlyList<PredictorInputs> Inputs { get; init; } = [TuningOptions.DefaultInputs];

    /// <summary>Whether importances that need no training are left out.</summary>
    internal bool LearnedOnly { get; init; }

    /// <summary>Tokens of a prompt to learn from.</summary>
    internal int TuningLength { get; init; } = 640;

    /// <summary>The speedup at which all are judged.</summary>
    internal double Target { get; init; } = 2.9;

    /// <summary>Tokens of a prompt to judge on.</summary>
    internal int Length { get; init; } = 1024;

    /// <summary>Prompts to judge on, of each kind.</summary>
    internal int PromptsPerKind { get; init; } = 12;

    /// <summary>Text files; empty for those of the samples.</summary>
    internal IReadOnlyList<string> Documents { get; init; } = [];

    /// <summary>Where examples are kept between runs; null for a folder of the user's cache.</summary>
    internal string? Examples { get; init; }

    internal int Seed { get; init; } = 1;
    internal int Threads { get; init; }
    internal DeviceChoice Devices { get; init; } = new();
    internal FlashAttentionMode FlashAttention { get; init; }

    /// <summary>File for the JSON report; <c>-</c> for standard output; null for none.</summary>
    internal string? Json { get; init; }

    /// <summary>File for the page; null for none.</summary>
    internal string? Html { get; init; }
}

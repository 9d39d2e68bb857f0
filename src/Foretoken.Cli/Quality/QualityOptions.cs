using Foretoken.Cli.Options;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Quality;

/// <summary>What <c>foretoken quality</c> is asked for.</summary>
internal sealed record QualityOptions
{
    /// <summary>GGUF file; null for the model of the samples.</summary>
    internal string? Model { get; init; }

    /// <summary>As <see cref="ProfileOption"/> understands it; null for the profile beside the model.</summary>
    internal string? Profile { get; init; }

    /// <summary>Names of importances; empty for all that the model can be used with.</summary>
    internal IReadOnlyList<string> Importances { get; init; } = [];

    /// <summary>Speedups to ask for; null for the default ones, or for none beside given plans.</summary>
    internal IReadOnlyList<double>? Targets { get; init; }

    internal IReadOnlyList<PrefillPlan> Plans { get; init; } = [];

    internal IReadOnlyList<int> Lengths { get; init; } = [1024];

    /// <summary>Three prompts per kind take about five minutes with the small model on two cores: a first look, no figure to publish.</summary>
    internal int PromptsPerKind { get; init; } = 3;

    /// <summary>Kinds of generated prompts; empty for all.</summary>
    internal IReadOnlyList<string> Kinds { get; init; } = [];

    internal int Seed { get; init; } = 1;

    internal bool Blind { get; init; }

    /// <summary>Also with learned thresholds.</summary>
    internal bool Thresholds { get; init; }

    /// <summary>Text files; empty for those of the samples.</summary>
    internal IReadOnlyList<string> Documents { get; init; } = [];

    /// <summary>The caller's own prompts; null to generate some.</summary>
    internal string? Prompts { get; init; }

    /// <summary>LoRA adapters to compute with.</summary>
    internal IReadOnlyList<LoraAdapterOptions> Adapters { get; init; } = [];

    /// <summary>Whether full prefill goes without them.</summary>
    internal bool FullWithoutAdapters { get; init; }

    /// <summary>Whether quoted passages are brought back.</summary>
    internal bool RestoreQuotes { get; init; } = true;

    /// <summary>How thinned prompts are completed behind the first tokens of the answer; null for not at all.</summary>
    internal CompletionOptions? Completion { get; init; }

    /// <summary>Tokens of a summary that are forced, at most.</summary>
    internal int SummaryTokens { get; init; } = new QualityEvaluatorOptions().SummaryTokens;

    internal int Threads { get; init; }
    internal DeviceChoice Devices { get; init; } = new();
    internal FlashAttentionMode FlashAttention { get; init; }

    /// <summary>File for the JSON report; <c>-</c> for standard output; null for none.</summary>
    internal string? Json { get; init; }

    /// <summary>File for the page; null for none.</summary>
    internal string? Html { get; init; }

    internal static IReadOnlyList<double> DefaultTargets { get; } = [1.5, 2, 2.9];
}

using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Quality;
using Foretoken.Tuning;

namespace Foretoken.Cli.Tune.Compare;

/// <summary>How the quality of learned importance grows with what it was learned from. In JSON, names are camelCase.</summary>
internal sealed record TuneComparisonReport
{
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>False when the run was cancelled; what had been measured until then is here.</summary>
    public required bool IsComplete { get; init; }

    public required QualityModel Model { get; init; }
    public required MachineInfo Machine { get; init; }
    public required QualityBuild Build { get; init; }

    /// <summary>The speedup that was asked for.</summary>
    public required double Target { get; init; }

    /// <summary>Tokens of a prompt to judge on.</summary>
    public required int Length { get; init; }

    /// <summary>Tokens of a prompt to learn from.</summary>
    public required int TuningLength { get; init; }

    public required int PromptsPerKind { get; init; }
    public required int Seed { get; init; }

    /// <summary>Names of the text files that documents were cut from.</summary>
    public required IReadOnlyList<string> Documents { get; init; }

    /// <summary>The plan of the learned importances; the others follow the default schedule of their own.</summary>
    public required string Plan { get; init; }

    /// <summary>One row per importance.</summary>
    public required IReadOnlyList<TuneComparisonRow> Rows { get; init; }

    /// <summary>The raw measurements.</summary>
    public required IReadOnlyList<TuneComparisonSample> Samples { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, TuneComparisonJsonContext.Readable.TuneComparisonReport);
}

/// <summary>What one importance gave.</summary>
internal sealed record TuneComparisonRow
{
    public required string Importance { get; init; }

    /// <summary>Facts in the prompts that it was learned from, <c>digits</c>, <c>words</c> or <c>all</c>; null when it was not learned.</summary>
    public required string? Facts { get; init; }

    /// <summary>Prompts that it was learned from; null when it was not learned.</summary>
    public required int? TuningPrompts { get; init; }

    /// <summary>What it reads: <c>attention</c>, <c>attention+matches</c>, <c>residual</c>, <c>both</c>, <c>network</c> or <c>attention+network</c>; null when it was not learned.</summary>
    public required string? Inputs { get; init; }

    public required TuneComparisonAnswers Digits { get; init; }
    public required TuneComparisonAnswers Words { get; init; }

    /// <summary>Mean divergence from full prefill on summaries, nats; null when there were none.</summary>
    public required double? SummaryKl { get; init; }

    /// <summary>Median of the same; a single prompt moves the mean.</summary>
    public required double? SummaryKlMedian { get; init; }

    /// <summary>Share of the forced tokens, of all prompts, at which the most likely token is the same.</summary>
    public required double Agreement { get; init; }

    /// <summary>Our own full prefill over the thinned one, median.</summary>
    public required double MeasuredSpeedup { get; init; }

    /// <summary>What tables and plots call it, however many prompts it was learned from.</summary>
    internal string Label =>
        Facts is null ? Importance
        : Inputs == InputNames.Of(TuningOptions.DefaultInputs) ? $"learned, {Facts}"
        : $"learned, {Facts}, {Inputs}";
}

/// <summary>Questions that are answered, of those that full prefill answers, by where the question stands.</summary>
internal sealed record TuneComparisonAnswers
{
    public required int Last { get; init; }
    public required int LastByFullPrefill { get; init; }
    public required int First { get; init; }
    public required int FirstByFullPrefill { get; init; }

    /// <summary>Share that is answered, 0 to 1; null when full prefill answers none.</summary>
    public double? Share =>
        LastByFullPrefill + FirstByFullPrefill == 0
            ? null
            : (Last + First) / (double)(LastByFullPrefill + FirstByFullPrefill);

    public override string ToString() =>
        FormattableString.Invariant($"{Last}/{LastByFullPrefill} {First}/{FirstByFullPrefill}");
}

/// <summary>One prompt, thinned by one importance.</summary>
internal sealed record TuneComparisonSample
{
    public required string Prompt { get; init; }
    public required string Kind { get; init; }

    /// <summary>Form of the fact that is asked for, <c>digits</c> or <c>words</c>; null when none is.</summary>
    public required string? Fact { get; init; }
    public required string Importance { get; init; }
    public required double FullPrefillMs { get; init; }
    public required double PrefillMs { get; init; }
    public required double KeptShare { get; init; }
    public required double Kl { get; init; }
    public required double Agreement { get; init; }
    public required bool? AnsweredByFullPrefill { get; init; }
    public required bool? Answered { get; init; }
}

[JsonSerializable(typeof(TuneComparisonReport))]
internal sealed partial class TuneComparisonJsonContext : JsonSerializerContext
{
    internal static TuneComparisonJsonContext Readable { get; } =
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

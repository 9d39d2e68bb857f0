using Foretoken.Cli.Plan;
using Foretoken.Tuning.Quality;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Quality;

/// <summary>One importance at one target and length, all kinds of prompts side by side: a line of the table, a point of the plot.</summary>
internal sealed record QualityLine
{
    internal required string Importance { get; init; }

    /// <summary>What was asked for, for people: <c>2x</c> or a plan.</summary>
    internal required string Asked { get; init; }

    /// <summary>The length that was asked for; 0 for the caller's own prompts.</summary>
    internal required int Length { get; init; }

    /// <summary>Median over the prompts of all kinds, against our own full prefill.</summary>
    internal required double MeasuredSpeedup { get; init; }
    internal required double PromisedSpeedup { get; init; }

    /// <summary>As <see cref="QualityRow.DecodeTimeRatio"/>, over the prompts of all kinds.</summary>
    internal required double? DecodeTimeRatio { get; init; }
    internal required double KeptShare { get; init; }
    internal required double Agreement { get; init; }

    /// <summary>The rows, by kind.</summary>
    internal required IReadOnlyDictionary<string, QualityRow> Kinds { get; init; }

    /// <summary>Retrieval prompts that are answered; those whose question comes in the next turn are another matter.</summary>
    internal int Answered => Known.Sum(row => row.Answered ?? 0);

    /// <summary>Retrieval prompts that full prefill answers; likewise.</summary>
    internal int AnsweredByFullPrefill => Known.Sum(row => row.AnsweredByFullPrefill ?? 0);

    private IEnumerable<QualityRow> Known => Kinds.Values.Where(row => row.Kind != "retrieval-blind");

    internal static IReadOnlyList<QualityLine> From(IEnumerable<QualitySample> samples) =>
        [
            .. Group(samples)
                .Select(group => new QualityLine
                {
                    Importance = group.Key.Importance,
                    Asked = AskedOf(group.Key),
                    Length = group.Key.Length,
                    MeasuredSpeedup = QualityTable.Median(
                        group.Select(sample => sample.FullPrefillMs / sample.PrefillMs)
                    ),
                    PromisedSpeedup = QualityTable.Median(group.Select(sample => sample.PromisedSpeedup)),
                    DecodeTimeRatio = QualityTable.DecodeTimeRatio(group),
                    KeptShare = group.Average(sample => sample.KeptShare),
                    Agreement = group.Average(sample => sample.Agreement),
                    Kinds = QualityTable.Summarize(group).ToDictionary(row => row.Kind),
                }),
        ];

    /// <summary>The samples of each line, in the order of their first ones.</summary>
    internal static IEnumerable<
        IGrouping<(int Length, string Importance, double Target, string? Plan), QualitySample>
    > Group(IEnumerable<QualitySample> samples) =>
        samples.GroupBy(sample =>
            (
                sample.Length,
                sample.Importance,
                // a given plan promises a little more or less with every prompt
                Target: sample.GivenPlan is null ? sample.Target : 0,
                Plan: sample.GivenPlan is { } plan ? PlanText.Format(plan) : null
            )
        );

    /// <summary>As <see cref="Asked"/>, of a group of samples.</summary>
    internal static string AskedOf((int Length, string Importance, double Target, string? Plan) key) =>
        key.Plan ?? I($"{key.Target:0.##}x");

    /// <summary>The kinds of prompts that any line has, in a fixed order.</summary>
    internal static IReadOnlyList<string> KindsOf(IReadOnlyList<QualityLine> lines) =>
        [.. KindOrder.Where(kind => lines.Any(line => line.Kinds.ContainsKey(kind)))];

    private static readonly string[] KindOrder =
    [
        "retrieval-last",
        "retrieval-first",
        "retrieval-blind",
        "summary",
        "summary-blind",
        "continuation",
        "conversation",
    ];

    /// <summary>The number that a kind is judged by: answered of those that full prefill answers, or the divergence.</summary>
    internal string Cell(string kind) =>
        Kinds.GetValueOrDefault(kind) switch
        {
            null => "",
            { Answered: { } answered, AnsweredByFullPrefill: { } full } => I($"{answered}/{full}"),
            QualityRow row => I($"{row.Kl:0.000}"),
        };

    /// <summary>Time of an output token beside that behind full prefill; empty when none was decoded.</summary>
    internal string DecodeCell => DecodeTimeRatio is { } ratio ? I($"{100 * ratio:0} %") : "";

    /// <summary>Headings of what every table says of a line, behind what tells it from others.</summary>
    /// <param name="kinds">As <see cref="KindsOf"/> gives them.</param>
    internal static IReadOnlyList<string> Headings(IReadOnlyList<string> kinds) =>
        ["asked", "promised", "measured", "per token", "kept", .. kinds.Select(Heading), "same token"];

    /// <summary>What stands below <see cref="Headings"/>.</summary>
    /// <param name="kinds">The same.</param>
    internal IReadOnlyList<string> Cells(IReadOnlyList<string> kinds) =>
        [
            Asked,
            I($"{PromisedSpeedup:0.00}x"),
            I($"{MeasuredSpeedup:0.00}x"),
            DecodeCell,
            I($"{100 * KeptShare:0} %"),
            .. kinds.Select(Cell),
            I($"{100 * Agreement:0} %"),
        ];

    /// <summary>A kind as a heading.</summary>
    internal static string Heading(string kind) =>
        kind switch
        {
            "retrieval-last" => "question last",
            "retrieval-first" => "question first",
            "retrieval-blind" => "next turn",
            "summary" => "summary KL",
            "summary-blind" => "next-turn KL",
            _ => $"{kind} KL",
        };
}

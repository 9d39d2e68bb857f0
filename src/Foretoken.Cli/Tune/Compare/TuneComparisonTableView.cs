using Spectre.Console;
using Spectre.Console.Rendering;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Tune.Compare;

/// <summary>The report for people at a terminal.</summary>
internal static class TuneComparisonTableView
{
    internal static string[] Headings { get; } =
    [
        "importance",
        "prompts learned from",
        "digits: last, first",
        "words: last, first",
        "summary KL",
        "median",
        "same token",
        "measured",
    ];

    internal const string Legend =
        "Learned: from the attention of the lower layers and what the prompt's ends repeat, unless something else is named. Answers: of the questions that full prefill answers, with the question last and first, for facts of digits and of words. KL: divergence from full prefill over its own answer's tokens, nats. Measured: our own full prefill / thinned prefill (median).";

    internal static IRenderable Render(TuneComparisonReport report)
    {
        Table table = new Table().Border(TableBorder.Simple);
        foreach (string heading in Headings)
        {
            table.AddColumn(
                heading == Headings[0]
                    ? new TableColumn(heading).NoWrap()
                    : new TableColumn(heading).RightAligned().NoWrap()
            );
        }

        foreach (TuneComparisonRow row in report.Rows)
        {
            table.AddRow([.. Cells(row).Select(cell => new Text(cell))]);
        }

        return new Rows(
            new Text(
                I(
                    $"{report.Model.Name}, {report.Machine.Cpu}; asked for {report.Target:0.##}x with {report.Length} tokens; "
                )
                    + I($"learned importances: {report.Plan}, tuned with {report.TuningLength} tokens; ")
                    + I($"{report.PromptsPerKind} prompts of each kind from {string.Join(", ", report.Documents)}")
            ),
            table,
            new Text(Legend)
        );
    }

    internal static IEnumerable<string> Cells(TuneComparisonRow row) =>
        [
            row.Label,
            row.TuningPrompts is { } prompts ? I($"{prompts}") : "",
            row.Digits.ToString(),
            row.Words.ToString(),
            row.SummaryKl is { } kl ? I($"{kl:0.000}") : "",
            row.SummaryKlMedian is { } median ? I($"{median:0.000}") : "",
            I($"{100 * row.Agreement:0} %"),
            I($"{row.MeasuredSpeedup:0.00}x"),
        ];
}

using Foretoken.Cli.Options;
using Foretoken.Tuning.Quality;
using Spectre.Console;
using Spectre.Console.Rendering;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Quality;

/// <summary>The report for people at a terminal.</summary>
internal static class QualityTableView
{
    internal static IRenderable Render(
        QualityReport report,
        IReadOnlyList<QualityLine> lines,
        IReadOnlyList<QualitySample>? samples = null
    )
    {
        IReadOnlyList<string> kinds = QualityLine.KindsOf(lines);
        bool severalLengths = lines.Select(line => line.Length).Distinct().Count() > 1;
        Table table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("importance").NoWrap());
        if (severalLengths)
        {
            table.AddColumn(new TableColumn("prompt").RightAligned().NoWrap());
        }

        foreach (string column in QualityLine.Headings(kinds))
        {
            table.AddColumn(new TableColumn(column).RightAligned().NoWrap());
        }

        string? before = null;
        foreach (QualityLine line in lines)
        {
            List<string> cells = [line.Importance == before ? "" : line.Importance];
            before = line.Importance;
            if (severalLengths)
            {
                cells.Add(I($"{line.Length}"));
            }

            cells.AddRange(line.Cells(kinds));
            table.AddRow([.. cells.Select(cell => new Text(cell))]);
        }

        return new Rows(
            new Text(
                I($"{report.Model.Name} ({report.Model.Description}), {report.Machine.Cpu}, {Threads(report)}; ")
                    + Prompts(report)
            ),
            table,
            new Text(Legend),
            ArrivalTable.Render(samples ?? []) ?? new Text("")
        );
    }

    internal static string Threads(QualityReport report) =>
        report.Settings.Threads == 1 ? "1 thread" : I($"{report.Settings.Threads} threads");

    internal static string Prompts(QualityReport report)
    {
        IEnumerable<string> kinds = report
            .Prompts.GroupBy(prompt => prompt.Kind)
            .Select(group => I($"{group.Count()} {group.Key}"));
        string from = report.Settings.PromptFile ?? string.Join(", ", report.Settings.Documents);
        string with =
            AdapterText.With(report.Settings.Adapters.Select(adapter => (adapter.Name, adapter.Scale)))
            + (report.Settings.FullWithoutAdapters ? ", full prefill without" : "");
        with += report.Settings.Completion is { } completion
            ? I($", completed ({completion.Grade}) by output token {completion.ByOutputToken}")
            : "";
        with += report.Settings.RestoreQuotes ? "" : ", without bringing quoted passages back";
        return $"prompts: {string.Join(", ", kinds)}, from {from}{with}"
            + (report.Settings.PromptFile is null ? I($", seed {report.Settings.Seed}") : "");
    }

    internal const string Legend =
        "Questions: answered, of those that full prefill answers. KL: divergence from full prefill over its own answer's tokens, nats. "
        + "Measured: our own full prefill / thinned prefill, same prompt, same run (median); per token: time of an output token, thinned / full (median), bringing quoted passages back included; 'bench' compares with unpatched llama.cpp.";
}

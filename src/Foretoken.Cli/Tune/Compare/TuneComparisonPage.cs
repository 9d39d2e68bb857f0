using Foretoken.Cli.Pages;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Tune.Compare;

/// <summary>The report as one self-contained page: plots of quality against the prompts learned from, and the table.</summary>
internal static class TuneComparisonPage
{
    private const int PanelWidth = 400;
    private const int PanelHeight = 260;
    private const int Left = 56;
    private const int Top = 48;
    private const int Gap = 76;
    private const int Bottom = 56;
    private const int LegendRow = 24;
    private const int PerLegendRow = 3;

    internal static string Render(TuneComparisonReport report)
    {
        HtmlPage page = new($"What learning importance from more prompts brings: {report.Model.Name}");
        page.Paragraph(
            I(
                $"{report.Model.Description}, {report.Model.Layers} layers; {report.Machine.Cpu}; llama.cpp {report.Build.LlamaRelease}, patches {report.Build.PatchHash}; {report.CreatedAt:yyyy-MM-dd}"
            )
        );
        page.Paragraph(
            I(
                $"A speedup of {report.Target:0.##} was asked for. Judged with {report.PromptsPerKind} prompts of {report.Length} tokens of each kind: question behind the document, question in front of it, summary; documents, wordings and kinds of facts are others than those learned from. Learned from prompts of {report.TuningLength} tokens whose facts are digits, words, or of all kinds, and used with the plan {report.Plan}. Dashed: importances that need no training, with the default schedule."
            )
        );
        if (!report.IsComplete)
        {
            page.Warning("The run was cancelled; this is what it had measured.");
        }

        page.Plot(Plot(report));
        page.Paragraph(TuneComparisonTableView.Legend);
        page.Table(TuneComparisonTableView.Headings, report.Rows.Select(TuneComparisonTableView.Cells));
        return page.ToString();
    }

    private static SvgPlot Plot(TuneComparisonReport report)
    {
        string[] series = [.. report.Rows.Select(row => row.Label).Distinct()];
        int rowHeight = Top + PanelHeight + Bottom;
        int width = Left + PanelWidth + Gap + PanelWidth + 24;
        SvgPlot plot = new(
            "comparison-title",
            "Questions answered and divergence against the number of prompts learned from, one line per sort of facts",
            width,
            (2 * rowHeight) + 12 + (LegendRow * ((series.Length + PerLegendRow - 1) / PerLegendRow))
        );
        int[] counts = [.. report.Rows.Select(row => row.TuningPrompts).OfType<int>().Distinct().Order()];
        double klHigh = 1.06 * report.Rows.Max(row => Math.Max(row.SummaryKl ?? 0, row.SummaryKlMedian ?? 0.05));
        (string Title, Func<TuneComparisonRow, double?> Value, bool IsShare)[] panels =
        [
            ("Facts of digits answered, of those that full prefill answers", row => row.Digits.Share, true),
            ("Facts of words answered, of those that full prefill answers", row => row.Words.Share, true),
            ("KL divergence on summaries, mean (nats; lower is better)", row => row.SummaryKl, false),
            ("KL divergence on summaries, median (nats)", row => row.SummaryKlMedian, false),
        ];
        for (int panel = 0; panel < panels.Length; panel++)
        {
            (string title, Func<TuneComparisonRow, double?> value, bool isShare) = panels[panel];
            double left = Left + (panel % 2 * (PanelWidth + Gap));
            double top = Top + (panel / 2 * rowHeight);
            PlotScale x = new(
                0.8 * counts.DefaultIfEmpty(1).Min(),
                1.25 * counts.DefaultIfEmpty(2).Max(),
                left,
                left + PanelWidth,
                IsLogarithmic: true
            );
            PlotScale y = new(0, isShare ? 1 : klHigh, top + PanelHeight, top);
            plot.Axes(
                title,
                new PlotAxis(
                    x,
                    "prompts learned from",
                    [.. counts.Select(count => (double)count)],
                    tick => I($"{tick:0}")
                ),
                new PlotAxis(y, "", [.. y.Ticks(5)], tick => isShare ? I($"{100 * tick:0} %") : I($"{tick:0.##}"))
            );
            for (int i = 0; i < series.Length; i++)
            {
                TuneComparisonRow[] rows =
                [
                    .. report.Rows.Where(row => row.Label == series[i] && value(row) is not null),
                ];
                if (rows.Length == 0)
                {
                    continue;
                }

                // without training, the number of prompts does not matter: a level line
                bool isLevel = rows[0].TuningPrompts is null;
                PlotPoint[] points = isLevel
                    ? [.. ((double[])[x.Low, x.High]).Select(at => Point(at, rows[0], value))]
                    : [.. rows.Select(row => Point(row.TuningPrompts!.Value, row, value))];
                plot.Line(i, x, y, points, isDashed: isLevel);
            }
        }

        for (int i = 0; i < series.Length; i++)
        {
            plot.Legend(
                i,
                Left + (i % PerLegendRow * ((width - Left) / (double)PerLegendRow)),
                (2 * rowHeight) + 16 + (LegendRow * (i / PerLegendRow)),
                series[i],
                isDashed: report.Rows.First(row => row.Label == series[i]).TuningPrompts is null
            );
        }

        return plot;
    }

    private static PlotPoint Point(double at, TuneComparisonRow row, Func<TuneComparisonRow, double?> value) =>
        new(at, value(row)!.Value, I($"{row.Importance}: {value(row):0.###}, measured {row.MeasuredSpeedup:0.00}x"));
}

using Foretoken.Cli.Pages;
using Foretoken.Tuning.Quality;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Quality;

/// <summary>The report as one self-contained page: a plot of quality against measured speedup, and the tables.</summary>
internal static class QualityPage
{
    private const int PanelWidth = 400;
    private const int PanelHeight = 280;
    private const int Left = 56;
    private const int Top = 48;
    private const int Gap = 76;
    private const int Bottom = 56;

    internal static string Render(QualityReport report, IReadOnlyList<QualityLine> lines)
    {
        HtmlPage page = new($"Quality beside speed: {report.Model.Name}");
        page.Paragraph(
            I(
                $"{report.Model.Description}, {report.Model.Layers} layers; {report.Machine.Cpu}, {QualityTableView.Threads(report)}; llama.cpp {report.Build.LlamaRelease}, patches {report.Build.PatchHash}; {report.CreatedAt:yyyy-MM-dd}"
            )
        );
        page.Paragraph(Capital(QualityTableView.Prompts(report)) + ".");
        if (!report.IsComplete)
        {
            page.Warning("The run was cancelled; this is what it had measured.");
        }

        page.Markup(
            "The speedup is measured: the time of our own full prefill divided by that of the thinned prefill, of the same prompt in the same run (median). It is not a comparison with unpatched llama.cpp; <code>foretoken bench</code> makes that one."
        );
        page.Plot(Plot(lines));
        AppendTable(page, lines);
        AppendRows(page, report);
        return page.ToString();
    }

    private static SvgPlot Plot(IReadOnlyList<QualityLine> lines)
    {
        string[] importances = [.. lines.Select(line => line.Importance).Distinct()];
        int[] lengths = [.. lines.Select(line => line.Length).Distinct()];
        int rowHeight = Top + PanelHeight + Bottom;
        int legendTop = rowHeight * lengths.Length;
        const int PerLegendRow = 3;
        int width = Left + PanelWidth + Gap + PanelWidth + 24;
        SvgPlot plot = new(
            "plot-title",
            "Quality against measured speedup, one line per importance",
            width,
            legendTop + 12 + (24 * ((importances.Length + PerLegendRow - 1) / PerLegendRow))
        );

        // one scale for all rows, so that lengths can be compared
        (double speedLow, double speedHigh) = (
            Math.Min(1, lines.Min(line => line.MeasuredSpeedup)),
            Math.Max(1.5, lines.Max(line => line.MeasuredSpeedup)) * 1.04
        );
        double klHigh = Math.Max(0.05, lines.Select(Kl).OfType<double>().DefaultIfEmpty(0).Max()) * 1.06;
        for (int row = 0; row < lengths.Length; row++)
        {
            QualityLine[] here = [.. lines.Where(line => line.Length == lengths[row])];
            string suffix = lengths.Length > 1 ? I($", {lengths[row]} tokens") : "";
            PlotScale x = new(speedLow, speedHigh, Left, Left + PanelWidth);
            int top = (row * rowHeight) + Top;
            Panel(
                plot,
                $"Questions answered, of those that full prefill answers{suffix}",
                x,
                new PlotScale(0, 1, top + PanelHeight, top),
                value => I($"{100 * value:0} %"),
                here,
                importances,
                line => line.AnsweredByFullPrefill == 0 ? null : (double)line.Answered / line.AnsweredByFullPrefill
            );
            Panel(
                plot,
                $"{KlTitle(here)}{suffix}",
                x with
                {
                    From = Left + PanelWidth + Gap,
                    To = Left + PanelWidth + Gap + PanelWidth,
                },
                new PlotScale(0, klHigh, top + PanelHeight, top),
                value => I($"{value:0.##}"),
                here,
                importances,
                Kl
            );
        }

        for (int i = 0; i < importances.Length; i++)
        {
            plot.Legend(
                i,
                Left + (i % PerLegendRow * ((width - Left) / (double)PerLegendRow)),
                legendTop + 16 + (24 * (i / PerLegendRow)),
                importances[i]
            );
        }

        return plot;
    }

    // summaries where there are any: their answers draw on the whole document
    private static double? Kl(QualityLine line) =>
        line.Kinds.TryGetValue("summary", out QualityRow? summary) ? summary.Kl
        : line.Kinds.Count > 0 ? line.Kinds.Values.Average(row => row.Kl)
        : null;

    private static string KlTitle(QualityLine[] lines) =>
        lines.Any(line => line.Kinds.ContainsKey("summary"))
            ? "KL divergence on summaries (nats; lower is better)"
            : "KL divergence, all prompts (nats; lower is better)";

    private static void Panel(
        SvgPlot plot,
        string title,
        PlotScale x,
        PlotScale y,
        Func<double, string> label,
        QualityLine[] lines,
        string[] importances,
        Func<QualityLine, double?> value
    )
    {
        plot.Axes(
            title,
            new PlotAxis(x, "measured speedup of the prefill", [.. x.Ticks(6)], tick => I($"{tick:0.##}x")),
            new PlotAxis(y, "", [.. y.Ticks(5)], label)
        );
        if (!lines.Any(line => value(line) is not null))
        {
            plot.Text("tick", (x.From + x.To) / 2, (y.From + y.To) / 2, "no prompt of this sort", "middle");
        }

        for (int i = 0; i < importances.Length; i++)
        {
            PlotPoint[] points =
            [
                .. lines
                    .Where(line => line.Importance == importances[i])
                    .Select(line => (line, Value: value(line)))
                    .Where(point => point.Value is not null)
                    .OrderBy(point => point.line.MeasuredSpeedup)
                    .Select(point => new PlotPoint(
                        point.line.MeasuredSpeedup,
                        point.Value!.Value,
                        I(
                            $"{point.line.Importance}, asked for {point.line.Asked}: measured {point.line.MeasuredSpeedup:0.00}x, {label(point.Value.Value)}"
                        )
                    )),
            ];
            if (points.Length > 0)
            {
                plot.Line(i, x, y, points);
            }
        }
    }

    private static void AppendTable(HtmlPage page, IReadOnlyList<QualityLine> lines)
    {
        IReadOnlyList<string> kinds = QualityLine.KindsOf(lines);
        page.Heading("Side by side");
        page.Paragraph(
            "Questions: answered, of those that full prefill answers. KL: mean divergence from full prefill over the tokens of its own answer, in nats. Per token: the time of an output token beside that behind full prefill (median). Same token: how often the most likely next token is the same."
        );
        page.Table(
            ["importance", "prompt", .. QualityLine.Headings(kinds)],
            lines.Select(line =>
                (string[])[line.Importance, line.Length > 0 ? I($"{line.Length}") : "own", .. line.Cells(kinds)]
            )
        );
    }

    private static void AppendRows(HtmlPage page, QualityReport report)
    {
        page.Heading("By kind of prompt");
        page.Table(
            [
                "importance",
                "kind",
                "length",
                "asked",
                "prompts",
                "full prefill answers",
                "answered",
                "KL",
                "same token",
                "measured",
                "kept",
            ],
            report.Rows.Select(row =>
                (string[])
                    [
                        row.Importance,
                        row.Kind,
                        I($"{row.Length}"),
                        row.Plan ?? I($"{row.Target:0.##}x"),
                        I($"{row.Prompts}"),
                        row.AnsweredByFullPrefill is { } full ? I($"{full}") : "",
                        row.Answered is { } answered ? I($"{answered}") : "",
                        I($"{row.Kl:0.0000}"),
                        I($"{100 * row.Agreement:0.0} %"),
                        I($"{row.MeasuredSpeedup:0.00}x"),
                        I($"{100 * row.KeptShare:0.0} %"),
                    ]
            )
        );
    }

    private static string Capital(string text) => char.ToUpperInvariant(text[0]) + text[1..];
}

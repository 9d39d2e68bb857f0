using System.Globalization;
using System.Net;
using System.Text;

namespace Foretoken.Cli.Quality;

/// <summary>The report as one self-contained page: a plot of quality against measured speedup, and the tables. Well-formed XML.</summary>
internal static class QualityPage
{
    private const int PanelWidth = 400;
    private const int PanelHeight = 280;
    private const int Left = 56;
    private const int Top = 48;
    private const int Gap = 76;
    private const int Bottom = 56;
    private const int SeriesStyles = 8;

    internal static string Render(QualityReport report, IReadOnlyList<QualityLine> lines)
    {
        StringBuilder page = new();
        string title = $"Quality beside speed: {report.Model.Name}";
        page.Append(
            $"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <title>{E(title)}</title>
            <style>
            {Style}
            </style>
            </head>
            <body>
            <h1>{E(title)}</h1>
            <p>{E(report.Model.Description)}, {E(I($"{report.Model.Layers} layers"))}; {E(report.Machine.Cpu)}, {E(QualityTableView.Threads(report))}; llama.cpp {E(report.Build.LlamaRelease)}, patches {E(report.Build.PatchHash)}; {E(
                I($"{report.CreatedAt:yyyy-MM-dd}")
            )}</p>
            <p>{E(Capital(QualityTableView.Prompts(report)))}.{(
                report.IsComplete ? "" : " <strong>The run was cancelled; this is what it had measured.</strong>"
            )}</p>
            <p>The speedup is measured: the time of our own full prefill divided by that of the thinned prefill, of the same prompt in the same run (median). It is not a comparison with unpatched llama.cpp; <code>foretoken bench</code> makes that one.</p>

            """
        );
        AppendPlot(page, lines);
        AppendTable(page, lines);
        AppendRows(page, report);
        page.Append("</body>\n</html>\n");
        return page.ToString();
    }

    private static void AppendPlot(StringBuilder page, IReadOnlyList<QualityLine> lines)
    {
        string[] importances = [.. lines.Select(line => line.Importance).Distinct()];
        int[] lengths = [.. lines.Select(line => line.Length).Distinct()];
        int rowHeight = Top + PanelHeight + Bottom;
        int legendTop = rowHeight * lengths.Length;
        const int PerLegendRow = 3;
        int width = Left + PanelWidth + Gap + PanelWidth + 24;
        int height = legendTop + 12 + (24 * ((importances.Length + PerLegendRow - 1) / PerLegendRow));
        page.Append(
            I(
                $"""<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="plot-title"><title id="plot-title">Quality against measured speedup, one line per importance</title>"""
            )
        );
        page.Append('\n');

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
            Scale x = new(speedLow, speedHigh, Left, Left + PanelWidth);
            int top = (row * rowHeight) + Top;
            Panel(
                page,
                $"Questions answered, of those that full prefill answers{suffix}",
                x,
                new Scale(0, 1, top + PanelHeight, top),
                value => I($"{100 * value:0} %"),
                here,
                importances,
                line => line.AnsweredByFullPrefill == 0 ? null : (double)line.Answered / line.AnsweredByFullPrefill
            );
            Panel(
                page,
                $"{KlTitle(here)}{suffix}",
                new Scale(speedLow, speedHigh, Left + PanelWidth + Gap, Left + PanelWidth + Gap + PanelWidth),
                new Scale(0, klHigh, top + PanelHeight, top),
                value => I($"{value:0.##}"),
                here,
                importances,
                Kl
            );
        }

        for (int i = 0; i < importances.Length; i++)
        {
            double x = Left + (i % PerLegendRow * ((width - Left) / (double)PerLegendRow));
            double y = legendTop + 16 + (24 * (i / PerLegendRow));
            page.Append(
                I(
                    $"""<g class="s{i % SeriesStyles}"><line x1="{x:0.#}" x2="{x + 28:0.#}" y1="{y:0.#}" y2="{y:0.#}"/><path class="mark" d="{Mark(i, x + 14, y)}"/></g><text class="legend" x="{x + 36:0.#}" y="{y + 5:0.#}">{E(importances[i])}</text>"""
                )
            );
            page.Append('\n');
        }

        page.Append("</svg>\n");
    }

    // summaries where there are any: their answers draw on the whole document
    private static double? Kl(QualityLine line) =>
        line.Kinds.TryGetValue("summary", out Foretoken.Tuning.QualityRow? summary) ? summary.Kl
        : line.Kinds.Count > 0 ? line.Kinds.Values.Average(row => row.Kl)
        : null;

    private static string KlTitle(QualityLine[] lines) =>
        lines.Any(line => line.Kinds.ContainsKey("summary"))
            ? "KL divergence on summaries (nats; lower is better)"
            : "KL divergence, all prompts (nats; lower is better)";

    private static void Panel(
        StringBuilder page,
        string title,
        Scale x,
        Scale y,
        Func<double, string> label,
        QualityLine[] lines,
        string[] importances,
        Func<QualityLine, double?> value
    )
    {
        page.Append(I($"""<text class="title" x="{x.From:0.#}" y="{y.To - 16:0.#}">{E(title)}</text>"""));
        page.Append('\n');
        foreach (double tick in y.Ticks(5))
        {
            page.Append(
                I(
                    $"""<line class="grid" x1="{x.From:0.#}" x2="{x.To:0.#}" y1="{y[tick]:0.#}" y2="{y[tick]:0.#}"/><text class="tick" text-anchor="end" x="{x.From - 8:0.#}" y="{y[tick] + 4:0.#}">{E(label(tick))}</text>"""
                )
            );
        }

        foreach (double tick in x.Ticks(6))
        {
            page.Append(
                I(
                    $"""<line class="grid" x1="{x[tick]:0.#}" x2="{x[tick]:0.#}" y1="{y.From:0.#}" y2="{y.To:0.#}"/><text class="tick" text-anchor="middle" x="{x[tick]:0.#}" y="{y.From + 18:0.#}">{E(I($"{tick:0.##}x"))}</text>"""
                )
            );
        }

        page.Append(
            I(
                $"""<text class="tick" text-anchor="middle" x="{(x.From + x.To) / 2:0.#}" y="{y.From + 38:0.#}">measured speedup of the prefill</text>"""
            )
        );
        page.Append('\n');
        if (!lines.Any(line => value(line) is not null))
        {
            page.Append(
                I(
                    $"""<text class="tick" text-anchor="middle" x="{(x.From + x.To) / 2:0.#}" y="{(y.From + y.To) / 2:0.#}">no prompt of this sort</text>"""
                )
            );
        }

        for (int i = 0; i < importances.Length; i++)
        {
            (QualityLine Line, double Value)[] points =
            [
                .. lines
                    .Where(line => line.Importance == importances[i])
                    .Select(line => (line, Value: value(line)))
                    .Where(point => point.Value is not null)
                    .Select(point => (point.line, point.Value!.Value))
                    .OrderBy(point => point.line.MeasuredSpeedup),
            ];
            if (points.Length == 0)
            {
                continue;
            }

            page.Append(I($"""<g class="s{i % SeriesStyles}">"""));
            if (points.Length > 1)
            {
                string path = string.Join(
                    ' ',
                    points.Select(point => I($"{x[point.Line.MeasuredSpeedup]:0.#},{y[point.Value]:0.#}"))
                );
                page.Append($"""<polyline points="{path}"/>""");
            }

            foreach ((QualityLine line, double at) in points)
            {
                page.Append(
                    I(
                        $"""<path class="mark" d="{Mark(i, x[line.MeasuredSpeedup], y[at])}"><title>{E(line.Importance)}, asked for {E(line.Asked)}: measured {E(I($"{line.MeasuredSpeedup:0.00}x"))}, {E(label(at))}</title></path>"""
                    )
                );
            }

            page.Append("</g>\n");
        }
    }

    // shapes as well as colours, for those who do not tell the colours apart
    private static string Mark(int series, double x, double y) =>
        (series % 5) switch
        {
            0 => I($"M{x - 5:0.#} {y:0.#}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"),
            1 => I($"M{x - 4.5:0.#} {y - 4.5:0.#}h9v9h-9z"),
            2 => I($"M{x:0.#} {y - 6:0.#}l5.5 10h-11z"),
            3 => I($"M{x:0.#} {y - 6:0.#}l6 6l-6 6l-6 -6z"),
            _ => I($"M{x:0.#} {y + 6:0.#}l5.5 -10h-11z"),
        };

    private static void AppendTable(StringBuilder page, IReadOnlyList<QualityLine> lines)
    {
        IReadOnlyList<string> kinds = QualityLine.KindsOf(lines);
        page.Append(
            "<h2>Side by side</h2>\n<p>Questions: answered, of those that full prefill answers. KL: mean divergence from full prefill over the tokens of its own answer, in nats. Same token: how often the most likely next token is the same.</p>\n<div class=\"scroll\"><table>\n<thead><tr>"
        );
        Headings(
            page,
            [
                "importance",
                "prompt",
                "asked",
                "promised",
                "measured",
                "kept",
                .. kinds.Select(QualityLine.Heading),
                "same token",
            ]
        );
        page.Append("</tr></thead>\n<tbody>\n");
        foreach (QualityLine line in lines)
        {
            Cells(
                page,
                [
                    line.Importance,
                    line.Length > 0 ? I($"{line.Length}") : "own",
                    line.Asked,
                    I($"{line.PromisedSpeedup:0.00}x"),
                    I($"{line.MeasuredSpeedup:0.00}x"),
                    I($"{100 * line.KeptShare:0} %"),
                    .. kinds.Select(line.Cell),
                    I($"{100 * line.Agreement:0} %"),
                ]
            );
        }

        page.Append("</tbody>\n</table></div>\n");
    }

    private static void AppendRows(StringBuilder page, QualityReport report)
    {
        page.Append("<h2>By kind of prompt</h2>\n<div class=\"scroll\"><table>\n<thead><tr>");
        Headings(
            page,
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
            ]
        );
        page.Append("</tr></thead>\n<tbody>\n");
        foreach (Foretoken.Tuning.QualityRow row in report.Rows)
        {
            Cells(
                page,
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
            );
        }

        page.Append("</tbody>\n</table></div>\n");
    }

    private static void Headings(StringBuilder page, IEnumerable<string> headings)
    {
        foreach (string heading in headings)
        {
            page.Append("<th scope=\"col\">").Append(E(heading)).Append("</th>");
        }
    }

    private static void Cells(StringBuilder page, IEnumerable<string> cells)
    {
        page.Append("<tr>");
        foreach (string cell in cells)
        {
            page.Append("<td>").Append(E(cell)).Append("</td>");
        }

        page.Append("</tr>\n");
    }

    private static string E(string text) => WebUtility.HtmlEncode(text);

    private static string I(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Capital(string text) => char.ToUpperInvariant(text[0]) + text[1..];

    private const string Style = """
        :root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2430; --faint: #667085; --line: #d9dee6; --stripe: #f5f7fa;
          --s0: #0063a5; --s1: #c44e00; --s2: #007a58; --s3: #a83f7f; --s4: #9a6a00; --s5: #4b6bd6; --s6: #5d5d5d; --s7: #b3261e; }
        @media (prefers-color-scheme: dark) {
          :root { --paper: #14181f; --ink: #e6eaf0; --faint: #98a2b3; --line: #333c49; --stripe: #1b2029;
            --s0: #5bb4f0; --s1: #ff9a52; --s2: #4fd0a5; --s3: #f09acb; --s4: #eec04a; --s5: #9db2ff; --s6: #c4c4c4; --s7: #ff8a80; } }
        body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
          font: 1rem/1.5 system-ui, sans-serif; }
        h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
        svg { width: 100%; height: auto; }
        svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
        svg .title { font-weight: 600; } svg .tick { fill: var(--faint); font-size: 12px; }
        svg .grid { stroke: var(--line); stroke-width: 1; }
        svg g line, svg g polyline { fill: none; stroke: currentColor; stroke-width: 2; }
        svg .mark { fill: currentColor; stroke: var(--paper); stroke-width: 1; }
        .s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); } .s3 { color: var(--s3); }
        .s4 { color: var(--s4); } .s5 { color: var(--s5); } .s6 { color: var(--s6); } .s7 { color: var(--s7); }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.875rem; }
        th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
        th:first-child, td:first-child { text-align: left; }
        tbody tr:nth-child(even) { background: var(--stripe); }
        """;

    /// <summary>Values on a line of the page.</summary>
    private readonly record struct Scale(double Low, double High, double From, double To)
    {
        internal double this[double value] => From + ((value - Low) / (High - Low) * (To - From));

        /// <summary>About so many round values.</summary>
        internal IEnumerable<double> Ticks(int about)
        {
            double raw = (High - Low) / about;
            double power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
            double step = (raw / power) switch
            {
                <= 1 => power,
                <= 2 => 2 * power,
                <= 5 => 5 * power,
                _ => 10 * power,
            };
            for (double n = Math.Ceiling(Low / step); n * step <= High + (step * 1e-9); n++)
            {
                yield return n * step;
            }
        }
    }
}

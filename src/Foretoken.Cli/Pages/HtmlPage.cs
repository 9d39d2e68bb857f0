using System.Text;
using static Foretoken.Cli.Pages.PageText;

namespace Foretoken.Cli.Pages;

/// <summary>A self-contained page, in light and dark, that is well-formed XML: no scripts, nothing from elsewhere.</summary>
internal sealed class HtmlPage
{
    private readonly StringBuilder _body = new();

    internal HtmlPage(string title)
    {
        _body.Append(
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

            """
        );
    }

    internal void Heading(string text) => _body.Append("<h2>").Append(E(text)).Append("</h2>\n");

    internal void Paragraph(string text) => Markup(E(text));

    /// <summary>A paragraph that stands out.</summary>
    internal void Warning(string text) => Markup($"<strong>{E(text)}</strong>");

    /// <summary>A paragraph of markup; the caller has encoded what is text.</summary>
    internal void Markup(string markup) => _body.Append("<p>").Append(markup).Append("</p>\n");

    internal void Plot(SvgPlot plot) => _body.Append(plot);

    internal void Table(IEnumerable<string> headings, IEnumerable<IEnumerable<string>> rows)
    {
        _body.Append("<div class=\"scroll\"><table>\n<thead><tr>");
        foreach (string heading in headings)
        {
            _body.Append("<th scope=\"col\">").Append(E(heading)).Append("</th>");
        }

        _body.Append("</tr></thead>\n<tbody>\n");
        foreach (IEnumerable<string> row in rows)
        {
            _body.Append("<tr>");
            foreach (string cell in row)
            {
                _body.Append("<td>").Append(E(cell)).Append("</td>");
            }

            _body.Append("</tr>\n");
        }

        _body.Append("</tbody>\n</table></div>\n");
    }

    public override string ToString() => _body + "</body>\n</html>\n";

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
        svg .band { fill: var(--line); opacity: 0.6; } svg .ideal { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 5 4; }
        svg g line, svg g polyline { fill: none; stroke: currentColor; stroke-width: 2; }
        svg g.dashed polyline, svg g.dashed line { stroke-dasharray: 6 4; }
        svg g line.whisker { stroke-width: 1.5; stroke-dasharray: none; }
        svg .mark, svg .bar { fill: currentColor; stroke: var(--paper); stroke-width: 1; }
        .s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); } .s3 { color: var(--s3); }
        .s4 { color: var(--s4); } .s5 { color: var(--s5); } .s6 { color: var(--s6); } .s7 { color: var(--s7); }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.875rem; }
        th, td { padding: 0.3rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
        th:first-child, td:first-child { text-align: left; }
        tbody tr:nth-child(even) { background: var(--stripe); }
        """;
}

using System.Text;
using static Foretoken.Cli.Console.InvariantText;
using static Foretoken.Cli.Pages.PageText;

namespace Foretoken.Cli.Pages;

/// <summary>A drawing of one or more panels with axes, lines, bars and a legend.</summary>
internal sealed class SvgPlot
{
    /// <summary>Colours that the page has for series; the next one looks like the first again.</summary>
    internal const int SeriesStyles = 8;

    private readonly StringBuilder _svg = new();

    /// <param name="id">Unique on the page.</param>
    /// <param name="description">What is to be seen, for those who cannot see it.</param>
    /// <param name="width">Width in units of the drawing.</param>
    /// <param name="height">Height in units of the drawing.</param>
    internal SvgPlot(string id, string description, double width, double height)
    {
        _svg.Append(
                I(
                    $"""<svg viewBox="0 0 {width:0.#} {height:0.#}" role="img" aria-labelledby="{id}"><title id="{id}">{E(description)}</title>"""
                )
            )
            .Append('\n');
    }

    /// <summary>The title, the grid and the labels of a panel.</summary>
    internal void Axes(string title, PlotAxis x, PlotAxis y)
    {
        (double left, double right) = (x.Scale.From, x.Scale.To);
        (double bottom, double top) = (y.Scale.From, y.Scale.To);
        Text("title", left, top - 16, title);
        _svg.Append('\n');
        foreach (double tick in y.Ticks)
        {
            double at = y.Scale[tick];
            GridLine(left, right, at, at);
            Text("tick", left - 8, at + 4, y.Label(tick), "end");
        }

        foreach (double tick in x.Ticks)
        {
            double at = x.Scale[tick];
            GridLine(at, at, bottom, top);
            Text("tick", at, bottom + 18, x.Label(tick), "middle");
        }

        Text("tick", (left + right) / 2, bottom + 38, x.Title, "middle");
        if (y.Title.Length > 0)
        {
            double middle = (bottom + top) / 2;
            _svg.Append(
                I(
                    $"""<text class="tick" text-anchor="middle" transform="translate({left - 62:0.#} {middle:0.#}) rotate(-90)">{E(y.Title)}</text>"""
                )
            );
        }

        _svg.Append('\n');
    }

    internal void Text(string cssClass, double x, double y, string text, string? anchor = null) =>
        _svg.Append(
            anchor is null
                ? I($"""<text class="{cssClass}" x="{x:0.#}" y="{y:0.#}">{E(text)}</text>""")
                : I($"""<text class="{cssClass}" text-anchor="{anchor}" x="{x:0.#}" y="{y:0.#}">{E(text)}</text>""")
        );

    /// <summary>A line through points, with a mark at each.</summary>
    internal void Line(int series, PlotScale x, PlotScale y, IReadOnlyList<PlotPoint> points, bool isDashed = false)
    {
        Begin(series, isDashed);
        if (points.Count > 1)
        {
            string path = string.Join(' ', points.Select(point => I($"{x[point.X]:0.#},{y[point.Y]:0.#}")));
            _svg.Append($"""<polyline points="{path}"/>""");
        }

        Marks(series, x, y, points);
        _svg.Append("</g>\n");
    }

    /// <summary>Marks without a line.</summary>
    internal void Points(int series, PlotScale x, PlotScale y, IReadOnlyList<PlotPoint> points)
    {
        Begin(series, isDashed: false);
        Marks(series, x, y, points);
        _svg.Append("</g>\n");
    }

    /// <summary>What is expected: a dashed line from one point to another.</summary>
    internal void Ideal(double x1, double y1, double x2, double y2) =>
        _svg.Append(I($"""<line class="ideal" x1="{x1:0.#}" y1="{y1:0.#}" x2="{x2:0.#}" y2="{y2:0.#}"/>"""))
            .Append('\n');

    /// <summary>An area behind everything that is drawn later.</summary>
    internal void Band(params IEnumerable<(double X, double Y)> corners) =>
        _svg.Append(
                $"""<polygon class="band" points="{string.Join(' ', corners.Select(c => I($"{c.X:0.#},{c.Y:0.#}")))}"/>"""
            )
            .Append('\n');

    /// <summary>A part of a bar.</summary>
    internal void Bar(int series, double x, double y, double width, double height, string hover) =>
        _svg.Append(
                I(
                    $"""<rect class="bar s{series % SeriesStyles}" x="{x:0.##}" y="{y:0.##}" width="{Math.Max(0, width):0.##}" height="{height:0.##}"><title>{E(hover)}</title></rect>"""
                )
            )
            .Append('\n');

    /// <summary>An entry of the legend: a line with its mark, and its name.</summary>
    internal void Legend(int series, double x, double y, string name, bool isDashed = false)
    {
        Begin(series, isDashed);
        _svg.Append(I($"""<line x1="{x:0.#}" x2="{x + 28:0.#}" y1="{y:0.#}" y2="{y:0.#}"/>"""))
            .Append(I($"""<path class="mark" d="{Mark(series, x + 14, y)}"/></g>"""));
        Text("legend", x + 36, y + 5, name);
        _svg.Append('\n');
    }

    /// <summary>An entry of the legend of bars.</summary>
    internal void BarLegend(int series, double x, double y, string name)
    {
        _svg.Append(
            I($"""<rect class="bar s{series % SeriesStyles}" x="{x:0.#}" y="{y - 7:0.#}" width="14" height="14"/>""")
        );
        Text("legend", x + 22, y + 5, name);
        _svg.Append('\n');
    }

    public override string ToString() => _svg + "</svg>\n";

    private void Begin(int series, bool isDashed) =>
        _svg.Append(I($"""<g class="s{series % SeriesStyles}{(isDashed ? " dashed" : "")}">"""));

    private void Marks(int series, PlotScale x, PlotScale y, IReadOnlyList<PlotPoint> points)
    {
        foreach (PlotPoint point in points)
        {
            double at = x[point.X];
            if (point.Interval is { } interval)
            {
                _svg.Append(
                    I(
                        $"""<line class="whisker" x1="{at:0.#}" x2="{at:0.#}" y1="{y[interval.Low]:0.#}" y2="{y[interval.High]:0.#}"/>"""
                    )
                );
            }

            _svg.Append(
                $"""<path class="mark" d="{Mark(series, at, y[point.Y])}"><title>{E(point.Hover)}</title></path>"""
            );
        }
    }

    private void GridLine(double x1, double x2, double y1, double y2) =>
        _svg.Append(I($"""<line class="grid" x1="{x1:0.#}" x2="{x2:0.#}" y1="{y1:0.#}" y2="{y2:0.#}"/>"""));

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
}

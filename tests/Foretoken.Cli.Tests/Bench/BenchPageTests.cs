using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Foretoken.Cli.Bench;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Bench;

public sealed partial class BenchPageTests
{
    private static readonly BenchReport Report = BenchReports.Measured(1);

    [Fact]
    public void The_page_is_well_formed_and_needs_nothing_from_elsewhere()
    {
        string text = BenchPage.Render(Report);
        XDocument page = XDocument.Parse(text);

        Assert.Contains(page.Descendants("p"), p => p.Value == "a <note> & more");
        Assert.Contains("prefers-color-scheme: dark", text, StringComparison.Ordinal);
        Assert.DoesNotMatch(Outside(), text);
    }

    [Fact]
    public void There_are_three_plots_per_model_each_with_a_description()
    {
        XElement[] plots = [.. XDocument.Parse(BenchPage.Render(Report)).Descendants("svg")];

        Assert.Equal(3, plots.Length);
        Assert.Equal(
            3,
            plots
                .Select(plot =>
                    plot.Elements("title").Single(title => title.Attribute("id")?.Value == Label(plot)).Value
                )
                .Distinct()
                .Count()
        );

        static string? Label(XElement plot) => plot.Attribute("aria-labelledby")?.Value;
    }

    [Fact]
    public void Time_to_first_token_has_a_line_for_the_baseline_and_each_way_of_prefilling()
    {
        XElement plot = Plot(0);

        Assert.Equal(
            ["unpatched llama.cpp", "target 1", "target 2", "keep all 3@1", "plan 3@0.25"],
            plot.Elements("text").Where(HasClass("legend")).Select(text => text.Value)
        );
        // the baseline ran at both lengths
        Assert.Equal(2, plot.Elements("g").First().Elements("path").Count());
        Assert.Contains(plot.Descendants("title"), title => title.Value.Contains("promised", StringComparison.Ordinal));
    }

    [Fact]
    public void Promises_have_a_mark_with_its_interval_within_the_band_of_seven_percent()
    {
        XElement plot = Plot(1);
        double[][] band =
        [
            .. plot.Elements("polygon")
                .Single()
                .Attribute("points")!
                .Value.Split(' ')
                .Select(point => point.Split(',').Select(Number).ToArray()),
        ];
        XElement mark = plot.Elements("g").First().Element("path")!;
        Assert.Single(plot.Elements("g").First().Elements("line"), line => line.Attribute("class")?.Value == "whisker");
        // a circle begins at its left
        double[] at = [.. mark.Attribute("d")!.Value[1..].Split('a')[0].Split(' ').Select(Number)];
        (double x, double y) = (at[0] + 5, at[1]);
        Assert.True(Inside(band, x, y));
        Assert.False(Inside(band, x, y + 60));
    }

    [Fact]
    public void Bars_are_as_long_as_their_share_of_the_baselines_time()
    {
        XElement[] bars = [.. Plot(2).Elements("rect").Where(bar => bar.Element("title") is not null)];
        double unpatched = Width(
            bars.First(bar => bar.Element("title")!.Value.StartsWith("unpatched, 64", StringComparison.Ordinal))
        );
        BenchRow row = Report.Rows[1];

        double ours = bars.Where(bar =>
                bar.Element("title")!.Value.StartsWith("target 2, 64", StringComparison.Ordinal)
            )
            .Sum(Width);

        double expected = (row.StageMs.Sum() + row.SelectMs + row.FirstTokenMs) / row.BaselineTtftMs;
        Assert.Equal(expected, ours / unpatched, 2);

        static double Width(XElement bar) => Number(bar.Attribute("width")!.Value);
    }

    [Fact]
    public void A_report_without_any_row_has_a_page_too()
    {
        BenchReport empty = Report with
        {
            Rows = [],
            Baseline = [],
            IsComplete = false,
            StoppedBecause = "cancelled.",
            Promises = PromiseSummary.Of([]),
        };

        Assert.Contains("cancelled", XDocument.Parse(BenchPage.Render(empty)).Root!.Value, StringComparison.Ordinal);
    }

    private static XElement Plot(int index) =>
        XDocument.Parse(BenchPage.Render(Report)).Descendants("svg").ElementAt(index);

    private static Func<XElement, bool> HasClass(string name) => e => e.Attribute("class")?.Value == name;

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    // crossings of a ray to the right
    private static bool Inside(double[][] corners, double x, double y)
    {
        bool inside = false;
        for (int i = 0, j = corners.Length - 1; i < corners.Length; j = i++)
        {
            (double[] a, double[] b) = (corners[i], corners[j]);
            if (a[1] > y != b[1] > y && x < ((b[0] - a[0]) * (y - a[1]) / (b[1] - a[1])) + a[0])
            {
                inside = !inside;
            }
        }
        return inside;
    }

    [GeneratedRegex(@"https?:|\bsrc=|\bhref=|url\(|@import|<script")]
    private static partial Regex Outside();
}

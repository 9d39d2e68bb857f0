using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Foretoken.Cli.Quality;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Tests.Quality;

public partial class QualityPageTests
{
    [Fact]
    public void The_page_is_well_formed_and_names_are_text()
    {
        XDocument page = Page(1024);
        Assert.Contains("a model <with> marks & more", page.Descendants("h1").Single().Value, StringComparison.Ordinal);
        Assert.Contains(page.Descendants("td"), cell => cell.Value == "a<b>&\"c\"");
        Assert.Empty(page.Descendants("b"));
    }

    [Fact]
    public void The_page_needs_nothing_from_elsewhere()
    {
        string text = Text(1024);
        Assert.DoesNotMatch(Outside(), text);
        Assert.DoesNotContain("<script", text, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("prefers-color-scheme: dark", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_importance_is_a_line_with_a_mark_for_every_target_and_its_name_beside_it()
    {
        XElement plot = Page(1024).Descendants("svg").Single();
        XElement[] series = [.. plot.Elements("g").Where(g => g.Elements("polyline").Any())];
        // three importances in two panels
        Assert.Equal(6, series.Length);
        Assert.All(series, line => Assert.Equal(2, line.Elements("path").Count()));
        Assert.Equal(
            ["head-normalized-window", "most-recent", "a<b>&\"c\""],
            plot.Elements("text").Where(text => text.Attribute("class")?.Value == "legend").Select(text => text.Value)
        );
    }

    [Fact]
    public void Marks_stay_inside_of_the_plot()
    {
        XElement plot = Page(1024, 2048).Descendants("svg").Single();
        double[] box =
        [
            .. plot.Attribute("viewBox")!.Value.Split(' ').Select(n => double.Parse(n, CultureInfo.InvariantCulture)),
        ];
        foreach (XElement line in plot.Descendants("polyline"))
        {
            foreach (string point in line.Attribute("points")!.Value.Split(' '))
            {
                double[] at = [.. point.Split(',').Select(n => double.Parse(n, CultureInfo.InvariantCulture))];
                Assert.InRange(at[0], 0, box[2]);
                Assert.InRange(at[1], 0, box[3]);
            }
        }
    }

    [Fact]
    public void Several_lengths_have_plots_of_their_own() =>
        Assert.Equal(
            4,
            Page(1024, 2048)
                .Descendants("svg")
                .Single()
                .Elements("text")
                .Count(text => text.Attribute("class")?.Value == "title")
        );

    [Fact]
    public void A_report_without_questions_has_a_page_too()
    {
        QualitySample[] summaries = [.. QualityReports.Samples(1024).Where(sample => sample.Kind == "summary").Take(1)];
        Assert.NotEmpty(
            Parse(QualityPage.Render(QualityReports.Of(summaries), QualityLine.From(summaries))).Descendants("svg")
        );
    }

    private static XDocument Page(params int[] lengths) => Parse(Text(lengths));

    private static XDocument Parse(string page) => XDocument.Parse(page);

    private static string Text(params int[] lengths)
    {
        IReadOnlyList<QualitySample> samples = QualityReports.Samples(lengths);
        return QualityPage.Render(QualityReports.Of(samples), QualityLine.From(samples));
    }

    [GeneratedRegex(@"https?:|\bsrc=|\bhref=|url\(|@import")]
    private static partial Regex Outside();
}

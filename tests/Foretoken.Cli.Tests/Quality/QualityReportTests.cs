using System.Text.Json;
using Foretoken.Cli.Quality;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Tests.Quality;

public class QualityReportTests
{
    [Fact]
    public void Rows_in_JSON_hold_what_a_reader_looks_for()
    {
        using JsonDocument json = JsonDocument.Parse(QualityReports.Of(QualityReports.Samples(1024)).ToJson());
        JsonElement[] rows = [.. json.RootElement.GetProperty("rows").EnumerateArray()];
        Assert.Equal(18, rows.Length);
        JsonElement row = rows.First(r => r.GetProperty("kind").GetString() == "retrieval-last");
        Assert.Equal("head-normalized-window", row.GetProperty("importance").GetString());
        Assert.Equal(1.5, row.GetProperty("target").GetDouble());
        Assert.Equal(1024, row.GetProperty("length").GetInt32());
        Assert.Equal(1, row.GetProperty("prompts").GetInt32());
        Assert.Equal(1, row.GetProperty("answered").GetInt32());
        Assert.Equal(1, row.GetProperty("answeredByFullPrefill").GetInt32());
        Assert.Equal(0.15, row.GetProperty("kl").GetDouble(), 9);
        Assert.Equal(0.8, row.GetProperty("agreement").GetDouble(), 9);
        Assert.Equal(1.6, row.GetProperty("measuredSpeedup").GetDouble(), 9);
        Assert.Equal(1 / 1.5, row.GetProperty("decodeTimeRatio").GetDouble(), 9);
        Assert.InRange(row.GetProperty("keptShare").GetDouble(), 0.66, 0.67);
        JsonElement summary = rows.First(r => r.GetProperty("kind").GetString() == "summary");
        Assert.Equal(JsonValueKind.Null, summary.GetProperty("answered").ValueKind);
    }

    [Fact]
    public void A_line_puts_the_kinds_of_one_importance_and_target_side_by_side()
    {
        IReadOnlyList<QualityLine> lines = QualityLine.From(QualityReports.Samples(1024));
        Assert.Equal(6, lines.Count);
        Assert.Equal(["retrieval-last", "retrieval-first", "summary"], QualityLine.KindsOf(lines));
        QualityLine line = lines[1];
        Assert.Equal("2x", line.Asked);
        Assert.Equal("0/1", line.Cell("retrieval-last"));
        Assert.Equal("0.200", line.Cell("summary"));
        Assert.Equal("", line.Cell("retrieval-blind"));
        Assert.Equal((0, 2), (line.Answered, line.AnsweredByFullPrefill));
        Assert.Equal(2.1, line.MeasuredSpeedup, 9);
        Assert.Equal("50 %", line.DecodeCell);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void The_table_names_each_importance_once_and_says_what_speed_is_measured_against(int lengths)
    {
        IReadOnlyList<QualitySample> samples = QualityReports.Samples([.. ((int[])[1024, 2048]).Take(lengths)]);
        TestConsole console = new TestConsole().Width(200);
        console.Write(QualityTableView.Render(QualityReports.Of(samples), QualityLine.From(samples)));
        Assert.Equal(lengths, console.Output.Split("most-recent").Length - 1);
        Assert.Equal(lengths > 1, console.Output.Contains("prompt  ", StringComparison.Ordinal));
        Assert.Contains("our own full prefill", console.Output, StringComparison.Ordinal);
    }
}

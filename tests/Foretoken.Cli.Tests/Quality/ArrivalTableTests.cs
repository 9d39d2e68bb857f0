using Foretoken.Cli.Plan;
using Foretoken.Cli.Quality;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;
using Spectre.Console;

namespace Foretoken.Cli.Tests.Quality;

public class ArrivalTableTests
{
    [Fact]
    public void Where_nothing_was_completed_there_is_no_table()
    {
        IReadOnlyList<QualitySample> samples = QualityReports.Samples(1024);

        Assert.Null(ArrivalTable.Render(samples));
        Assert.Null(ArrivalTable.Render([]));
        Assert.DoesNotContain("output token:", View(samples), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Arrivals_are_shares_of_the_full_prefill_of_the_same_prompt()
    {
        // 1,000 ms of full prefill, then 10 ms a token; 500 ms of thinned prefill, then 20 ms
        QualitySample sample = Completed(First, 500, 20, 64);

        Assert.Equal(
            [
                ["head-normalized-window, 1.5x, 1024 tokens", "0.50", "0.52", "0.56", "0.64", "0.80", "1.12", "1.76"],
                ["full prefill", "1.00", "1.01", "1.03", "1.07", "1.15", "1.31", "1.63"],
            ],
            Lines([sample])
        );
    }

    [Fact]
    public void A_share_is_the_median_of_the_prompts()
    {
        QualitySample[] samples =
        [
            Completed(First, 900, 20, 1),
            Completed(First, 500, 20, 1),
            // beside a full prefill that takes twice as long
            Completed(First, 800, 20, 1) with
            {
                FullPrefillMs = 2000,
            },
        ];

        Assert.Equal("0.50", Lines(samples)[0][1]);
    }

    [Fact]
    public void An_answer_that_ends_early_leaves_the_later_tokens_empty()
    {
        Assert.Equal(
            ["0.50", "0.52", "0.56", "0.64", "0.80", "1.12", ""],
            Lines([Completed(First, 500, 20, 63)])[0][1..]
        );
        Assert.Equal(["0.50", "", "", "", "", "", ""], Lines([Completed(First, 500, 20, 1)])[0][1..]);

        // a longer one is alone there
        string[] mixed = Lines([Completed(First, 500, 20, 4), Completed(First, 600, 20, 64)])[0];
        Assert.Equal(["0.55", "0.57", "0.61", "0.74", "0.90", "1.22", "1.86"], mixed[1..]);
    }

    [Fact]
    public void Prompts_of_which_nothing_was_completed_do_not_count()
    {
        QualitySample plain = Completed(First, 100, 20, 64) with { Completion = null };

        Assert.Equal("0.50", Lines([plain, Completed(First, 500, 20, 64)])[0][1]);
    }

    [Fact]
    public void Every_importance_target_and_length_has_lines_of_its_own()
    {
        string[][] lines = Lines([
            .. QualityReports.Samples(1024, 2048).Select(sample => Completed(sample, 500, 20, 8)),
        ]);

        // 3 importances, 2 targets, 2 lengths
        Assert.Equal(24, lines.Length);
        Assert.Equal(12, lines.Count(line => line[0] == "full prefill"));
        Assert.Contains(lines, line => line[0] == "most-recent, 2x, 2048 tokens");
        // names are text, whatever marks they have
        Assert.Equal(
            "a [b], 1.5x, 1024 tokens",
            Lines([Completed(First with { Importance = "a [b]" }, 1, 1, 1)])[0][0]
        );
    }

    [Fact]
    public void A_plan_is_named_and_is_one_line_however_much_it_promises()
    {
        QualitySample sample = Completed(First, 500, 20, 8) with { GivenPlan = First.Plan };

        string[][] lines = Lines([sample, sample with { Target = 1.61 }]);

        Assert.Equal(2, lines.Length);
        Assert.Equal($"head-normalized-window, {PlanText.Format(First.Plan)}, 1024 tokens", lines[0][0]);
    }

    [Fact]
    public void Prompts_of_the_callers_own_have_no_length_in_common() =>
        Assert.Equal("head-normalized-window, 1.5x", Lines([Completed(First with { Length = 0 }, 500, 20, 8)])[0][0]);

    [Fact]
    public void The_table_stands_below_that_of_the_quality() =>
        Assert.Contains(
            "Output token: when it was there",
            View([Completed(First, 500, 20, 8)]),
            StringComparison.Ordinal
        );

    private static QualitySample First { get; } = QualityReports.Samples(1024)[0];

    /// <summary>The sample with arrivals behind a full prefill of 1,000 ms, 10 ms a token, and behind a thinned one.</summary>
    private static QualitySample Completed(QualitySample sample, double prefillMs, double tokenMs, int tokens) =>
        sample with
        {
            FullArrivalsMs = [.. Enumerable.Range(0, tokens).Select(i => 1000 + (10.0 * i))],
            ArrivalsMs = [.. Enumerable.Range(0, tokens).Select(i => prefillMs + (tokenMs * i))],
            Completion = new CompletionReport(CompletionGrade.Fill, 600, 0) { CompleteAtOutputToken = 8 },
        };

    /// <summary>The cells of the table, line by line, without the headings.</summary>
    private static string[][] Lines(IReadOnlyList<QualitySample> samples)
    {
        TestConsole console = new TestConsole().Width(200);
        console.Write(ArrivalTable.Render(samples)!);
        string[] text = [.. console.Lines];
        int rule = Array.FindIndex(text, line => line.Contains('─', StringComparison.Ordinal));
        // numbers end where their headings do
        List<int> ends = [];
        foreach (string token in (string[])["1", "2", "4", "8", "16", "32", "64"])
        {
            int from = ends.Count > 0 ? ends[^1] : 0;
            ends.Add(text[rule - 1].IndexOf($" {token}", from, StringComparison.Ordinal) + 1 + token.Length);
        }
        return
        [
            .. text[(rule + 1)..]
                .TakeWhile(line => line.Trim().Length > 0 && !line.StartsWith("Output token", StringComparison.Ordinal))
                .Select(line => line.PadRight(ends[^1]))
                .Select(line =>
                    (string[])
                        [
                            line[..(ends[0] - "0.00".Length)].Trim(),
                            line[(ends[0] - "0.00".Length)..ends[0]].Trim(),
                            .. ends.Zip(ends.Skip(1), (begin, end) => line[begin..end].Trim()),
                        ]
                ),
        ];
    }

    private static string View(IReadOnlyList<QualitySample> samples)
    {
        TestConsole console = new TestConsole().Width(200);
        console.Write(QualityTableView.Render(QualityReports.Of(samples), QualityLine.From(samples), samples));
        return console.Output;
    }
}

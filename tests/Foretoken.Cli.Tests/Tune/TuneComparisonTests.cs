using System.Text.Json;
using System.Xml.Linq;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Tests.Quality;
using Foretoken.Cli.Tune.Compare;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Tuning;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Tune;

public sealed class TuneComparisonTests
{
    private static readonly TuneComparisonCase[] Cases =
    [
        .. from facts in (string[])["digits", "words", "all"]
        from count in (int[])[8, 160]
        select Learned(facts, count, TuningOptions.DefaultInputs),
        Learned("all", 160, PredictorInputs.Attention | PredictorInputs.Network),
        new TuneComparisonCase(new MostRecent()),
    ];

    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    [Fact]
    public void A_row_counts_facts_of_digits_and_of_words_apart()
    {
        TuneComparisonSample[] samples =
        [
            Sample("a", "retrieval-last", "digits", full: true, answered: true),
            Sample("b", "retrieval-last", "digits", full: true, answered: false),
            Sample("c", "retrieval-last", "digits", full: false, answered: null),
            Sample("d", "retrieval-first", "words", full: true, answered: true),
            Sample("e", "summary", null, full: null, answered: null, kl: 0.1),
            Sample("f", "summary", null, full: null, answered: null, kl: 0.2),
            Sample("g", "summary", null, full: null, answered: null, kl: 3),
        ];
        TuneComparisonRow row = Assert.Single(TuneComparisonCase.Summarize(Cases, samples));
        Assert.Equal(("learned:digits-8", "digits", 8), (row.Importance, row.Facts, row.TuningPrompts));
        Assert.Equal("1/2 0/0", row.Digits.ToString());
        Assert.Equal("0/0 1/1", row.Words.ToString());
        Assert.Equal(0.5, row.Digits.Share);
        Assert.Equal(1.1, row.SummaryKl!.Value, 1e-9);
        Assert.Equal(0.2, row.SummaryKlMedian);
        Assert.Equal(2, row.MeasuredSpeedup);
    }

    [Fact]
    public void What_full_prefill_never_answers_has_no_share() =>
        Assert.Null(
            TuneComparisonCase
                .Summarize(Cases, [Sample("a", "retrieval-last", "digits", full: false, answered: null)])
                .Single()
                .Words.Share
        );

    [Fact]
    public void The_page_has_a_line_for_every_sort_of_facts_and_a_level_one_for_what_needs_no_training()
    {
        XDocument page = XDocument.Parse(
            TuneComparisonPage.Render(Report()).Replace("<!DOCTYPE html>", "", StringComparison.Ordinal)
        );
        XElement plot = page.Descendants("svg").Single();
        Assert.Equal(
            ["learned, digits", "learned, words", "learned, all", "learned, all, attention+network", "most-recent"],
            plot.Elements("text").Where(text => text.Attribute("class")?.Value == "legend").Select(text => text.Value)
        );
        string[] lines = [.. plot.Descendants("polyline").Select(line => line.Attribute("points")!.Value)];
        // four series in four panels; a single point has no line
        Assert.Equal(16, lines.Length);
        string[] level = [.. lines.Where((_, i) => i % 4 == 3)];
        Assert.All(level, line => Assert.Single(line.Split(' ').Select(point => point.Split(',')[1]).Distinct()));
        Assert.Equal(Cases.Length, page.Descendants("tbody").Single().Elements("tr").Count());
    }

    [Fact]
    public void The_report_is_an_object_with_rows()
    {
        using JsonDocument json = JsonDocument.Parse(Report().ToJson());
        JsonElement row = json.RootElement.GetProperty("rows")[1];
        Assert.Equal("learned:digits-160", row.GetProperty("importance").GetString());
        Assert.Equal(160, row.GetProperty("tuningPrompts").GetInt32());
        Assert.Equal("attention+matches", row.GetProperty("inputs").GetString());
        Assert.Equal(1, row.GetProperty("digits").GetProperty("last").GetInt32());
        JsonElement network = json.RootElement.GetProperty("rows")[6];
        Assert.Equal("learned:all-160:attention+network", network.GetProperty("importance").GetString());
        Assert.Equal("attention+network", network.GetProperty("inputs").GetString());
        Assert.Equal(Cases.Length * 3, json.RootElement.GetProperty("samples").GetArrayLength());
    }

    [Theory]
    [InlineData("at least one prompt", "tune", "compare", "--counts", "8,0")]
    [InlineData("1.5 to 3 are useful", "tune", "compare", "--target", "0.5")]
    [InlineData("'dates' is no sort of facts", "tune", "compare", "--facts", "digits,dates")]
    [InlineData("attention+network", "tune", "compare", "--inputs", "attention,telepathy")]
    [InlineData("--facts all", "tune", "compare", "--facts", "digits", "--inputs", "attention,network")]
    [InlineData("missing.txt", "tune", "compare", "--documents", "missing.txt")]
    [InlineData("no folder", "tune", "compare", "--html", "no/such/folder/page.html")]
    public async Task What_cannot_be_measured_is_refused_before_a_model_is_loaded(string message, params string[] line)
    {
        Assert.Equal(ExitCode.Failed, await Run(line));
        Assert.Contains(message, _errors.Output, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(_output.Output);
    }

#if !DEBUG
    [Fact]
    public async Task Inputs_are_compared_on_the_same_prompts_in_one_run()
    {
        using TemporaryFolder folder = new();
        string model = Path.Combine(folder.Path, "tiny.gguf");
        SyntheticModel.Write(model, SyntheticModelSpec.Parse("layers=8,embd=64,heads=4,kv-heads=2,ffn=96,vocab=320"));
        string examples = Path.Combine(folder.Path, "examples");
        string[] line =
        [
            "tune",
            "compare",
            model,
            "--counts",
            "1,2",
            "--facts",
            "all",
            "--inputs",
            "attention+matches,attention,residual,both,network,attention+network",
            "--learned-only",
            "--tuning-length",
            "400",
            "--length",
            "600",
            "--prompts-per-kind",
            "1",
            "--threads",
            "1",
            "--examples",
            examples,
            "--json",
        ];
        int code = await Run(line);

        Assert.True(code == ExitCode.Ok, _errors.Output);
        using JsonDocument json = JsonDocument.Parse(_output.Output);
        Assert.Equal(
            [
                ("learned:all-1", 1),
                ("learned:all-2", 2),
                ("learned:all-2:attention", 2),
                ("learned:all-2:residual", 2),
                ("learned:all-2:both", 2),
                ("learned:all-2:network", 2),
                ("learned:all-2:attention+network", 2),
            ],
            json.RootElement.GetProperty("rows")
                .EnumerateArray()
                .Select(row => (row.GetProperty("importance").GetString(), row.GetProperty("tuningPrompts").GetInt32()))
        );
        // every prompt was answered once
        Assert.Equal(2, Directory.EnumerateFiles(examples).Count());
    }
#endif

    private Task<int> Run(string[] line) =>
        ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line).InvokeAsync();

    private static TuneComparisonReport Report()
    {
        TuneComparisonSample[] samples =
        [
            .. Cases.SelectMany(one =>
                (TuneComparisonSample[])
                    [
                        Sample("a", "retrieval-last", "digits", true, true, importance: one.Importance.Name),
                        Sample("b", "retrieval-first", "words", true, false, importance: one.Importance.Name),
                        Sample("c", "summary", null, null, null, 0.3, one.Importance.Name),
                    ]
            ),
        ];
        return new TuneComparisonReport
        {
            CreatedAt = DateTimeOffset.UnixEpoch,
            IsComplete = true,
            Model = QualityReports.Of(QualityReports.Samples(1024)).Model,
            Machine = MachineInfo.Read(),
            Build = QualityReports.Of(QualityReports.Samples(1024)).Build,
            Target = 2.9,
            Length = 1024,
            TuningLength = 640,
            PromptsPerKind = 1,
            Seed = 1,
            Documents = ["a.txt"],
            Plan = "4@0.6,8@0.2",
            Rows = TuneComparisonCase.Summarize(Cases, samples),
            Samples = samples,
        };
    }

    private static TuneComparisonCase Learned(string facts, int count, PredictorInputs inputs) =>
        new(
            new LearnedImportance(
                [new ImportancePredictor(1, new float[12], default, null, double.NaN)],
                TuneComparisonCase.Name(facts, count, inputs)
            ),
            facts,
            count,
            inputs
        );

    private static TuneComparisonSample Sample(
        string prompt,
        string kind,
        string? fact,
        bool? full,
        bool? answered,
        double kl = 0.1,
        string importance = "learned:digits-8"
    ) =>
        new()
        {
            Prompt = prompt,
            Kind = kind,
            Fact = fact,
            Importance = importance,
            FullPrefillMs = 1000,
            PrefillMs = 500,
            KeptShare = 0.5,
            Kl = kl,
            Agreement = 0.9,
            AnsweredByFullPrefill = full,
            Answered = answered,
        };
}

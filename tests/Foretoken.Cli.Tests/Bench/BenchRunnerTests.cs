using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Planning;

namespace Foretoken.Cli.Tests.Bench;

public sealed class BenchRunnerTests
{
    private static readonly BenchCase[] Cases =
    [
        new(64, BenchKind.Target, 1, null),
        new(64, BenchKind.Target, 2, null),
        new(64, BenchKind.KeepAll, 1, PrefillPlan.FromBoundaries([new PlanBoundary(3, 1)])),
        new(128, BenchKind.Plan, 1, PrefillPlan.FromBoundaries([new PlanBoundary(3, 0.25)])),
    ];

    private readonly List<(string Side, int[] Prompt, BenchCase Case)> _runs = [];

    [Fact]
    public void Every_measured_run_is_paired_with_a_baseline_run_of_the_same_tokens()
    {
        IReadOnlyList<BenchRow> rows = Run(pairs: 6);

        Assert.All(rows, row => Assert.Equal(6, row.Samples.Count));
        Assert.Equal(BenchRunner.CountRuns(Cases.Length, 6), _runs.Count);
        foreach (var pair in _runs.Chunk(2))
        {
            Assert.NotEqual(pair[0].Side, pair[1].Side);
            Assert.Same(pair[0].Case, pair[1].Case);
            Assert.Same(pair[0].Prompt, pair[1].Prompt);
            Assert.Equal(pair[0].Case.PromptTokens, pair[0].Prompt.Length);
        }
    }

    [Fact]
    public void Sides_and_rows_are_shuffled_by_the_seed_alone()
    {
        IReadOnlyList<BenchRow> rows = Run(pairs: 8);
        string[] order = [.. _runs.Select(r => r.Side)];
        string[] firsts = [.. rows.SelectMany(row => row.Samples).Select(s => s.First)];
        _runs.Clear();

        Run(pairs: 8);

        Assert.Contains("foretoken", firsts);
        Assert.Contains("baseline", firsts);
        Assert.Equal(order, _runs.Select(r => r.Side));
    }

    [Fact]
    public void The_first_run_of_each_side_is_thrown_away()
    {
        // the first run of every case takes a hundred times longer
        HashSet<(string, BenchCase)> seen = [];
        IReadOnlyList<BenchRow> rows = Run(pairs: 3, time: (side, what) => seen.Add((side, what)) ? 10_000 : 100);

        Assert.All(
            rows.SelectMany(row => row.Samples),
            sample => Assert.Equal((100, 100), (sample.TtftMs, sample.BaselineTtftMs))
        );
    }

    [Fact]
    public void A_row_reports_the_ratio_of_medians_and_its_spread()
    {
        Queue<double> baseline = new([0, 200, 220, 210]);
        Queue<double> ours = new([0, 100, 100, 70]);

        BenchRow row = Run(
            pairs: 3,
            time: (side, _) => side == "baseline" ? baseline.Dequeue() : ours.Dequeue(),
            cases: [Cases[1]]
        )[0];

        Assert.Equal((100, 210), (row.TtftMs, row.BaselineTtftMs));
        Assert.Equal(2.1, row.MeasuredSpeedup, 9);
        Assert.Equal(1 / 2.1, row.TimeRatio, 9);
        Assert.Equal((2.0, 3.0), (row.MeasuredSpeedupMin, row.MeasuredSpeedupMax));
        Assert.InRange(row.MeasuredSpeedup, row.MeasuredSpeedup95![0], row.MeasuredSpeedup95[1]);
        Assert.Equal([1000, 400], row.TokensPerStage);
        Assert.Equal("6@0.4", row.Plan);
    }

    [Fact]
    public void Rows_that_keep_everything_are_compared_with_the_baseline()
    {
        BenchExactness exactness = BenchRunner.Exactness(Cases, Run(pairs: 2, decode: 3));

        Assert.Equal(4, exactness.Runs);
        Assert.True(exactness.SameFirstToken);
        Assert.True(exactness.SameLogits);
        Assert.True(exactness.SameDecodedTokens);
    }

    [Fact]
    public void A_thinned_run_may_differ_and_a_plain_one_may_not()
    {
        BenchExactness thinned = BenchRunner.Exactness(Cases, Run(pairs: 2, token: what => what.Target == 2 ? 8 : 7));
        BenchExactness plain = BenchRunner.Exactness(Cases, Run(pairs: 2, token: what => what.IsExact ? 8 : 7));

        Assert.True(thinned.SameFirstToken);
        Assert.False(plain.SameFirstToken);
        Assert.False(plain.SameLogits);
        Assert.Null(plain.SameDecodedTokens);
        Assert.Contains("defect", BenchTable.Exactness(plain), StringComparison.Ordinal);
    }

    [Fact]
    public void Json_rows_have_the_names_that_scripts_read()
    {
        IReadOnlyList<BenchRow> rows = Run(pairs: 1);
        using JsonDocument json = JsonDocument.Parse(Report(rows).ToJson());

        JsonElement row = json.RootElement.GetProperty("rows")[1];

        string[] names =
        [
            "model",
            "promptTokens",
            "target",
            "promisedSpeedup",
            "measuredSpeedup",
            "ttftMs",
            "baselineTtftMs",
            "pairs",
            "tokensPerStage",
            "kvBytes",
            "cpuMs",
            "samples",
        ];
        Assert.All(names, name => Assert.True(row.TryGetProperty(name, out _), name));
        Assert.Equal(2, row.GetProperty("target").GetDouble());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("rows")[3].GetProperty("target").ValueKind);
        Assert.True(json.RootElement.GetProperty("exactness").GetProperty("sameFirstToken").GetBoolean());
    }

    [Fact]
    public void The_table_has_a_line_per_row()
    {
        TestConsole console = new();

        console.Console.Write(BenchTable.Render(Report(Run(pairs: 1))));

        Assert.Contains("speed 2 ", console.Text, StringComparison.Ordinal);
        Assert.Contains("keep all 3@1", console.Text, StringComparison.Ordinal);
        Assert.Contains("plan 3@0.25", console.Text, StringComparison.Ordinal);
        Assert.Contains("1000 > 400", console.Text, StringComparison.Ordinal);
        Assert.Contains("bit for bit", console.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Cases_are_speeds_keep_all_and_plans_per_length()
    {
        BenchOptions options = new() { Lengths = [128, 256], Plans = [PlanText.Parse("3@0.25")] };

        IReadOnlyList<BenchCase> cases = options.Cases(layers: 16);

        Assert.Equal(
            [
                "128 Target 1 ",
                "128 KeepAll 1 3@1",
                "128 Plan 1 3@0.25",
                "256 Target 1 ",
                "256 KeepAll 1 3@1",
                "256 Plan 1 3@0.25",
            ],
            cases.Select(c => $"{c.PromptTokens} {c.Kind} {c.Target} {(c.Plan is null ? "" : PlanText.Format(c.Plan))}")
        );
        Assert.Equal(
            [1, 1.5, 2, 2.9, 1],
            new BenchOptions { Lengths = [64] }
                .Cases(16)
                .Select(c => c.Target)
        );
        Assert.Throws<CliException>(() => options.Cases(layers: 3));
    }

    private IReadOnlyList<BenchRow> Run(
        int pairs,
        Func<string, BenchCase, double>? time = null,
        Func<BenchCase, int>? token = null,
        int decode = 0,
        BenchCase[]? cases = null
    )
    {
        int progress = 0;
        cases ??= Cases;
        IReadOnlyList<BenchRow> rows = new BenchRunner(
            new FakeEngine(this, "foretoken", time, token),
            new FakeEngine(this, "baseline", time, null)
        ).Run(cases, Settings(pairs, decode), "tiny", 500, () => progress++, CancellationToken.None);
        Assert.Equal(BenchRunner.CountRuns(cases.Length, pairs), progress);
        return rows;
    }

    private static BenchSettings Settings(int pairs, int decode) =>
        new()
        {
            Pairs = pairs,
            WarmupsPerRow = BenchRunner.Warmups,
            Seed = 4,
            Order = BenchRunner.Order,
            DecodeTokens = decode,
            ContextSize = 256,
            Threads = 2,
            BatchSize = 128,
            UbatchSize = 64,
            KvCacheType = "f16",
            FlashAttention = "auto",
            GpuLayers = 0,
            Importance = "head-normalized-window",
            Environment = new Dictionary<string, string>(),
        };

    private static BenchReport Report(IReadOnlyList<BenchRow> rows) =>
        new()
        {
            CreatedAt = DateTimeOffset.UnixEpoch,
            Model = new BenchModel
            {
                Name = "tiny",
                Description = "a fake",
                IsSynthetic = true,
                Architecture = "llama",
                Layers = 30,
                EmbeddingSize = 64,
                VocabularySize = 500,
                Parameters = 1,
                SizeBytes = 1,
            },
            Machine = MachineInfo.Read(),
            Build = new BenchBuild
            {
                LlamaRelease = "b1",
                PatchHash = "p",
                Key = "k",
                Options = "cpu",
                Compiler = "c",
                BuildType = "Release",
                Library = JsonDocument.Parse("{}").RootElement,
                BaselineSystemInfo = "",
            },
            Settings = Settings(1, 0),
            Exactness = BenchRunner.Exactness(Cases, rows),
            Rows = rows,
        };

    private sealed class FakeEngine(
        BenchRunnerTests test,
        string side,
        Func<string, BenchCase, double>? time,
        Func<BenchCase, int>? token
    ) : IBenchEngine
    {
        public EngineRun Run(int[] prompt, BenchCase what, int decodeTokens, CancellationToken cancellationToken)
        {
            test._runs.Add((side, prompt, what));
            int first = token?.Invoke(what) ?? 7;
            return new EngineRun
            {
                TtftMs = time?.Invoke(side, what) ?? 10,
                CpuMs = 20,
                FirstToken = first,
                LogitsHash = $"{first:x16}",
                DecodedTokens = [.. Enumerable.Repeat(first, decodeTokens)],
                DecodeMs = [.. Enumerable.Repeat(1.5, decodeTokens)],
                Report =
                    side == "foretoken"
                        ? (what.Plan is null && what.Target == 1 ? Reports.Plain : Reports.Thinned)
                        : null,
            };
        }
    }
}

using Foretoken.Cli.Console;
using Foretoken.Cli.Numbers;
using Foretoken.Cli.Pages;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Bench;

/// <summary>The report as one self-contained page: per model three plots and the tables.</summary>
internal static class BenchPage
{
    /// <summary>The share by which a measurement may miss its promise and still lie in the band of the plot.</summary>
    internal const double Band = 0.07;

    // colours of what is no stage
    private const int SelectionSeries = 4;
    private const int UnpatchedSeries = 6;
    private const int FirstTokenSeries = 7;

    internal static string Render(BenchReport report)
    {
        HtmlPage page = new($"Time to first token: {string.Join(", ", report.Models.Select(model => model.Name))}");
        page.Paragraph(
            I(
                $"{report.Machine.Cpu}, {report.Machine.Cores} cores, {ByteSize.Format(report.Machine.MemoryBytes)}, {report.Machine.OperatingSystem}, {report.Machine.Runtime}; {Threads(report.Settings)}; {report.CreatedAt:yyyy-MM-dd HH:mm} UTC"
            )
        );
        page.Paragraph(
            I(
                $"Against unpatched llama.cpp {report.Build.LlamaRelease} ({report.Build.Options}, {report.Build.BuildType}, {report.Build.Compiler}) of the same build, patches {report.Build.PatchHash}, as a second process in the same rounds, on the same tokens. Order: {report.Settings.Order}. {report.Settings.Pairs} rounds; batch {report.Settings.BatchSize}, ubatch {report.Settings.UbatchSize}, KV cache {report.Settings.KvCacheType}, fused attention {report.Settings.FlashAttention}, {report.Settings.GpuLayers} layers on the GPU. Warm-up: {report.Settings.WarmUp}."
            )
        );
        if (!report.IsComplete)
        {
            page.Warning($"Stopped before its end: {report.StoppedBecause} This is what had been measured.");
        }
        foreach (string sentence in BenchTable.Sentences(report with { StoppedBecause = null }))
        {
            page.Paragraph(sentence);
        }
        for (int i = 0; i < report.Models.Count; i++)
        {
            AppendModel(page, report, report.Models[i], i);
        }
        return page.ToString();
    }

    private static void AppendModel(HtmlPage page, BenchReport report, BenchModel model, int index)
    {
        BenchRow[] rows = [.. report.Rows.Where(row => row.Model == model.Name)];
        BenchBaselineRow[] baseline = [.. report.Baseline.Where(row => row.Model == model.Name)];
        BenchRivalRow[] rivals = [.. report.Rivals.Where(row => row.Model == model.Name)];
        page.Heading(I($"{model.Name}: {model.Description}, {model.Layers} layers"));
        if (rows.Length == 0)
        {
            page.Paragraph("Nothing was measured.");
            return;
        }
        page.Plot(TtftPlot(I($"ttft-{index}"), rows, baseline, rivals));
        page.Plot(PromisePlot(I($"promise-{index}"), rows));
        page.Plot(StagePlot(I($"stages-{index}"), rows, baseline));
        AppendRows(page, rows);
        if (rivals.Length > 0)
        {
            AppendRivals(page, rivals);
        }
        AppendRounds(page, model);
    }

    /// <summary>A line for the baseline, each way of prefilling, and each rival.</summary>
    private static SvgPlot TtftPlot(string id, BenchRow[] rows, BenchBaselineRow[] baseline, BenchRivalRow[] rivals)
    {
        (double Left, double Top, double Width, double Height) = (76, 48, 620, 320);
        (string Name, bool IsDashed, PlotPoint[] Points)[] lines =
        [
            (
                "unpatched llama.cpp",
                true,
                [.. baseline.Select(row => Point("unpatched", row.PromptTokens, row.TtftMs, row.TtftPercentiles))]
            ),
            .. rows.GroupBy(BenchTable.Run)
                .Select(group =>
                    (
                        group.Key,
                        false,
                        (PlotPoint[])
                            [
                                .. group
                                    .OrderBy(row => row.PromptTokens)
                                    .Select(row =>
                                        Point(group.Key, row.PromptTokens, row.TtftMs, row.TtftPercentiles, row)
                                    ),
                            ]
                    )
                ),
            .. rivals
                .GroupBy(rival => rival.Rival)
                .Select(group =>
                    (
                        group.Key,
                        true,
                        (PlotPoint[])
                            [
                                .. group
                                    .OrderBy(row => row.PromptTokens)
                                    .Select(row => Point(group.Key, row.PromptTokens, row.TtftMs, row.TtftPercentiles)),
                            ]
                    )
                ),
        ];
        PlotPoint[] all = [.. lines.SelectMany(line => line.Points)];
        int[] lengths = [.. rows.Select(row => row.PromptTokens).Distinct().Order()];
        // a single length has an axis, too
        PlotScale x = new(lengths[0] / 1.15, lengths[^1] * 1.15, Left, Left + Width, IsLogarithmic: true);
        PlotScale y = new(
            all.Min(point => point.Interval?.Low ?? point.Y) / 1.2,
            all.Max(point => point.Interval?.High ?? point.Y) * 1.2,
            Top + Height,
            Top,
            IsLogarithmic: true
        );
        SvgPlot plot = new(
            id,
            "Time to first token by prompt length, one line per target and one for unpatched llama.cpp",
            Left + Width + 230,
            Top + Height + 56
        );
        plot.Axes(
            "Time to first token by prompt length (both axes logarithmic; lower is better)",
            new PlotAxis(x, "prompt, tokens", [.. lengths.Select(length => (double)length)], tick => I($"{tick:#,0}")),
            new PlotAxis(y, "median time to first token", [.. y.Ticks(6)], Time)
        );
        for (int i = 0; i < lines.Length; i++)
        {
            // the baseline in grey
            int series = i == 0 ? UnpatchedSeries : (i - 1) + (i > UnpatchedSeries ? 1 : 0);
            plot.Line(series, x, y, lines[i].Points, lines[i].IsDashed);
            plot.Legend(series, Left + Width + 20, Top + 10 + (24 * i), lines[i].Name, lines[i].IsDashed);
        }
        return plot;
    }

    private static PlotPoint Point(
        string name,
        int tokens,
        double milliseconds,
        Percentiles percentiles,
        BenchRow? row = null
    ) =>
        new(
            tokens,
            milliseconds,
            I(
                $"{name}, {tokens:#,0} tokens: median {Time(milliseconds)}, 90th percentile {Time(percentiles.P90.Value)}"
            )
                + (
                    row is null
                        ? ""
                        : I($"; {row.MeasuredSpeedup:0.00}x over unpatched, {row.PromisedSpeedup:0.00}x promised")
                ),
            percentiles.P50 is { Low: { } low, High: { } high } ? (low, high) : null
        );

    /// <summary>A mark for every row that asks for a speedup, and the diagonal where it should be.</summary>
    private static SvgPlot PromisePlot(string id, BenchRow[] rows)
    {
        (double Left, double Top, double Size) = (76, 48, 380);
        BenchRow[] asked = [.. rows.Where(row => row.Kind == "target" && row.Target > 1)];
        int[] lengths = [.. asked.Select(row => row.PromptTokens).Distinct().Order()];
        double high =
            asked.SelectMany(row => (double[])[row.PromisedSpeedup, row.MeasuredSpeedup]).DefaultIfEmpty(2).Max() * 1.1;
        double low = Math.Min(1, asked.Select(row => row.MeasuredSpeedup).DefaultIfEmpty(1).Min()) * 0.95;
        PlotScale x = new(low, high, Left, Left + Size);
        PlotScale y = new(low, high, Top + Size, Top);
        SvgPlot plot = new(
            id,
            "Measured against promised speedup, one mark per row, with a band of 7 % around the diagonal",
            Left + Size + 230,
            Top + Size + 56
        );
        plot.Band(
            (x[low], y[low]),
            (x[low], y[Math.Min(high, low * (1 + Band))]),
            (x[high / (1 + Band)], y[high]),
            (x[high], y[high]),
            (x[high], y[high * (1 - Band)]),
            (x[low / (1 - Band)], y[low])
        );
        plot.Axes(
            "Measured against promised speedup",
            new PlotAxis(x, "promised speedup", [.. x.Ticks(6)], tick => I($"{tick:0.##}x")),
            new PlotAxis(y, "measured speedup over unpatched", [.. y.Ticks(6)], tick => I($"{tick:0.##}x"))
        );
        plot.Ideal(x[low], y[low], x[high], y[high]);
        if (asked.Length == 0)
        {
            plot.Text("tick", Left + (Size / 2), Top + (Size / 2), "no row asked for a speedup", "middle");
        }
        for (int i = 0; i < lengths.Length; i++)
        {
            // side by side, so that no whisker hides another
            double aside = 6 * (i - ((lengths.Length - 1) / 2.0));
            plot.Points(
                i,
                x with
                {
                    From = x.From + aside,
                    To = x.To + aside,
                },
                y,
                [
                    .. asked
                        .Where(row => row.PromptTokens == lengths[i])
                        .Select(row => new PlotPoint(
                            row.PromisedSpeedup,
                            row.MeasuredSpeedup,
                            I(
                                $"{row.PromptTokens:#,0} tokens, {BenchTable.Run(row)}: promised {row.PromisedSpeedup:0.00}x, measured {row.MeasuredSpeedup:0.00}x ({BenchTable.Interval(row)}), {100 * row.PromiseError:+0.0;-0.0;0.0} %"
                            ),
                            row.MeasuredSpeedup95 is [var from, var to]
                                ? (Math.Max(low, from), Math.Min(high, to))
                                : null
                        )),
                ]
            );
            plot.Legend(i, Left + Size + 20, Top + 10 + (24 * i), I($"{lengths[i]:#,0} tokens"));
        }
        double under = Top + 22 + (24 * lengths.Length);
        plot.Text("tick", Left + Size + 20, under, "band: within 7 % of the promise");
        plot.Text("tick", Left + Size + 20, under + 20, "whiskers: 95 % interval");
        return plot;
    }

    /// <summary>A bar for every row: stages, selection, and the rest up to the first token.</summary>
    private static SvgPlot StagePlot(string id, BenchRow[] rows, BenchBaselineRow[] baseline)
    {
        const double Left = 200;
        const double Top = 48;
        const double Width = 496;
        const double BarHeight = 15;
        const double Step = 19;
        const double GroupGap = 30;
        int[] lengths = [.. rows.Select(row => row.PromptTokens).Distinct().Order()];
        double height = lengths.Sum(length => GroupGap + (Step * (1 + rows.Count(row => row.PromptTokens == length))));
        double most = rows.Max(row => row.TtftMs / row.BaselineTtftMs);
        PlotScale x = new(0, Math.Max(1, most) * 1.05, Left, Left + Width);
        SvgPlot plot = new(
            id,
            "Where the time to first token goes, as a share of that of unpatched llama.cpp, one bar per row",
            Left + Width + 230,
            Top + height + 56
        );
        plot.Axes(
            "Where the time goes, as a share of unpatched llama.cpp's time to first token",
            new PlotAxis(
                x,
                "share of the unpatched time to first token",
                [.. x.Ticks(6)],
                tick => I($"{100 * tick:0} %")
            ),
            new PlotAxis(new PlotScale(0, 1, Top + height, Top), "", [], _ => "")
        );
        double at = Top;
        foreach (int length in lengths)
        {
            at += GroupGap;
            plot.Text("legend", 8, at - 8, I($"{length:#,0} tokens"));
            BenchBaselineRow unpatched = Array.Find(baseline, row => row.PromptTokens == length)!;
            Label("unpatched", at);
            plot.Bar(
                UnpatchedSeries,
                x[0],
                at,
                x[1] - x[0],
                BarHeight,
                I($"unpatched, {length:#,0} tokens: {Time(unpatched.TtftMs)}")
            );
            at += Step;
            foreach (BenchRow row in rows.Where(row => row.PromptTokens == length))
            {
                Label(BenchTable.Run(row), at);
                double from = 0;
                foreach ((int series, string name, double milliseconds) in Parts(row))
                {
                    double to = from + (milliseconds / row.BaselineTtftMs);
                    plot.Bar(
                        series,
                        x[from],
                        at,
                        x[to] - x[from],
                        BarHeight,
                        I(
                            $"{BenchTable.Run(row)}, {length:#,0} tokens, {name}: {Time(milliseconds)}, {100 * milliseconds / row.TtftMs:0.0} % of {Time(row.TtftMs)}"
                        )
                    );
                    from = to;
                }
                at += Step;
            }
        }
        int stages = rows.Max(row => row.StageMs.Count);
        (int Series, string Name)[] legend =
        [
            (UnpatchedSeries, "unpatched llama.cpp"),
            .. Enumerable.Range(0, stages).Select(stage => (StageSeries(stage), I($"stage {stage + 1}"))),
            (SelectionSeries, "selection of tokens"),
            (FirstTokenSeries, "first token, overheads"),
        ];
        for (int i = 0; i < legend.Length; i++)
        {
            plot.BarLegend(legend[i].Series, Left + Width + 20, Top + 10 + (24 * i), legend[i].Name);
        }
        return plot;

        void Label(string text, double y) => plot.Text("tick", Left - 8, y + 12, text, "end");
    }

    private static IEnumerable<(int Series, string Name, double Milliseconds)> Parts(BenchRow row)
    {
        for (int stage = 0; stage < row.StageMs.Count; stage++)
        {
            yield return (
                StageSeries(stage),
                I($"stage {stage + 1} ({row.TokensPerStage[stage]:#,0} tokens from layer {row.StageLayers[stage]} on)"),
                row.StageMs[stage]
            );
        }
        yield return (SelectionSeries, "selection of tokens", row.SelectMs);
        yield return (FirstTokenSeries, "first token and overheads", row.FirstTokenMs);
    }

    private static int StageSeries(int stage) => stage % SelectionSeries;

    private static void AppendRows(HtmlPage page, BenchRow[] rows)
    {
        page.Table(
            [
                "prompt",
                "run",
                "promised",
                "measured",
                "95 % interval",
                "error",
                "by CPU time",
                "TTFT p50",
                "p90",
                "p95",
                "unpatched p50",
                "tokens per stage",
                "KV cache",
                "per output token",
                "unpatched",
                "pairs",
                "disturbed",
            ],
            rows.Select(row =>
                (string[])
                    [
                        I($"{row.PromptTokens}"),
                        BenchTable.Run(row),
                        I($"{row.PromisedSpeedup:0.00}x"),
                        I($"{row.MeasuredSpeedup:0.00}x"),
                        BenchTable.Interval(row),
                        I($"{100 * row.PromiseError:+0.0;-0.0;0.0} %"),
                        I($"{row.MeasuredCpuSpeedup:0.00}x"),
                        Time(row.TtftMs),
                        Time(row.TtftPercentiles.P90.Value),
                        Time(row.TtftPercentiles.P95.Value),
                        Time(row.BaselineTtftMs),
                        string.Join(" > ", row.TokensPerStage),
                        I($"{ByteSize.Format(row.KvBytes)}, {100 * row.KvShare:0} %"),
                        row.DecodeMsPerToken is { } ours ? Time(ours) : "",
                        row.BaselineDecodeMsPerToken is { } unpatched ? Time(unpatched) : "",
                        I($"{row.Pairs}"),
                        I($"{row.DisturbedPairs}"),
                    ]
            )
        );
    }

    private static void AppendRivals(HtmlPage page, BenchRivalRow[] rivals)
    {
        page.Heading("Rivals");
        page.Table(
            [
                "rival",
                "prompt",
                "prompt, as it counts",
                "TTFT p50",
                "p90",
                "over unpatched",
                "per output token",
                "runs",
            ],
            rivals.Select(row =>
                (string[])
                    [
                        row.Rival,
                        I($"{row.PromptTokens}"),
                        row.RivalPromptTokens is { } counted ? I($"{counted:0}") : "not said",
                        Time(row.TtftMs),
                        Time(row.TtftPercentiles.P90.Value),
                        row.SpeedupOverBaseline is { } speedup ? I($"{speedup:0.00}x") : "",
                        row.DecodeMsPerToken is { } decode ? Time(decode) : "",
                        I($"{row.Samples.Count}"),
                    ]
            )
        );
    }

    private static void AppendRounds(HtmlPage page, BenchModel model)
    {
        page.Heading("Rounds");
        page.Table(
            ["round", "runs", "load average before", "after", "cores that others used", "disturbed"],
            model.Rounds.Select(round =>
                (string[])
                    [
                        I($"{round.Round + 1}"),
                        I($"{round.Runs}"),
                        round.LoadAverageBefore is { } before ? I($"{before:0.00}") : "unknown",
                        round.LoadAverageAfter is { } after ? I($"{after:0.00}") : "unknown",
                        round.OtherCpuShare is { } share ? I($"{100 * share:0.0} %") : "unknown",
                        round.IsDisturbed switch
                        {
                            true => "yes",
                            false => "no",
                            null => "unknown",
                        },
                    ]
            )
        );
    }

    private static string Threads(BenchSettings settings) =>
        settings.Threads == 1 ? "1 thread" : I($"{settings.Threads} threads");

    private static string Time(double milliseconds) =>
        milliseconds switch
        {
            < 10 => I($"{milliseconds:0.##} ms"),
            < 1000 => I($"{milliseconds:0.#} ms"),
            _ => I($"{milliseconds / 1000:0.##} s"),
        };
}

using Foretoken.Cli.Console;
using Spectre.Console;
using Spectre.Console.Rendering;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Bench;

/// <summary>The report for people at a terminal.</summary>
internal static class BenchTable
{
    internal static IRenderable Render(BenchReport report)
    {
        List<IRenderable> parts = [];
        foreach (BenchModel model in report.Models)
        {
            BenchRow[] rows = [.. report.Rows.Where(row => row.Model == model.Name)];
            parts.Add(new Text(Headline(report, model)));
            parts.Add(
                rows.Length > 0
                    ? Table(rows, [.. report.Rivals.Where(rival => rival.Model == model.Name)])
                    : new Text("Nothing was measured.\n")
            );
        }
        parts.AddRange(Sentences(report).Select(sentence => new Text(sentence)));
        return new Rows(parts);
    }

    internal static string Headline(BenchReport report, BenchModel model) =>
        I(
            $"{model.Name} ({model.Description}), {report.Machine.Cpu}, {report.Settings.Threads} {(report.Settings.Threads == 1 ? "thread" : "threads")}; unpatched llama.cpp {report.Build.LlamaRelease} in the same rounds, ranked by {model.Importance}"
        );

    /// <summary>What the table does not say.</summary>
    internal static IEnumerable<string> Sentences(BenchReport report)
    {
        yield return Promises(report.Promises);
        yield return Exactness(report.Exactness);
        foreach (BenchModel model in report.Models)
        {
            if (Disturbed(model) is { } disturbed)
            {
                yield return disturbed;
            }
            if (model is { PeakMemoryBytes: { } ours, BaselinePeakMemoryBytes: { } baseline })
            {
                yield return $"{model.Name}: peak memory {ByteSize.Format(ours)}, unpatched {ByteSize.Format(baseline)}; mapped weights are in both, the .NET runtime in ours.";
            }
        }
        foreach (string note in report.Notes)
        {
            yield return note;
        }
        if (report.StoppedBecause is { } because)
        {
            yield return $"Stopped: {because} This is what had been measured.";
        }
    }

    internal static string Promises(PromiseSummary promises) =>
        promises is { MedianAbsoluteError: { } median, P95AbsoluteError: { } p95 }
            ? I(
                $"Promised against measured, {promises.Rows} {(promises.Rows == 1 ? "row" : "rows")}: median error {100 * median:0.0} %, 95th percentile {100 * p95:0.0} %; "
            )
                + (
                    promises.OutOfRange == 0
                        ? "no promise out of the stated range."
                        : I($"{promises.OutOfRange} PROMISES OUT OF THE STATED RANGE. That is a defect.")
                )
            : "No row asked for a speedup, so no promise was tested.";

    internal static string Exactness(BenchExactness exactness) =>
        exactness switch
        {
            { Runs: 0 } => "No run kept everything, so nothing was compared token for token.",
            { SameLogits: true, SameDecodedTokens: not false } => I(
                $"Keeping everything: the logits of unpatched llama.cpp, bit for bit, in {exactness.Runs} of {exactness.Runs} runs."
            ),
            { SameFirstToken: true, SameDecodedTokens: not false } => I(
                $"Keeping everything: the tokens of unpatched llama.cpp in all {exactness.Runs} runs, but not the same logits bit for bit."
            ),
            _ =>
                "Keeping everything gave OTHER TOKENS than unpatched llama.cpp. That is a defect; the raw samples show where.",
        };

    /// <summary>The rounds that other processes disturbed; null when none is known to be.</summary>
    internal static string? Disturbed(BenchModel model)
    {
        BenchRound[] disturbed = [.. model.Rounds.Where(round => round.IsDisturbed == true)];
        return disturbed.Length == 0
            ? null
            : I(
                $"{model.Name}: other processes used {100 * disturbed.Max(round => round.OtherCpuShare!.Value):0} % of the cores at worst; rounds {string.Join(", ", disturbed.Select(round => round.Round + 1))} of {model.Rounds.Count} are marked as disturbed and count all the same. CPU time tells more there."
            );
    }

    internal static string Run(BenchRow row) =>
        row.Kind switch
        {
            "keep-all" => "keep all " + row.Plan,
            "plan" => "plan " + row.Plan,
            _ => I($"target {row.Target:0.##}"),
        };

    private static Table Table(BenchRow[] rows, BenchRivalRow[] rivals)
    {
        string[] rivalNames = [.. rivals.Select(rival => rival.Rival).Distinct()];
        bool decoded = rows.Any(row => row.DecodeMsPerToken is not null);
        Table table = new Table().Border(TableBorder.Simple);
        string[] left = ["run", "95 % interval", "tokens per stage"];
        foreach (
            string column in (string[])
                [
                    "prompt",
                    "run",
                    "promised",
                    "measured",
                    "95 % interval",
                    "by CPU",
                    "TTFT",
                    "unpatched",
                    "tokens per stage",
                    "KV cache",
                    .. decoded ? ["per token", "unpatched"] : (string[])[],
                    .. rivalNames,
                ]
        )
        {
            TableColumn header = new(Markup.Escape(column)) { NoWrap = true };
            table.AddColumn(left.Contains(column) ? header : header.RightAligned());
        }
        foreach (BenchRow row in rows)
        {
            List<string> cells =
            [
                I($"{row.PromptTokens}"),
                Run(row),
                I($"{row.PromisedSpeedup:0.00}x"),
                I($"{row.MeasuredSpeedup:0.00}x"),
                Interval(row),
                I($"{row.MeasuredCpuSpeedup:0.00}x"),
                Milliseconds(row.TtftMs),
                Milliseconds(row.BaselineTtftMs),
                string.Join(" > ", row.TokensPerStage),
                I($"{ByteSize.Format(row.KvBytes)}, {100 * row.KvShare:0} %"),
            ];
            if (decoded)
            {
                cells.Add(I($"{row.DecodeMsPerToken:0.0} ms"));
                cells.Add(I($"{row.BaselineDecodeMsPerToken:0.0} ms"));
            }
            cells.AddRange(
                rivalNames.Select(name =>
                    Array.Find(rivals, rival => rival.Rival == name && rival.PromptTokens == row.PromptTokens) is { } at
                        ? Milliseconds(at.TtftMs)
                        : ""
                )
            );
            table.AddRow([.. cells.Select(cell => new Text(cell))]);
        }
        return table;
    }

    internal static string Interval(BenchRow row) =>
        row.MeasuredSpeedup95 is [var low, var high] ? I($"{low:0.00} to {high:0.00}") : "too few pairs";

    internal static string Milliseconds(double value) =>
        value < 10_000 ? I($"{value:0.0} ms") : I($"{value / 1000:0.00} s");
}

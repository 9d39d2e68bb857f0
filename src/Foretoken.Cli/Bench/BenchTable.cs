using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Foretoken.Cli.Bench;

/// <summary>The rows for people.</summary>
internal static class BenchTable
{
    internal static IRenderable Render(BenchReport report)
    {
        bool decoded = report.Settings.DecodeTokens > 0;
        Table table = new Table().Border(TableBorder.Simple);
        foreach (
            string column in (string[])
                ["prompt", "run", "promised", "measured", "spread", "TTFT", "unpatched", "tokens per stage", "KV cache"]
        )
        {
            TableColumn header = new(column) { NoWrap = true };
            table.AddColumn(column is "run" or "spread" or "tokens per stage" ? header : header.RightAligned());
        }
        if (decoded)
        {
            table.AddColumn(new TableColumn("decode").RightAligned());
            table.AddColumn(new TableColumn("unpatched").RightAligned());
        }
        foreach (BenchRow row in report.Rows)
        {
            List<string> cells =
            [
                I($"{row.PromptTokens}"),
                Run(row),
                I($"{row.PromisedSpeedup:0.00}x"),
                I($"{row.MeasuredSpeedup:0.00}x"),
                I($"{row.MeasuredSpeedupMin:0.00} to {row.MeasuredSpeedupMax:0.00}"),
                I($"{row.TtftMs:0.0} ms"),
                I($"{row.BaselineTtftMs:0.0} ms"),
                string.Join(" > ", row.TokensPerStage),
                ByteSize.Format(row.KvBytes),
            ];
            if (decoded)
            {
                cells.Add(I($"{row.DecodeMsPerToken:0.00} ms"));
                cells.Add(I($"{row.BaselineDecodeMsPerToken:0.00} ms"));
            }
            table.AddRow([.. cells.Select(cell => new Text(cell))]);
        }
        return new Rows(
            new Text(
                I(
                    $"{report.Model.Name} ({report.Model.Description}), {report.Machine.Cpu}, {report.Settings.Threads} threads; {report.Settings.Pairs} pairs per row, unpatched llama.cpp {report.Build.LlamaRelease} in turn"
                )
            ),
            table,
            new Text(Exactness(report.Exactness))
        );
    }

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

    private static string Run(BenchRow row) =>
        row.Kind switch
        {
            "keep-all" => "keep all " + row.Plan,
            "plan" => "plan " + row.Plan,
            _ => I($"speed {row.Target:0.##}"),
        };

    private static string I(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

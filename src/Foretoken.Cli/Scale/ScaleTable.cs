using Spectre.Console;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Scale;

/// <summary>The rows for people, as Markdown, so that they can be pasted.</summary>
internal static class ScaleTable
{
    internal static void Write(CliContext context, ScaleReport report)
    {
        // a table that is wrapped could not be read
        context.Output.Profile.Width = int.Max(context.Output.Profile.Width, 400);
        foreach (Hardware device in report.Hardware)
        {
            context.WriteRaw(I($"### {device.Description}"));
            context.WriteRaw("");
            context.WriteRaw(
                I(
                    $"{device.PeakTflops:0.##} TFLOPS, of which matrix products reach {100 * device.MatrixEfficiency:0} % and attention {100 * device.AttentionEfficiency:0} %; {device.BandwidthGBps:0.#} GB/s; {device.MemoryGB:0.#} GB each. Source: {device.Source}."
                )
            );
            context.Output.Write(Render([.. report.Rows.Where(row => row.Hardware == device.Name)]));
        }
    }

    private static Table Render(ScaleRow[] rows)
    {
        // it brings an empty line above and below itself
        Table table = new Table().Border(TableBorder.Markdown);
        Add(table, "model", "prompt", "devices", "plain TTFT", "attention", "KV cache");
        foreach (ScalePlan plan in rows.FirstOrDefault()?.Plans ?? [])
        {
            Add(table, I($"{plan.Target:0.##}x: plan"), "TTFT", "KV cache");
        }
        Add(table, "most", "bounded by");
        foreach (ScaleRow row in rows)
        {
            table.AddRow([
                row.Model,
                I($"{row.PromptTokens:#,0}"),
                I($"{row.Devices}"),
                Time(row.PlainTtftSeconds),
                I($"{100 * row.AttentionShare:0} %"),
                Bytes(row.KvBytes),
                .. row.Plans.SelectMany(plan =>
                    new[]
                    {
                        plan.IsTargetReached ? plan.Plan ?? "keep all" : I($"no: {plan.PromisedSpeedup:0.00}x"),
                        Time(plan.TtftSeconds),
                        Bytes(plan.KvBytes),
                    }
                ),
                I($"{row.ReachableSpeedup:0.00}x"),
                Bound(row.Bound),
            ]);
        }
        return table;
    }

    private static string Bound(ScaleBound bound) =>
        bound.Limit switch
        {
            "memory-bandwidth" => "reading the weights",
            "too-short" => "prompt too short",
            _ => (bound.Limit == "always-kept" ? "always-kept tokens" : "schedule ends")
                + I($"; {100 * bound.BelowFirstBoundary:0} % below the first boundary")
                + (bound.Overheads >= 0.005 ? I($", {100 * bound.Overheads:0} % overheads") : ""),
        };

    private static string Time(double seconds) =>
        seconds < 1 ? I($"{1000 * seconds:0} ms")
        : seconds < 100 ? I($"{seconds:0.0} s")
        : I($"{seconds:#,0} s");

    private static string Bytes(long bytes) => I($"{bytes / 1e9:0.0} GB");

    private static void Add(Table table, params string[] headers)
    {
        foreach (string header in headers)
        {
            table.AddColumn(new TableColumn(header) { NoWrap = true });
        }
    }
}

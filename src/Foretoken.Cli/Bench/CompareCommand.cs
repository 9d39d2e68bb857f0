using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Cli.Options;
using Spectre.Console;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Bench;

/// <summary><c>foretoken bench --compare</c>: two results side by side.</summary>
internal static class CompareCommand
{
    /// <param name="context">Where to write.</param>
    /// <param name="files">The two results, the older one first.</param>
    /// <param name="failPercent">Fail when a row is slower beyond noise and by so many percent; null never to.</param>
    /// <param name="force">Compare what was not measured alike.</param>
    /// <param name="json">File for the JSON, <c>-</c> for standard output; null for none.</param>
    /// <exception cref="CliException">A file is missing, no result, or they cannot be compared.</exception>
    internal static async Task<int> RunAsync(
        CliContext context,
        (string Before, string After) files,
        double? failPercent,
        bool force,
        string? json
    )
    {
        CommandOptions.EnsureWritable("--json", json);
        BenchComparison comparison = BenchComparison.Of(
            await ReadAsync(files.Before),
            await ReadAsync(files.After),
            force
        );
        string text = JsonSerializer.Serialize(comparison, BenchJsonContext.Readable.BenchComparison);
        if (json == "-")
        {
            context.WriteRaw(text);
        }
        else
        {
            Show(context, comparison);
        }
        if (json is { } path and not "-")
        {
            await File.WriteAllTextAsync(path, text + "\n", CancellationToken.None);
            context.Note($"The comparison is in {path}.");
        }

        ComparedRow[] regressions = failPercent is { } percent ? [.. comparison.Regressions(percent / 100)] : [];
        foreach (ComparedRow row in regressions)
        {
            ErrorText.Write(
                context.Errors,
                I(
                    $"{row.Model}, {row.PromptTokens} tokens, {row.Run}: {-100 * row.Change:0.0} % slower than before, beyond noise."
                )
            );
        }
        return regressions.Length > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    internal static async Task<BenchReport> ReadAsync(string path)
    {
        if (!File.Exists(path))
        {
            throw new CliException($"There is no file '{path}'. Results are made with 'bench --json FILE'.");
        }
        try
        {
            await using FileStream stream = File.OpenRead(path);
            using JsonDocument json = await JsonDocument.ParseAsync(stream);
            int format =
                json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty("format", out JsonElement value)
                    ? value.GetInt32()
                    : 0;
            return format == BenchReport.CurrentFormat
                ? json.RootElement.Deserialize(BenchJsonContext.Readable.BenchReport)!
                : throw new CliException(
                    I(
                        $"'{path}' is no result that can be compared: this program reads format {BenchReport.CurrentFormat} of 'bench --json', and the file has {(format == 0 ? "none, so an older program or another command wrote it" : I($"{format}"))}. Measure again."
                    )
                );
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new CliException($"'{path}' is no result of 'bench --json': {e.Message}", e);
        }
    }

    private static void Show(CliContext context, BenchComparison comparison)
    {
        foreach (string difference in comparison.Differences)
        {
            context.Note($"Not measured alike: {difference}.");
        }
        Table table = new Table().Border(TableBorder.Simple);
        foreach (
            string column in (string[])
                [
                    "model",
                    "prompt",
                    "run",
                    "before",
                    "after",
                    "change",
                    "95 % interval",
                    "p",
                    "TTFT before",
                    "after",
                    "",
                ]
        )
        {
            TableColumn header = new(Markup.Escape(column)) { NoWrap = true };
            table.AddColumn(column is "model" or "run" or "" ? header : header.RightAligned());
        }
        foreach (ComparedRow row in comparison.Rows)
        {
            string[] cells =
            [
                row.Model,
                I($"{row.PromptTokens}"),
                row.Run,
                I($"{row.SpeedupBefore:0.00}x"),
                I($"{row.SpeedupAfter:0.00}x"),
                I($"{100 * row.Change:+0.0;-0.0;0.0} %"),
                row.Change95 is [var low, var high]
                    ? I($"{100 * low:+0.0;-0.0;0.0} to {100 * high:+0.0;-0.0;0.0} %")
                    : "",
                row.Change95 is null ? "" : I($"{row.P:0.000}"),
                BenchTable.Milliseconds(row.TtftMsBefore),
                BenchTable.Milliseconds(row.TtftMsAfter),
                row.Verdict switch
                {
                    ComparedRow.Slower => "SLOWER",
                    ComparedRow.Faster => "faster",
                    ComparedRow.Unknown => "too few pairs",
                    _ => "",
                },
            ];
            table.AddRow([.. cells.Select(cell => new Text(cell))]);
        }
        context.Output.Write(table);
        int slower = comparison.Rows.Count(row => row.Verdict == ComparedRow.Slower);
        int faster = comparison.Rows.Count(row => row.Verdict == ComparedRow.Faster);
        context.WriteRaw(
            I(
                $"Of {comparison.Rows.Count} rows {slower} are slower and {faster} faster beyond noise (speedups over unpatched llama.cpp of the same run; Welch's test, p-values for all rows together)."
            )
        );
        foreach (
            (string what, IReadOnlyList<string> rows) in new[]
            {
                ("first", comparison.OnlyBefore),
                ("second", comparison.OnlyAfter),
            }
        )
        {
            if (rows.Count > 0)
            {
                context.WriteRaw($"Only in the {what}: {string.Join("; ", rows)}.");
            }
        }
    }
}

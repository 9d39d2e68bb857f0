using Foretoken.Tuning.Quality;
using Spectre.Console;
using Spectre.Console.Rendering;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Quality;

/// <summary>When the output tokens of completed prompts come, beside those behind full prefill.</summary>
internal static class ArrivalTable
{
    private static readonly int[] Tokens = [1, 2, 4, 8, 16, 32, 64];

    /// <summary>Two lines for each <see cref="QualityLine"/>; null when nothing was completed.</summary>
    internal static IRenderable? Render(IReadOnlyList<QualitySample> samples)
    {
        if (!samples.Any(sample => sample.Completion is not null))
        {
            return null;
        }

        Table table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("output token").NoWrap());
        foreach (int token in Tokens)
        {
            table.AddColumn(new TableColumn(I($"{token}")).RightAligned().NoWrap());
        }

        foreach (var group in QualityLine.Group(samples.Where(sample => sample.Completion is not null)))
        {
            // prompts of the caller's own have lengths of their own
            string length = group.Key.Length > 0 ? I($", {group.Key.Length} tokens") : "";
            AddRow(
                table,
                $"{group.Key.Importance}, {QualityLine.AskedOf(group.Key)}{length}",
                group,
                sample => sample.ArrivalsMs
            );
            AddRow(table, "full prefill", group, sample => sample.FullArrivalsMs);
        }

        return new Rows(
            table,
            new Text("Output token: when it was there, in times of the full prefill of the same prompt (median).")
        );
    }

    private static void AddRow(
        Table table,
        string name,
        IEnumerable<QualitySample> samples,
        Func<QualitySample, IReadOnlyList<double>> arrivals
    ) => table.AddRow([new Text(name), .. Tokens.Select(token => new Text(Share(samples, token, arrivals)))]);

    private static string Share(
        IEnumerable<QualitySample> samples,
        int token,
        Func<QualitySample, IReadOnlyList<double>> arrivals
    )
    {
        double[] shares =
        [
            .. samples
                .Where(sample => arrivals(sample).Count >= token)
                .Select(sample => arrivals(sample)[token - 1] / sample.FullPrefillMs),
        ];
        return shares.Length == 0 ? "" : I($"{QualityTable.Median(shares):0.00}");
    }
}

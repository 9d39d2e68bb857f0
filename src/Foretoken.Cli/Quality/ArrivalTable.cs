using Foretoken.Tuning;
using Spectre.Console;
using Spectre.Console.Rendering;
using static Foretoken.Cli.InvariantText;

namespace Foretoken.Cli.Quality;

/// <summary>When the output tokens of completed prompts come, beside those behind full prefill.</summary>
internal static class ArrivalTable
{
    private static readonly int[] Tokens = [1, 2, 4, 8, 16, 32, 64];

    /// <summary>One line for each importance, target and length; null when nothing was completed.</summary>
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

        foreach (
            IGrouping<(string Importance, double Target, int Length), QualitySample> group in samples
                .Where(sample => sample.Completion is not null)
                .GroupBy(sample => (sample.Importance, sample.Target, sample.Length))
        )
        {
            table.AddRow([
                I($"{group.Key.Importance}, {group.Key.Target:0.##}x, {group.Key.Length} tokens"),
                .. Tokens.Select(token => Share(group, token, sample => sample.ArrivalsMs)),
            ]);
            table.AddRow([
                "full prefill",
                .. Tokens.Select(token => Share(group, token, sample => sample.FullArrivalsMs)),
            ]);
        }

        return new Rows(
            table,
            new Text("Output token: when it was there, in times of the full prefill of the same prompt (median).")
        );
    }

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

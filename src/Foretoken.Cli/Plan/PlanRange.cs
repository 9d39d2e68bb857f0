using Foretoken.Planning;
using Foretoken.Plans;
using Spectre.Console;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Plan;

/// <summary>What can be asked for at one prompt length.</summary>
/// <param name="PromptTokens">Tokens of the prompt, all of them new.</param>
/// <param name="ReachableSpeedup">The largest speedup; 1 where plain prefill is as fast.</param>
/// <param name="PlainMs">Expected time of plain prefill in milliseconds; null when nothing was measured.</param>
/// <param name="FastestMs">Expected time at <paramref name="ReachableSpeedup"/>.</param>
/// <param name="RelativeStandardError">Standard error of <paramref name="PlainMs"/> as a share of it.</param>
internal sealed record PlanRange(
    int PromptTokens,
    double ReachableSpeedup,
    double? PlainMs,
    double? FastestMs,
    double? RelativeStandardError
)
{
    private static readonly int[] Lengths = [128, 256, 512, 1024, 2048, 4096, 8192];

    internal static IReadOnlyList<PlanRange> Of(PrefillPlanner planner, ProbeLoad probes, double? maxQualityLoss = null)
    {
        List<PlanRange> ranges = [];
        foreach (int tokens in Lengths)
        {
            PlannedPrefill fastest = planner.Plan(
                new PlanRequest
                {
                    TargetSpeedup = PrefillPlanner.MaxTargetSpeedup,
                    MaxQualityLoss = maxQualityLoss,
                    NewTokens = tokens,
                    Probes = probes,
                }
            );
            ranges.Add(
                new PlanRange(
                    tokens,
                    fastest.ReachableSpeedup,
                    fastest.ExpectedPlainTime?.Time.TotalMilliseconds,
                    fastest.ExpectedTime?.Time.TotalMilliseconds,
                    fastest.ExpectedPlainTime?.RelativeStandardError
                )
            );
        }
        return ranges;
    }

    internal static void Show(CliContext context, IReadOnlyList<PlanRange> ranges)
    {
        bool isMeasured = ranges.Any(range => range.PlainMs is not null);
        Grid grid = new();
        string[] heads = isMeasured ? ["tokens", "plain prefill", "at most", "fastest prefill"] : ["tokens", "at most"];
        foreach (string _ in heads)
        {
            grid.AddColumn(new GridColumn().NoWrap().RightAligned().PadRight(3));
        }
        grid.AddRow([.. heads.Select(head => new Text(head, new Style(Color.Grey)))]);
        foreach (PlanRange range in ranges)
        {
            string tokens = I($"{range.PromptTokens:#,0}");
            string most = range.ReachableSpeedup > 1 ? I($"{range.ReachableSpeedup:0.00}x") : "1x";
            grid.AddRow([
                .. (
                    isMeasured
                        ? (string[])
                            [
                                tokens,
                                I($"{range.PlainMs:#,0} ms ± {100 * range.RelativeStandardError:0} %"),
                                most,
                                I($"{range.FastestMs:#,0} ms"),
                            ]
                        : [tokens, most]
                ).Select(text => new Text(text)),
            ]);
        }
        context.Output.Write(grid);
    }
}

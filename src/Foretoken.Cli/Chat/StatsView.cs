using System.Globalization;
using Foretoken.Importance;
using Foretoken.Sessions;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Foretoken.Cli.Chat;

/// <summary>The numbers behind an answer.</summary>
internal static class StatsView
{
    private const int BarWidth = 32;

    /// <summary>What `/stats` shows.</summary>
    internal static IRenderable Render(Answer answer)
    {
        if (answer.Report is not { } report)
        {
            return new Text("The last answer was cancelled, so there is no report about it.\n");
        }

        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(3)).AddColumn();
        Row(grid, "asked for", SpeedText.Format(Asked(report), report.MaxQualityLoss));
        Row(grid, "promised", Promised(report));
        if (report.Plan is not null)
        {
            Row(
                grid,
                "expected loss",
                report.ExpectedQualityLoss is { } loss
                    ? Invariant(
                        $"{loss:0.000} nats (KL divergence from full prefill), as measured when the model was tuned"
                    )
                    : "not measured for this plan"
            );
        }
        Row(
            grid,
            "measured",
            report.AchievedSpeedup is { } estimate
                ? Invariant(
                    $"{estimate:0.00}x{PlusMinus(report.EstimatedPlainTime?.RelativeStandardError)}, estimated from this prefill's own stages: the first one ran every token. ./run bench measures against unpatched llama.cpp."
                )
                : "nothing was left out"
        );
        Row(
            grid,
            "first token",
            Invariant(
                $"after {report.TimeToFirstToken.TotalMilliseconds:#,0} ms (prefill {report.PrefillTime.TotalMilliseconds:#,0} ms, of it choosing tokens {report.SelectTime.TotalMilliseconds:0.0} ms)"
            )
        );
        Row(
            grid,
            "prompt",
            Invariant(
                $"{report.PromptTokens:#,0} tokens: {report.ReusedTokens:#,0} were in the cache, {report.NewTokens:#,0} computed"
            )
        );
        Row(
            grid,
            "answer",
            answer.TokensPerSecond is { } speed
                ? Invariant($"{answer.OutputTokens:#,0} tokens, {speed:0.0} per second")
                : Invariant($"{answer.OutputTokens:#,0} tokens")
        );
        if (answer.RestoredTokens is > 0)
        {
            Row(
                grid,
                "brought back",
                Invariant($"{answer.RestoredTokens:#,0} dropped tokens of the prompt, which the answer quotes")
            );
        }
        if (report.Completion is { } completion)
        {
            Row(grid, "completed", Completed(completion));
        }
        Row(grid, "KV cache", $"{Bytes(report.KvBytes)} for the prompt");
        if (report.Importance is { } importance)
        {
            Row(grid, "chosen by", importance);
        }
        Row(grid, "plan", report.Reason);
        return new Rows(grid, new Text(""), Kept(report));
    }

    /// <summary>The tokens that each stage ran, as a small picture.</summary>
    internal static IRenderable Kept(PrefillReport report)
    {
        Grid grid = new Grid()
            .AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap().RightAligned())
            .AddColumn(new GridColumn().NoWrap().RightAligned())
            .AddColumn(new GridColumn().NoWrap());
        foreach (PrefillStageReport stage in report.Stages)
        {
            grid.AddRow(
                new Text(Invariant($"layers {stage.LayerBegin} to {stage.LayerEnd - 1}")),
                new Text(Bar(stage.Retention), new Style(Color.Green)),
                new Text(Invariant($"{stage.Tokens:#,0} tokens")),
                new Text(Invariant($"{100 * stage.Retention:0} %")),
                new Text(
                    stage.KeysAndValuesOnly ? "only their keys and values" : Decided(stage.Bound),
                    new Style(Color.Grey)
                )
            );
        }
        return grid;
    }

    /// <summary>What decided how many tokens a stage ran.</summary>
    private static string Decided(SelectionBound bound) =>
        bound switch
        {
            SelectionBound.AllTokens => "all that came",
            SelectionBound.Share => "the planned share",
            SelectionBound.LowerBound => "the least share, few passed the threshold",
            SelectionBound.Threshold => "those that passed the threshold",
            SelectionBound.UpperBound => "the planned share, more passed the threshold",
            _ => "",
        };

    private static string Promised(PrefillReport report) =>
        !report.IsPromiseMeasured
            ? Invariant($"{report.PromisedSpeedup:0.00}x, by counting operations: see foretoken calibrate")
        : report.ExpectedPrefillTime is { } expected
            ? Invariant(
                $"{report.PromisedSpeedup:0.00}x{PlusMinus(report.PromiseStandardError)}, by times measured on this machine; expected prefill {expected.Time.TotalMilliseconds:#,0} ms{PlusMinus(expected.RelativeStandardError)}"
            )
        : Invariant($"{report.PromisedSpeedup:0.00}x");

    /// <summary>What was computed of the prompt behind the first token of the answer.</summary>
    private static string Completed(CompletionReport completion)
    {
        string left = Invariant($"{completion.RemainingTokens:#,0} were left when the answer ended");
        if (completion.Tokens == 0)
        {
            return $"no tokens of the prompt behind the first word, {left}";
        }
        string until = completion.CompleteAtOutputToken is { } token
            ? Invariant($"all before output token {token}")
            : left;
        return Invariant(
            $"{completion.Tokens:#,0} tokens of the prompt behind the first word, {until}; {completion.Time.TotalMilliseconds:#,0} ms in all, a word waited {completion.LongestDelay.TotalMilliseconds:#,0} ms at most"
        );
    }

    private static string PlusMinus(double? share) => share is > 0 ? Invariant($" ± {100 * share.Value:0} %") : "";

    // with a budget alone the report's target is what the budget allowed
    private static double? Asked(PrefillReport report) =>
        report.MaxQualityLoss is not null && report.TargetSpeedup == report.PromisedSpeedup
            ? null
            : report.TargetSpeedup;

    /// <summary>One line for somebody who asked one question.</summary>
    internal static string Summary(Answer answer)
    {
        if (answer.Report is not { } report)
        {
            return "";
        }
        string kept =
            report.Stages.Count > 1
                ? Invariant(
                    $"{report.KeptTokens:#,0} of {report.NewTokens:#,0} tokens kept up to the last layer, promised {report.PromisedSpeedup:0.00}x"
                )
                : Invariant($"all of {report.NewTokens:#,0} tokens kept");
        string completed = report.Completion switch
        {
            null => "",
            { CompleteAtOutputToken: { } token } done => Invariant(
                $"; {done.Tokens:#,0} completed by output token {token}"
            ),
            { } some => Invariant($"; {some.Tokens:#,0} completed, {some.RemainingTokens:#,0} left"),
        };
        return Invariant($"first token after {report.TimeToFirstToken.TotalMilliseconds:#,0} ms; {kept}{completed}");
    }

    internal static string Bar(double share)
    {
        int filled = (int)Math.Round(Math.Clamp(share, 0, 1) * BarWidth);
        // what is there at all shows
        filled = share > 0 ? Math.Max(1, filled) : filled;
        return new string('█', filled) + new string('░', BarWidth - filled);
    }

    internal static string Bytes(long bytes) =>
        bytes < 1024 * 1024 ? Invariant($"{bytes / 1024.0:0.0} KiB") : Invariant($"{bytes / 1048576.0:0.0} MiB");

    private static void Row(Grid grid, string name, string value) =>
        grid.AddRow(new Text(name, new Style(Color.Grey)), new Text(value));

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

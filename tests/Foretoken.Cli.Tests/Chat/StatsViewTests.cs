using System.Text.Json;
using Foretoken.Cli.Chat;
using Foretoken.Importance;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Spectre.Console;

namespace Foretoken.Cli.Tests.Chat;

public sealed class StatsViewTests
{
    private static readonly Answer Answer = new()
    {
        Text = "Paris.",
        Report = Reports.Thinned,
        OutputTokens = 12,
        TokensPerSecond = 34.56,
        FinishReason = ChatFinishReason.Stop,
    };

    [Fact]
    public void The_first_stage_tells_what_plain_prefill_would_have_taken()
    {
        // 200 ms for 6 layers with every token: 1,000 ms for 30, and the prefill took 500
        Assert.Equal(2.0, Reports.Thinned.AchievedSpeedup);
        Assert.Null(Reports.Plain.AchievedSpeedup);
    }

    [Fact]
    public void Stats_show_promise_measurement_and_what_each_stage_kept()
    {
        TestConsole console = new TestConsole().Width(200);

        console.Write(StatsView.Render(Answer));

        Assert.Contains("2.01x", console.Output, StringComparison.Ordinal);
        Assert.Contains("2.00x ± 4 %, estimated", console.Output, StringComparison.Ordinal);
        Assert.Contains("after 520 ms", console.Output, StringComparison.Ordinal);
        Assert.Contains("12 tokens, 34.6 per second", console.Output, StringComparison.Ordinal);
        Assert.Contains("12.0 MiB", console.Output, StringComparison.Ordinal);
        string[] stages =
        [
            .. console.Output.Split('\n').Where(line => line.StartsWith("layers", StringComparison.Ordinal)),
        ];
        Assert.Equal(2, stages.Length);
        Assert.Equal(32, stages[0].Count(c => c == '█'));
        Assert.Equal(13, stages[1].Count(c => c == '█'));
        Assert.Contains("400 tokens", stages[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Stats_show_what_came_back_and_nothing_where_nothing_did()
    {
        TestConsole some = new TestConsole().Width(200);
        some.Write(StatsView.Render(Answer with { RestoredTokens = 18 }));
        Assert.Contains("18 dropped tokens", some.Output, StringComparison.Ordinal);
        Assert.Contains(
            "\"restored_tokens\":18",
            AnswerJson.Write(Answer with { RestoredTokens = 18 }, null, indented: false),
            StringComparison.Ordinal
        );

        TestConsole none = new TestConsole().Width(200);
        none.Write(StatsView.Render(Answer with { RestoredTokens = 0 }));
        Assert.DoesNotContain("brought back", none.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Stats_show_what_was_completed_by_which_token_and_how_long_it_took()
    {
        Assert.Contains(
            "1,600 tokens of the prompt behind the first word, all before output token 8; 432 ms in all, a word waited 70 ms at most",
            Shown(Reports.Completed),
            StringComparison.Ordinal
        );
        Assert.Contains(
            "200 tokens of the prompt behind the first word, 1,400 were left when the answer ended; 60 ms in all",
            Shown(Reports.PartlyCompleted),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Stats_of_an_answer_of_one_token_say_what_was_left()
    {
        string shown = Shown(
            Reports.Thinned with
            {
                Completion = new CompletionReport(CompletionGrade.Fill, Tokens: 0, RemainingTokens: 1600),
            }
        );

        Assert.Contains(
            "no tokens of the prompt behind the first word, 1,600 were left when the answer ended",
            shown,
            StringComparison.Ordinal
        );
        Assert.DoesNotContain("at most", shown, StringComparison.Ordinal);
    }

    [Fact]
    public void Where_nothing_was_completed_stats_do_not_speak_of_it() =>
        Assert.DoesNotContain("completed", Shown(Reports.Thinned), StringComparison.Ordinal);

    [Fact]
    public void The_one_line_below_an_answer_says_what_was_completed()
    {
        Assert.EndsWith(
            "promised 2.01x; 1,600 completed by output token 8",
            StatsView.Summary(Answer with { Report = Reports.Completed }),
            StringComparison.Ordinal
        );
        Assert.EndsWith(
            "promised 2.01x; 200 completed, 1,400 left",
            StatsView.Summary(Answer with { Report = Reports.PartlyCompleted }),
            StringComparison.Ordinal
        );
        Assert.EndsWith("promised 2.01x", StatsView.Summary(Answer), StringComparison.Ordinal);
    }

    [Fact]
    public void Stats_show_the_expected_loss_and_which_bound_decided()
    {
        TestConsole console = new TestConsole().Width(200);
        PrefillReport report = Reports.Thinned with { MaxQualityLoss = 0.1, ExpectedQualityLoss = 0.085 };
        report = report with
        {
            Stages = [report.Stages[0], report.Stages[1] with { Bound = SelectionBound.Threshold }],
        };

        console.Write(StatsView.Render(Answer with { Report = report }));

        Assert.Contains("2x, at most a loss of 0.1 nats", console.Output, StringComparison.Ordinal);
        Assert.Contains("0.085 nats", console.Output, StringComparison.Ordinal);
        string[] stages =
        [
            .. console.Output.Split('\n').Where(line => line.StartsWith("layers", StringComparison.Ordinal)),
        ];
        Assert.Contains("all that came", stages[0], StringComparison.Ordinal);
        Assert.Contains("those that passed the threshold", stages[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2.0, null, "2x")]
    [InlineData(null, null, "1x")]
    [InlineData(null, 0.1, "as much as a loss of 0.1 nats allows")]
    [InlineData(2.5, 0.1, "2.5x, at most a loss of 0.1 nats")]
    public void What_is_asked_for_is_said_in_words(double? speed, double? loss, string expected) =>
        Assert.Equal(expected, SpeedText.Format(speed, loss));

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.001, 1)]
    [InlineData(0.5, 16)]
    [InlineData(1, 32)]
    [InlineData(7, 32)]
    public void A_bar_shows_its_share_and_never_hides_what_is_there(double share, int filled)
    {
        string bar = StatsView.Bar(share);

        Assert.Equal(32, bar.Length);
        Assert.Equal(filled, bar.Count(c => c == '█'));
    }

    [Fact]
    public void Json_holds_the_answer_and_the_whole_report()
    {
        using JsonDocument json = JsonDocument.Parse(AnswerJson.Write(Answer, "tiny.gguf", indented: false));

        Assert.Equal("Paris.", json.RootElement.GetProperty("answer").GetString());
        Assert.Equal("stop", json.RootElement.GetProperty("finish_reason").GetString());
        Assert.Equal(2.0, json.RootElement.GetProperty("report").GetProperty("achieved_speedup").GetDouble());
        JsonElement report = json.RootElement.GetProperty("report");
        Assert.Equal(2.01, report.GetProperty("promised_speedup").GetDouble());
        Assert.Equal(400, report.GetProperty("stages")[1].GetProperty("tokens").GetInt32());
    }

    [Fact]
    public void Json_tells_what_was_completed_beside_what_came_back()
    {
        JsonElement all = Json(Answer with { Report = Reports.Completed });
        Assert.Equal(1600, all.GetProperty("completed_tokens").GetInt32());
        Assert.Equal(8, all.GetProperty("complete_at_output_token").GetInt32());
        Assert.Equal(431.5, all.GetProperty("completion_time_ms").GetDouble());
        JsonElement report = all.GetProperty("report").GetProperty("completion");
        Assert.Equal(1600, report.GetProperty("tokens").GetInt32());
        Assert.Equal(70.2, report.GetProperty("longest_delay_ms").GetDouble());

        JsonElement part = Json(Answer with { Report = Reports.PartlyCompleted });
        Assert.Equal(200, part.GetProperty("completed_tokens").GetInt32());
        Assert.Equal(JsonValueKind.Null, part.GetProperty("complete_at_output_token").ValueKind);
        Assert.Equal(60, part.GetProperty("completion_time_ms").GetDouble());
    }

    [Fact]
    public void Json_of_an_answer_without_completion_counts_none()
    {
        JsonElement json = Json(Answer);

        Assert.Equal(0, json.GetProperty("completed_tokens").GetInt32());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("complete_at_output_token").ValueKind);
        Assert.Equal(JsonValueKind.Null, json.GetProperty("completion_time_ms").ValueKind);
    }

    [Fact]
    public void Json_of_a_cancelled_answer_says_so()
    {
        Answer cancelled = new() { Text = "Once", WasCancelled = true };

        using JsonDocument json = JsonDocument.Parse(AnswerJson.Write(cancelled, null, indented: true));

        Assert.Equal("cancelled", json.RootElement.GetProperty("finish_reason").GetString());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("report").ValueKind);
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("completed_tokens").ValueKind);
    }

    private static string Shown(PrefillReport report)
    {
        TestConsole console = new TestConsole().Width(200);
        console.Write(StatsView.Render(Answer with { Report = report }));
        return console.Output;
    }

    private static JsonElement Json(Answer answer)
    {
        using JsonDocument json = JsonDocument.Parse(AnswerJson.Write(answer, null, indented: false));
        return json.RootElement.Clone();
    }
}

using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

[Collection(nameof(TestModel))]
public sealed class PrefillOnlyTests(TestModel test)
{
    private static readonly PrefillRequest From20 = new()
    {
        Plan = PrefillPlan.FromBoundaries([], prefillOnlyFrom: 20),
    };

    [Fact]
    public void All_tokens_but_the_last_stop_and_the_cache_is_as_large_as_ever()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession session = test.CreateSession();
        long full = session.Prefill(prompt).KvBytes;
        float[] logits = session.GetLogits();
        session.Clear();
        List<double> fractions = [];
        PrefillReport report = session.Prefill(prompt, From20, new Progress(fractions.Add));

        int layers = test.Model.Info.LayerCount;
        Assert.Equal([300, 299, 1], report.Stages.Select(stage => stage.Tokens));
        Assert.Equal([0, 20, 20], report.Stages.Select(stage => stage.LayerBegin));
        Assert.Equal([20, layers, layers], report.Stages.Select(stage => stage.LayerEnd));
        Assert.Equal([false, true, false], report.Stages.Select(stage => stage.KeysAndValuesOnly));
        Assert.All(report.Stages, stage => Assert.Equal(SelectionBound.AllTokens, stage.Bound));
        Assert.Equal(300, report.KeptTokens);
        Assert.Equal(full, report.KvBytes);
        for (int layer = 0; layer < layers; layer++)
        {
            Assert.Equal(Enumerable.Range(0, 300), session.GetPositions(layer));
        }
        Assert.NotEqual(logits, session.GetLogits());
        Assert.True(session.IsThinned);
        Assert.Equal(fractions.Order(), fractions);
        Assert.Equal(1, fractions[^1]);
    }

    [Fact]
    public void The_report_names_it_and_says_what_it_saves()
    {
        using ForetokenSession session = test.CreateSession();
        PrefillReport report = session.Prefill(test.Prompt(300), From20);
        Assert.Equal(20, report.PrefillOnlyFrom);
        Assert.Equal(From20.Plan, report.Plan);
        double saving = Assert.NotNull(report.PrefillOnlySaving);
        Assert.Equal(1 - (1 / report.PromisedSpeedup), saving, 9);
        Assert.InRange(saving, 0.1, 10.0 / 30);
        Assert.Equal(1, report.PromisedDecodeSpeedup);
        Assert.Contains("prefill-only from layer 20", report.Reason, StringComparison.Ordinal);
        Assert.Contains("nothing of an output token", report.Reason, StringComparison.Ordinal);
        Assert.NotNull(report.EstimatedPlainTime);
        string json = report.ToJson();
        Assert.Contains("\"prefill_only_from\": 20", json, StringComparison.Ordinal);
        Assert.Contains("\"keys_and_values_only\": true", json, StringComparison.Ordinal);

        session.Clear();
        PrefillReport plain = session.Prefill(test.Prompt(300));
        Assert.Null(plain.PrefillOnlyFrom);
        Assert.Null(plain.PrefillOnlySaving);
    }

    [Fact]
    public void Tokens_may_leave_below()
    {
        int[] prompt = test.Prompt(320);
        using ForetokenSession session = test.CreateSession();
        PrefillReport report = session.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(6, 0.5)], prefillOnlyFrom: 20) }
        );
        Assert.Equal([320, 160, 159, 1], report.Stages.Select(stage => stage.Tokens));
        Assert.Equal(
            [SelectionBound.AllTokens, SelectionBound.Share, SelectionBound.AllTokens, SelectionBound.AllTokens],
            report.Stages.Select(stage => stage.Bound)
        );
        Assert.Equal(160, report.KeptTokens);
        int[] kept = session.GetPositions(6);
        Assert.Equal(160, kept.Length);
        Assert.Equal(kept, session.GetPositions(20));
        Assert.Equal(kept, session.GetPositions(29));

        // what is saved beside what leaving out tokens saves
        PrefillReport thinned = session.Prefill(
            test.Prompt(320, seed: 2),
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(6, 0.5)]) }
        );
        Assert.Equal(1 - (thinned.PromisedSpeedup / report.PromisedSpeedup), report.PrefillOnlySaving!.Value, 9);
        Assert.Equal(thinned.PromisedDecodeSpeedup, report.PromisedDecodeSpeedup);
        Assert.Equal(thinned.KvBytes, report.KvBytes);
    }

    [Fact]
    public void One_token_is_prefilled_as_ever()
    {
        int[] prompt = test.Prompt(1);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        float[] logits = session.GetLogits();
        session.Clear();
        PrefillReport report = session.Prefill(prompt, From20);
        Assert.Equal(logits, session.GetLogits());
        Assert.DoesNotContain(report.Stages, stage => stage.KeysAndValuesOnly);
        Assert.False(session.IsThinned);
    }

    [Fact]
    public void A_later_turn_goes_on_and_an_exact_request_starts_anew()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        float[] exact = session.GetLogits();
        session.Clear();

        session.Prefill(prompt.AsSpan(0, 200), From20);
        PrefillReport next = session.Prefill(prompt, From20);
        Assert.Equal(200, next.ReusedTokens);
        Assert.Equal([100, 99, 1], next.Stages.Select(stage => stage.Tokens));
        Assert.Equal(Enumerable.Range(0, 300), session.GetPositions(29));
        float[] logits = session.GetLogits();

        // a turn that leaves out tokens instead
        session.Rewind(200);
        PrefillReport thinned = session.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(6, 0.5)]) }
        );
        Assert.Equal(200, thinned.ReusedTokens);
        Assert.Equal(250, session.GetPositions(29).Length);

        session.Rewind(200);
        session.Prefill(prompt, From20);
        Assert.Equal(logits, session.GetLogits());

        // another question: the document has to be read again, as when tokens were left out
        Assert.Equal(0, session.Prefill([.. prompt[..150], .. test.Prompt(50, seed: 4)], From20).ReusedTokens);

        session.Prefill(prompt, From20);
        Assert.Equal(0, session.Prefill(prompt).ReusedTokens);
        Assert.Equal(exact, session.GetLogits());
        Assert.False(session.IsThinned);
    }

    [Fact]
    public void A_saved_state_continues_identically()
    {
        int[] prompt = test.Prompt(260);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt, From20);
        byte[] state = session.SaveState();
        session.Decode(100);
        List<int> expected = test.Greedy(session, 8);

        using ForetokenSession other = test.CreateSession();
        other.Prefill(test.Prompt(64, seed: 9));
        other.LoadState(state);
        Assert.True(other.IsThinned);
        other.Decode(100);
        Assert.Equal(expected, test.Greedy(other, 8));
        Assert.Equal(session.GetPositions(29), other.GetPositions(29));
        Assert.Equal(0, other.Prefill(prompt).ReusedTokens);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Cancelling_leaves_the_session_as_it_was(int stage)
    {
        int[] prompt = test.Prompt(500);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 200));
        using CancellationTokenSource source = new();
        Progress cancelling = new(_ => { })
        {
            OnStage = running =>
            {
                if (running == stage)
                {
                    source.Cancel();
                }
            },
        };
        Assert.Throws<OperationCanceledException>(() => session.Prefill(prompt, From20, cancelling, source.Token));
        Assert.Equal(200, session.TokenCount);
        Assert.Equal(200, session.GetPositions(0).Length);
        Assert.Equal(200, session.GetPositions(29).Length);
        Assert.False(session.IsThinned);

        Assert.Equal(200, session.Prefill(prompt).ReusedTokens);
        using ForetokenSession fresh = test.CreateSession();
        fresh.Prefill(prompt.AsSpan(0, 200));
        fresh.Prefill(prompt);
        Assert.Equal(fresh.GetLogits(), session.GetLogits());
    }

    [Fact]
    public void It_goes_together_with_layers_that_the_sequence_does_without()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        PrefillReport report = session.Prefill(
            prompt,
            new PrefillRequest
            {
                Plan = PrefillPlan.FromBoundaries(
                    [],
                    skips: [new(14), new(25), new(27, LayerPart.Attention)],
                    prefillOnlyFrom: 20
                ),
            }
        );
        Assert.Equal(3, report.Skips.Count);
        Assert.Empty(session.GetPositions(14));
        Assert.Empty(session.GetPositions(25));
        Assert.Empty(session.GetPositions(27));
        Assert.Equal(200, session.GetPositions(26).Length);
        // what is skipped stays, and so does where the next turn stops
        PrefillReport next = session.Prefill([.. prompt, .. test.Prompt(50, seed: 3)], From20);
        Assert.Equal(200, next.ReusedTokens);
        Assert.Equal(report.Skips, next.Skips);
        Assert.Equal(20, next.PrefillOnlyFrom);
        Assert.Contains("goes on without", next.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void What_the_model_or_the_session_cannot_do_is_refused_and_changes_nothing()
    {
        int[] prompt = test.Prompt(100);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        PrefillRequest beyond = new() { Plan = PrefillPlan.FromBoundaries([], prefillOnlyFrom: 30) };
        string message = Assert
            .Throws<ArgumentException>(() => session.Prefill(test.Prompt(100, seed: 2), beyond))
            .Message;
        Assert.Contains("1 to 29", message, StringComparison.Ordinal);
        Assert.Equal(100, session.TokenCount);

        using ForetokenSession stock = test.CreateSession(staged: false);
        Assert.Throws<UnsupportedModelException>(() => stock.Prefill(prompt, From20));
    }

    private sealed class Progress(Action<double> onFraction) : IProgress<PrefillProgress>
    {
        public Action<int>? OnStage { get; init; }

        public void Report(PrefillProgress value)
        {
            onFraction(value.Fraction);
            OnStage?.Invoke(value.Stage);
        }
    }
}

using Foretoken.Errors;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Skips;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Plans;

[Collection(nameof(TestModel))]
public sealed class LayerSkipTests(TestModel test)
{
    private static readonly PrefillPlan WithoutTwo = PrefillPlan.FromBoundaries([], skips: [new(14), new(25)]);

    [Fact]
    public void A_skipped_block_holds_no_keys_and_values_and_the_report_names_it()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        long full = session.Prefill(prompt).KvBytes;
        float[] logits = session.GetLogits();
        session.Clear();
        PrefillReport report = session.Prefill(prompt, new PrefillRequest { Plan = WithoutTwo });
        Assert.Equal([new(14), new(25)], report.Skips);
        Assert.NotEqual(logits, session.GetLogits());
        Assert.Empty(session.GetPositions(14));
        Assert.Equal(200, session.GetPositions(15).Length);
        int layers = test.Model.Info.LayerCount;
        Assert.Equal(full * (layers - 2) / layers, report.KvBytes);
    }

    [Fact]
    public void A_later_turn_goes_on_without_the_same_whatever_its_own_plan()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 200), new PrefillRequest { Plan = WithoutTwo });
        PrefillRequest other = new() { Plan = PrefillPlan.FromBoundaries([new(6, 0.5)], skips: [new(20)]) };
        PrefillReport report = session.Prefill(prompt, other);
        Assert.Equal(200, report.ReusedTokens);
        Assert.Equal([new(14), new(25)], report.Skips);
        Assert.Contains("goes on without blocks 14, 25", report.Reason, StringComparison.Ordinal);
        Assert.Empty(session.GetPositions(14));
        Assert.Equal(200 + 50, session.GetPositions(20).Length);
    }

    [Fact]
    public void A_later_turn_of_a_whole_sequence_skips_nothing()
    {
        int[] prompt = test.Prompt(300);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 200));
        PrefillReport report = session.Prefill(prompt, new PrefillRequest { Plan = WithoutTwo });
        Assert.Equal(200, report.ReusedTokens);
        Assert.Empty(report.Skips);
        Assert.Contains("all parts of its layers", report.Reason, StringComparison.Ordinal);
        float[] logits = session.GetLogits();

        session.Clear();
        session.Prefill(prompt.AsSpan(0, 200));
        session.Prefill(prompt);
        Assert.Equal(session.GetLogits(), logits);
    }

    [Fact]
    public void A_request_that_keeps_all_reuses_nothing_of_a_sequence_that_skips()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        float[] logits = session.GetLogits();
        session.Clear();
        session.Prefill(prompt, new PrefillRequest { Plan = WithoutTwo });
        PrefillReport report = session.Prefill(prompt);
        Assert.Equal(0, report.ReusedTokens);
        Assert.Empty(report.Skips);
        Assert.Equal(logits, session.GetLogits());
    }

    [Fact]
    public void A_loaded_state_goes_on_without_what_it_was_saved_without()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt, new PrefillRequest { Plan = WithoutTwo });
        byte[] state = session.SaveState();
        session.Decode(prompt[7]);
        float[] logits = session.GetLogits();

        using ForetokenSession loaded = test.CreateSession();
        loaded.LoadState(state);
        loaded.Decode(prompt[7]);
        Assert.Equal(logits, loaded.GetLogits());
        Assert.Equal([new(14), new(25)], loaded.Prefill([.. prompt, prompt[7], prompt[8]], Faster).Skips);
    }

    [Fact]
    public void Sublayers_are_skipped_and_the_cache_has_what_attends()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        long full = session.Prefill(prompt).KvBytes;
        float[] logits = session.GetLogits();
        LayerSkip[] skips = [new(7, LayerPart.FeedForward), new(11, LayerPart.Attention), new(29, LayerPart.Attention)];
        session.Clear();
        PrefillReport report = session.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(9, 1)], skips: skips) }
        );
        Assert.Equal(skips, report.Skips);
        Assert.NotEqual(logits, session.GetLogits());
        Assert.Equal(200, session.GetPositions(7).Length);
        Assert.Empty(session.GetPositions(11));
        Assert.Empty(session.GetPositions(29));
        int layers = test.Model.Info.LayerCount;
        Assert.Equal(full * (layers - 2) / layers, report.KvBytes);
    }

    [Theory]
    [InlineData(5)] // in front of the token boundary: its probes come in two parts
    [InlineData(9)] // at the token boundary
    [InlineData(12)] // behind it
    public void What_the_prompt_chooses_on_the_way_is_as_if_it_had_been_named_before(int layer)
    {
        int[] prompt = test.Prompt(300);
        PlanBoundary[] boundaries = [new(9, 0.5)];
        LayerSkip[] skips = [new(14, LayerPart.Attention), new(20, LayerPart.Attention)];
        using ForetokenSession session = test.CreateSession();
        session.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([.. boundaries], skips: skips) }
        );
        float[] logits = session.GetLogits();
        int[] positions = session.GetPositions(15);

        session.Clear();
        FixedRouter router = new(skips);
        SkipRouting routing = new(layer, 2, LayerPart.Attention);
        PrefillReport report = session.Prefill(
            prompt,
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries(boundaries, routing: routing), Router = router }
        );

        Assert.Equal(skips, report.Skips);
        Assert.Equal(logits, session.GetLogits());
        Assert.Equal(positions, session.GetPositions(15));
        Assert.Equal(layer == 9 ? 2 : 3, report.Stages.Count);
        Assert.Equal(routing, router.Asked);
        Assert.Equal(layer > 9 ? report.Stages[^1].Tokens : 300, router.Tokens);
        Assert.Equal(router.Tokens * test.Model.Info.EmbeddingSize, router.ResidualLength);
        session.Decode(prompt[3]);
        Assert.Empty(session.GetPositions(14));
    }

    [Fact]
    public void The_choice_of_the_prompt_stays_with_later_turns_and_saved_states()
    {
        int[] prompt = test.Prompt(300);
        LayerSkip[] skips = [new(14), new(20)];
        PrefillRequest routed = new()
        {
            Plan = PrefillPlan.FromBoundaries([], routing: new(10, 2, LayerPart.Block)),
            Router = new FixedRouter(skips),
        };
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 200), routed);
        byte[] state = session.SaveState();
        // chosen once per sequence: a later turn is not asked again
        FixedRouter other = new([new(22), new(23)]);
        PrefillReport report = session.Prefill(prompt, new PrefillRequest { Plan = routed.Plan, Router = other });
        Assert.Equal(200, report.ReusedTokens);
        Assert.Equal(skips, report.Skips);
        Assert.Null(other.Asked);
        float[] logits = session.GetLogits();

        using ForetokenSession branch = test.CreateSession();
        branch.LoadState(state);
        Assert.Equal(skips, branch.Prefill(prompt, routed).Skips);
        Assert.Equal(logits, branch.GetLogits());
    }

    [Fact]
    public void A_cancelled_choice_leaves_no_trace()
    {
        int[] prompt = test.Prompt(200);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        float[] logits = session.GetLogits();
        session.Clear();
        PrefillRequest routed = new()
        {
            Plan = PrefillPlan.FromBoundaries([], routing: new(10, 1, LayerPart.FeedForward)),
            Router = new FixedRouter([new(14, LayerPart.FeedForward)]),
        };
        using CancellationTokenSource source = new();
        Assert.ThrowsAny<OperationCanceledException>(() =>
            session.Prefill(prompt, routed, new StageReporter(stage => CancelAt(stage, 1, source)), source.Token)
        );
        Assert.Equal(0, session.TokenCount);
        Assert.Empty(session.Prefill(prompt).Skips);
        Assert.Equal(logits, session.GetLogits());
    }

    [Fact]
    public void A_router_that_chooses_what_was_not_asked_for_changes_nothing()
    {
        int[] prompt = test.Prompt(100);
        using ForetokenSession session = test.CreateSession();
        PrefillPlan plan = PrefillPlan.FromBoundaries([], routing: new(10, 1, LayerPart.Block));
        foreach (
            LayerSkip[] wrong in (LayerSkip[][])
                [
                    [new(9)],
                    [new(12, LayerPart.Attention)],
                    [new(12), new(13)],
                ]
        )
        {
            InvalidOperationException e = Assert.Throws<InvalidOperationException>(() =>
                session.Prefill(prompt, new PrefillRequest { Plan = plan, Router = new FixedRouter(wrong) })
            );
            Assert.Contains("1 block from layer 10 on", e.Message, StringComparison.Ordinal);
        }
        ArgumentException beyond = Assert.ThrowsAny<ArgumentException>(() =>
            session.Prefill(prompt, new PrefillRequest { Plan = plan, Router = new FixedRouter([new(29)]) })
        );
        Assert.Contains("[1, 29)", beyond.Message, StringComparison.Ordinal);
        Assert.Equal(0, session.TokenCount);
        session.Prefill(prompt);
    }

    [Fact]
    public void A_routed_plan_without_routers_says_what_to_do()
    {
        using ForetokenModel model = ForetokenModel.Load(
            test.Path,
            new ModelOptions { UseMeasuredCosts = false, UseProfile = false }
        );
        using ForetokenSession session = model.CreateSession(new SessionOptions { ContextSize = 512 });
        ModelProfileException e = Assert.Throws<ModelProfileException>(() =>
            session.Prefill(
                test.Prompt(100),
                new PrefillRequest { Plan = PrefillPlan.FromBoundaries([], routing: new(10, 1, LayerPart.Block)) }
            )
        );
        Assert.Contains("foretoken tune", e.Message, StringComparison.Ordinal);
    }

    private static void CancelAt(int stage, int at, CancellationTokenSource source)
    {
        if (stage == at)
        {
            source.Cancel();
        }
    }

    private sealed class StageReporter(Action<int> report) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => report(value.Stage);
    }

    /// <summary>Chooses the same whatever the prompt, and remembers what it was given.</summary>
    private sealed class FixedRouter(LayerSkip[] choice) : ILayerRouter
    {
        public SkipRouting? Asked { get; private set; }

        public int Tokens { get; private set; }

        public int ResidualLength { get; private set; }

        public IReadOnlyList<LayerSkip> Route(SkipRouting routing, ReadOnlySpan<float> residual, int tokens)
        {
            (Asked, Tokens, ResidualLength) = (routing, tokens, residual.Length);
            return choice;
        }
    }

    private static PrefillRequest Faster => new() { TargetTtftSpeedup = 1.5 };
}

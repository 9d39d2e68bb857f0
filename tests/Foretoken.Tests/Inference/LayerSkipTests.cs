using Foretoken.Inference;
using Foretoken.Planning;

namespace Foretoken.Tests.Inference;

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

    private static PrefillRequest Faster => new() { TargetTtftSpeedup = 1.5 };
}

using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

public sealed class CompletionTests : IDisposable
{
    private const int Layers = 8;

    private static readonly int[] Prompt = [.. Enumerable.Range(0, 320).Select(i => 3 + (i * 37 % 400))];
    private static readonly int[] Answer = [7, 301, 44, 7, 120];

    private readonly TemporaryFolder _folder = new();
    private readonly ForetokenModel _model;

    public CompletionTests()
    {
        SyntheticModel.Write(
            _folder["model.gguf"],
            SyntheticModelSpec.Parse("layers=8,embd=64,heads=4,kv-heads=2,ffn=128,vocab=512")
        );
        _model = ForetokenModel.Load(_folder["model.gguf"], new ModelOptions { UseMeasuredCosts = false });
    }

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(ResidualStorage.Full, FlashAttentionMode.On)]
    [InlineData(ResidualStorage.Full, FlashAttentionMode.Off)]
    [InlineData(ResidualStorage.None, FlashAttentionMode.On)]
    public void Exact_completion_leaves_what_full_prefill_leaves(ResidualStorage storage, FlashAttentionMode attention)
    {
        using ForetokenSession full = Open(attention);
        full.Prefill(Prompt);
        using ForetokenSession session = Open(attention);
        session.Prefill(Prompt, Thin(storage));
        Assert.True(session.IsThinned);
        Assert.False(session.IsExact);
        Assert.Equal(storage != ResidualStorage.None, session.ResidualBytes > 0);

        int remaining = session.CountRemaining(CompletionGrade.Exact);
        Assert.Equal(Prompt.Length, remaining);
        while (remaining > 0)
        {
            CompletionStep step = session.Complete(CompletionGrade.Exact);
            Assert.InRange(step.Tokens, 1, session.Info.UBatchSize);
            Assert.Equal(remaining - step.Tokens, step.Remaining);
            Assert.Throws<InvalidOperationException>(session.GetLogits);
            remaining = step.Remaining;
        }

        Assert.False(session.IsThinned);
        Assert.True(session.IsExact);
        Assert.Equal(0, session.ResidualBytes);
        Assert.Equal(new CompletionStep(0, 0), session.Complete(CompletionGrade.Exact));
        foreach (int token in Answer)
        {
            full.Decode(token);
            session.Decode(token);
            Assert.Equal(full.GetLogits(), session.GetLogits());
        }
        Assert.True(session.IsExact);
    }

    [Fact]
    public void Filling_brings_what_upper_layers_lack_and_leaves_the_rest()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        int[] before = session.GetPositions(Layers - 1);
        int remaining = session.CountRemaining(CompletionGrade.Fill);
        Assert.Equal(Prompt.Length - before.Length, remaining);

        // output tokens in between
        for (int i = 0; remaining > 0; i++)
        {
            CompletionStep step = session.Complete(CompletionGrade.Fill, 30);
            Assert.InRange(step.Tokens, 1, 30);
            Assert.Equal(remaining - step.Tokens, step.Remaining);
            remaining = step.Remaining;
            if (i < Answer.Length)
            {
                session.Decode(Answer[i]);
            }
        }

        for (int layer = 0; layer < Layers; layer++)
        {
            Assert.Equal(Enumerable.Range(0, session.TokenCount), session.GetPositions(layer));
        }
        Assert.False(session.IsThinned);
        Assert.False(session.IsExact);
        Assert.Equal(new CompletionStep(0, 0), session.Complete(CompletionGrade.Fill));
        // the answer is computed again, too
        Assert.Equal(session.TokenCount, session.CountRemaining(CompletionGrade.Exact));
    }

    [Fact]
    public void A_filled_span_serves_any_prompt_whose_target_is_not_1()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        int[] other = [.. Prompt[..200], 5, 6, 7];
        PrefillRequest fast = new() { TargetTtftSpeedup = 2 };
        Assert.Equal(0, session.ReusablePrefix(other, fast));
        Finish(session, CompletionGrade.Fill);
        Assert.Equal(200, session.ReusablePrefix(other, fast));
        Assert.Equal(Prompt.Length - 1, session.ReusablePrefix(Prompt, fast));
        Assert.Equal(0, session.ReusablePrefix(other, new PrefillRequest()));
        Assert.Equal(200, session.Prefill(other, fast).ReusedTokens);
        Assert.Equal(Enumerable.Range(0, 200), session.GetPositions(Layers - 1).TakeWhile(position => position < 200));
    }

    [Fact]
    public void What_is_completed_exactly_serves_any_prompt()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        session.Decode(Answer);
        session.Complete(CompletionGrade.Exact);
        int front = session.Info.UBatchSize;
        Assert.Equal(front, session.ReusablePrefix([.. Prompt, .. Answer, 5], new PrefillRequest()));
        Assert.Equal(front, session.ReusablePrefix([.. Prompt[..100], 5], new PrefillRequest()));
        Assert.Equal(50, session.ReusablePrefix([.. Prompt[..50], 5], new PrefillRequest()));

        Finish(session, CompletionGrade.Exact);
        Assert.True(session.IsExact);
        int[] longer = [.. Prompt, .. Answer, 5];
        Assert.Equal(Prompt.Length + Answer.Length, session.ReusablePrefix(longer, new PrefillRequest()));

        using ForetokenSession full = Open();
        full.Prefill(Prompt);
        full.Decode(Answer);
        full.Prefill(longer);
        Assert.Equal(Prompt.Length + Answer.Length, session.Prefill(longer).ReusedTokens);
        Assert.Equal(full.GetLogits(), session.GetLogits());
    }

    [Fact]
    public void A_conversation_is_completed_through_all_its_turns()
    {
        int[] second = [.. Prompt, .. Answer, .. Prompt.Reverse().Take(150)];
        using ForetokenSession full = Open();
        full.Prefill(Prompt);
        full.Decode(Answer);
        full.Prefill(second);
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        session.Decode(Answer);
        Assert.Equal(Prompt.Length + Answer.Length, session.Prefill(second, Thin(ResidualStorage.Full)).ReusedTokens);
        Finish(session, CompletionGrade.Exact);
        full.Decode(9);
        session.Decode(9);
        Assert.Equal(full.GetLogits(), session.GetLogits());
    }

    [Fact]
    public void A_saved_session_is_completed_where_it_is_loaded()
    {
        using ForetokenSession full = Open();
        full.Prefill(Prompt);
        using ForetokenSession first = Open();
        first.Prefill(Prompt, Thin(ResidualStorage.Full));
        first.Complete(CompletionGrade.Fill, 50);
        first.Complete(CompletionGrade.Exact);
        byte[] state = first.SaveState();

        using ForetokenSession session = Open();
        session.LoadState(state);
        Assert.Equal(first.CountRemaining(CompletionGrade.Exact), session.CountRemaining(CompletionGrade.Exact));
        Assert.Equal(first.CountRemaining(CompletionGrade.Fill), session.CountRemaining(CompletionGrade.Fill));
        Assert.Equal(first.ResidualBytes, session.ResidualBytes);
        Finish(session, CompletionGrade.Exact);
        full.Decode(9);
        session.Decode(9);
        Assert.Equal(full.GetLogits(), session.GetLogits());
    }

    [Fact]
    public void Rewinding_takes_what_was_stored_along()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        long bytes = session.ResidualBytes;
        // where a chunk ends: a shorter one would be computed in other steps, with other last bits
        session.Rewind(192);
        Assert.True(session.ResidualBytes < bytes);
        Finish(session, CompletionGrade.Exact);
        Assert.True(session.IsExact);

        using ForetokenSession full = Open();
        full.Prefill(Prompt.AsSpan(0, 192));
        full.Decode(9);
        session.Decode(9);
        Assert.Equal(full.GetLogits(), session.GetLogits());
        session.Clear();
        Assert.True(session.IsExact);
        Assert.Equal(0, session.ResidualBytes);
    }

    [Fact]
    public void Half_the_memory_is_close()
    {
        using ForetokenSession full = Open();
        full.Prefill(Prompt);
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        long bytes = session.ResidualBytes;
        session.Clear();
        session.Prefill(Prompt, Thin(ResidualStorage.Half));
        Assert.InRange(session.ResidualBytes, bytes * 4 / 10, bytes * 6 / 10);
        Finish(session, CompletionGrade.Exact);
        full.Decode(9);
        session.Decode(9);
        Assert.NotEqual(full.GetLogits(), session.GetLogits());
        Assert.True(full.GetLogits().Zip(session.GetLogits(), (a, b) => Math.Abs(a - b)).Max() < 0.1);
    }

    [Fact]
    public void What_nobody_can_mean_is_refused_and_nothing_changes()
    {
        using ForetokenSession session = Open();
        Assert.Equal(new CompletionStep(0, 0), session.Complete(CompletionGrade.Exact));
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.Complete(CompletionGrade.Fill, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.Complete((CompletionGrade)7));
        Assert.ThrowsAny<OperationCanceledException>(() =>
            session.Complete(CompletionGrade.Fill, 10, new CancellationToken(canceled: true))
        );
        Assert.NotEmpty(session.GetLogits());
        Assert.Throws<ArgumentOutOfRangeException>(() => new CompletionOptions { ByOutputToken = 1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CompletionOptions { MaxTimeShare = 1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CompletionOptions { MaxTokenDelay = TimeSpan.Zero });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CompletionOptions { Mode = (CompletionMode)8 });
        session.Dispose();
        Assert.Throws<ObjectDisposedException>(() => session.Complete(CompletionGrade.Fill));
    }

    [Fact]
    public void The_pace_ends_by_the_output_token_that_is_asked_for()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        AnswerCompletion completion = new(new CompletionOptions { ByOutputToken = 4 }, session, TimeProvider.System);
        int first = completion.Remaining;
        List<int> remaining = [first];
        for (int token = 1; token <= 4; token++)
        {
            completion.Continue(token, CancellationToken.None);
            remaining.Add(completion.Remaining);
            session.Decode(Answer[token - 1]);
        }
        // a third of it in each of the gaps in front of the fourth
        Assert.Equal([first, first - ((first + 2) / 3), (first - ((first + 2) / 3)) / 2, 0, 0], remaining);
        Assert.Equal(4, completion.Report!.CompleteAtOutputToken);
        Assert.Equal(first, completion.Report.Tokens);
        Assert.True(completion.Report.LongestDelay <= completion.Report.Time);
    }

    [Fact]
    public void A_bound_on_delays_makes_it_later()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin(ResidualStorage.Full));
        AnswerCompletion completion = new(
            new CompletionOptions { ByOutputToken = 2, MaxTokenDelay = TimeSpan.FromTicks(1) },
            session,
            TimeProvider.System
        );
        int first = completion.Remaining;
        completion.Continue(1, CancellationToken.None);
        Assert.Equal(first - 16, completion.Remaining);
        Assert.Null(completion.Report!.CompleteAtOutputToken);

        AnswerCompletion shared = new(
            new CompletionOptions { ByOutputToken = 2, MaxTimeShare = 1e-9 },
            session,
            TimeProvider.System
        );
        for (int i = 0; i < 5; i++)
        {
            shared.Continue(1, CancellationToken.None);
        }
        // a few tokens tell what they take, and that was too much already
        Assert.InRange(shared.Remaining, first - 32, first - 16);
    }

    private static PrefillRequest Thin(ResidualStorage storage) =>
        new()
        {
            Plan = PrefillPlan.FromBoundaries([new(2, 0.5), new(4, 0.25)]),
            Importance = new FallingImportance(0),
            ResidualStorage = storage,
        };

    private static void Finish(ForetokenSession session, CompletionGrade grade)
    {
        while (session.Complete(grade).Remaining > 0) { }
    }

    private ForetokenSession Open(FlashAttentionMode attention = FlashAttentionMode.Auto) =>
        _model.CreateSession(
            new SessionOptions
            {
                ContextSize = 1024,
                UBatchSize = 64,
                Threads = 1,
                FlashAttention = attention,
                RestoreQuotes = false,
            }
        );
}

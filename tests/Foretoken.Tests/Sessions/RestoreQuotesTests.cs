using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

public sealed class RestoreQuotesTests : IDisposable
{
    private const int Layers = 8;

    private static readonly SyntheticModelSpec Spec = SyntheticModelSpec.Parse(
        "layers=8,embd=64,heads=4,kv-heads=2,ffn=128,vocab=512"
    );

    // no token twice, so that every pair stands in one place; the first 72 and the last 8 or more are kept above layer 4
    private static readonly int[] Prompt = [.. Enumerable.Range(0, 320).Select(i => 3 + (i * 37 % 400))];

    private static readonly PrefillRequest Thin = new()
    {
        Plan = PrefillPlan.FromBoundaries([new(2, 0.5), new(4, 0.25)]),
        Importance = new FallingImportance(0),
    };

    private readonly TemporaryFolder _folder = new();
    private readonly ForetokenModel _model;

    public RestoreQuotesTests()
    {
        SyntheticModel.Write(_folder["model.gguf"], Spec);
        _model = ForetokenModel.Load(_folder["model.gguf"], new ModelOptions { UseMeasuredCosts = false });
    }

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void A_passage_that_the_answer_quotes_comes_back_to_every_layer()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin);
        int[] before = session.GetPositions(Layers - 1);
        Assert.DoesNotContain(200, before);

        session.Decode(Prompt[200]);
        Assert.Equal(0, session.RestoredTokens);
        session.Decode(Prompt[201]);

        int[] back = [.. Enumerable.Range(200, 2 + QuoteFinder.Ahead)];
        Assert.Equal(back.Length, session.RestoredTokens);
        Assert.True(session.RestoreTime > TimeSpan.Zero);
        Assert.Equal(before.Concat(back).Append(320).Append(321).Order(), session.GetPositions(Layers - 1));
        Assert.Equal(Enumerable.Range(0, 322), session.GetPositions(0));
        Assert.Equal(322, session.TokenCount);
        Assert.True(session.IsThinned);

        // what comes next was not there before; as the quotation goes on, so does the passage, and nothing comes back twice
        for (int i = 202; i < 216; i++)
        {
            session.Decode(Prompt[i]);
        }
        int[] held = session.GetPositions(Layers - 1);
        Assert.Equal(held.Distinct(), held);
        Assert.Superset(Enumerable.Range(200, 16 + 2).ToHashSet(), held.ToHashSet());
        Assert.Equal(held.Length - before.Length - 16, session.RestoredTokens);

        session.Clear();
        session.Prefill(Prompt, Thin);
        Assert.Equal(0, session.RestoredTokens);
        Assert.Equal(before, session.GetPositions(Layers - 1));
    }

    [Fact]
    public void Every_place_that_the_answer_may_quote_comes_back()
    {
        int[] prompt = [.. Prompt];
        prompt[240] = prompt[200];
        prompt[241] = prompt[201];
        using ForetokenSession session = Open();
        session.Prefill(prompt, Thin);
        int[] before = session.GetPositions(Layers - 1);
        session.Decode(prompt[200]);
        session.Decode(prompt[201]);
        Assert.Equal(
            [
                .. before.Where(position => position < 200),
                .. Enumerable.Range(200, 2 + QuoteFinder.Ahead),
                .. Enumerable.Range(240, 2 + QuoteFinder.Ahead),
                .. before.Where(position => position > 240),
                320,
                321,
            ],
            session.GetPositions(Layers - 1)
        );
    }

    [Fact]
    public void The_logits_behind_a_quotation_come_nearer_to_those_of_full_prefill()
    {
        int[] answer = Prompt[200..204];
        float[] full = Behind(Open(), new PrefillRequest());
        float[] restored = Behind(Open(), Thin);
        float[] dropped = Behind(Open(restoreQuotes: false), Thin);
        Assert.True(Distance(full, restored) < Distance(full, dropped));

        float[] Behind(ForetokenSession session, PrefillRequest request)
        {
            using (session)
            {
                session.Prefill(Prompt, request);
                foreach (int token in answer)
                {
                    session.Decode(token);
                }
                return session.GetLogits();
            }
        }

        static double Distance(float[] a, float[] b) => a.Zip(b, (x, y) => Math.Pow(x - y, 2)).Sum();
    }

    [Fact]
    public void Nothing_comes_back_where_nothing_is_missing_or_it_is_not_wanted()
    {
        using ForetokenSession full = Open();
        full.Prefill(Prompt);
        using ForetokenSession kept = Open();
        kept.Prefill(Prompt, Thin);
        using ForetokenSession unwanted = Open(restoreQuotes: false);
        unwanted.Prefill(Prompt, Thin);
        foreach (int i in (int[])[200, 201, 202])
        {
            full.Decode(Prompt[i]);
            unwanted.Decode(Prompt[i]);
            // the beginning was kept
            kept.Decode(Prompt[i - 180]);
        }
        Assert.Equal(0, full.RestoredTokens);
        Assert.Equal(0, kept.RestoredTokens);
        Assert.Equal(0, unwanted.RestoredTokens);
        Assert.DoesNotContain(203, unwanted.GetPositions(Layers - 1));
    }

    [Fact]
    public void The_session_goes_on_from_there()
    {
        using ForetokenSession session = Open();
        session.Prefill(Prompt, Thin);
        session.Decode(Prompt[200]);
        session.Decode(Prompt[201]);
        float[] logits = session.GetLogits();
        byte[] state = session.SaveState();
        int[] held = session.GetPositions(Layers - 1);

        using ForetokenSession loaded = Open();
        loaded.LoadState(state);
        Assert.Equal(held, loaded.GetPositions(Layers - 1));
        // the passage is there, in the loaded session, too
        loaded.Decode(Prompt[202]);
        Assert.Equal(0, loaded.RestoredTokens);

        session.Rewind(321);
        session.Decode(Prompt[201]);
        Assert.Equal(held, session.GetPositions(Layers - 1));
        Assert.Equal(logits, session.GetLogits());

        // the same prompt again finds what it found before
        loaded.Prefill(Prompt, Thin);
        Assert.DoesNotContain(205, loaded.GetPositions(Layers - 1));
        Assert.Equal(319, loaded.ReusablePrefix(Prompt, Thin));

        // the next turn reuses the thinned prompt with what came back
        PrefillReport report = session.Prefill([.. session.Tokens, 5, 6, 7], Thin);
        Assert.Equal(322, report.ReusedTokens);
        Assert.Contains(205, session.GetPositions(Layers - 1));
    }

    [Fact]
    public void Without_room_the_answer_goes_on_without_the_passage()
    {
        using ForetokenSession session = Open(contextSize: 512);
        int[] prompt = [.. Enumerable.Range(0, 505).Select(i => 3 + (i * 37 % 508))];
        session.Prefill(prompt, Thin);
        session.Decode(prompt[300]);
        session.Decode(prompt[301]);
        Assert.Equal(0, session.RestoredTokens);
        Assert.Equal(507, session.TokenCount);
        Assert.Equal(_model.Info.VocabularySize, session.GetLogits().Length);
    }

    [Fact]
    public void Where_layers_are_skipped_it_comes_back_to_the_others()
    {
        PrefillPlan plan = PrefillPlan.FromBoundaries(
            Thin.Plan!.Boundaries,
            skips: [new(5), new(Layers - 1, LayerPart.Attention)]
        );
        using ForetokenSession session = Open();
        session.Prefill(Prompt, new PrefillRequest { Plan = plan, Importance = Thin.Importance });
        session.Decode(Prompt[200]);
        session.Decode(Prompt[201]);
        Assert.Equal(2 + QuoteFinder.Ahead, session.RestoredTokens);
        Assert.Contains(205, session.GetPositions(6));
        Assert.Empty(session.GetPositions(5));
        Assert.Empty(session.GetPositions(Layers - 1));
    }

    private ForetokenSession Open(bool restoreQuotes = true, int contextSize = 1024) =>
        _model.CreateSession(
            new SessionOptions
            {
                ContextSize = contextSize,
                Threads = 1,
                RestoreQuotes = restoreQuotes,
            }
        );
}

using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Skips;
using Foretoken.Tests.Chat;
using Foretoken.Tests.Gguf;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging;

namespace Foretoken.Tests.Profiles;

/// <summary>Models with a profile, on a tiny model with random weights.</summary>
public sealed class ModelProfileTests : IDisposable
{
    private const int PromptTokens = 400;

    // large enough that leaving tokens out pays for the boundary
    private static readonly SyntheticModelSpec Spec = SyntheticModelSpec.Parse(
        "layers=8,embd=256,heads=4,kv-heads=2,ffn=768,vocab=320"
    );

    private static readonly PrefillRequest Faster = new() { TargetTtftSpeedup = 1.3 };

    private readonly TemporaryFolder _folder = new();
    private readonly string _model;
    private readonly string _profile;

    public ModelProfileTests()
    {
        _model = _folder["model.gguf"];
        _profile = _folder["model.foretoken.gguf"];
        SyntheticModel.Write(_model, Spec);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Model_with_a_profile_ranks_tokens_by_it_and_says_so()
    {
        ModelProfile profile = TestProfiles.For(_model, 1, 2);
        ProfileWriter.Write(_profile, profile);

        using ForetokenModel model = Load();
        TestProfiles.AssertEqual(profile, model.Profile!);
        using ForetokenSession session = CreateSession(model);
        PrefillReport report = session.Prefill(Prompt(model), Faster);
        Assert.Equal("learned", report.Importance);
        Assert.Equal("learned", report.Plan!.Importance);
        int[] kept = session.GetPositions(7);
        Assert.True(kept.Length < PromptTokens);

        // what the profile's weights choose, and not what anything else would
        Assert.Equal(kept, Kept(model, report.Plan, new LearnedImportance(profile.Predictors)));
        Assert.NotEqual(kept, Kept(model, report.Plan, ImportancePolicies.Default));
        Assert.NotEqual(
            kept,
            Kept(
                model,
                report.Plan,
                new LearnedImportance(
                    profile.Predictors.Select(predictor =>
                        predictor with
                        {
                            AttentionWeights = predictor.AttentionWeights.ToArray().Select(weight => -weight).ToArray(),
                        }
                    )
                )
            )
        );
    }

    [Fact]
    public void Model_without_a_profile_or_loaded_without_it_ranks_by_the_training_free_default()
    {
        using (ForetokenModel model = Load())
        {
            AssertTrainingFree(model);
        }

        ProfileWriter.Write(_profile, TestProfiles.For(_model, 1));
        using (ForetokenModel model = Load(useProfile: false))
        {
            AssertTrainingFree(model);
        }

        static void AssertTrainingFree(ForetokenModel model)
        {
            Assert.Null(model.Profile);
            using ForetokenSession session = CreateSession(model);
            Assert.Equal(ImportancePolicies.Default.Name, session.Prefill(Prompt(model), Faster).Importance);
        }
    }

    [Fact]
    public void Plans_and_their_losses_come_from_the_profile_when_tokens_are_ranked_by_it()
    {
        ProfileWriter.Write(
            _profile,
            TestProfiles.For(_model, 1, 3) with
            {
                Schedules =
                [
                    new PrefillSchedule(
                        [3 / 8.0],
                        [
                            [0.4],
                            [0.2],
                        ],
                        [0.1, 0.5]
                    ),
                ],
            }
        );
        using ForetokenModel model = Load();
        using ForetokenSession session = CreateSession(model);

        PrefillReport fast = session.Prefill(Prompt(model), Faster);
        Assert.Equal(3, Assert.Single(fast.Plan!.Boundaries).Layer);
        Assert.True(fast.ExpectedQualityLoss > 0);

        session.Clear();
        PrefillReport careful = session.Prefill(Prompt(model), new PrefillRequest { MaxQualityLoss = 0.1 });
        Assert.Equal("learned", careful.Importance);
        Assert.InRange(careful.ExpectedQualityLoss!.Value, 0.05, 0.1);

        // what was measured says nothing about another importance
        session.Clear();
        PrefillReport other = session.Prefill(
            Prompt(model),
            new PrefillRequest { TargetTtftSpeedup = 1.3, Importance = ImportancePolicies.Default }
        );
        Assert.Null(other.ExpectedQualityLoss);
        Assert.NotEqual(3, other.Plan!.Boundaries[0].Layer);
    }

    [Fact]
    public void A_network_of_the_profile_takes_part_in_the_choice()
    {
        ModelProfile plain = TestProfiles.For(_model, 2, 4);
        ModelProfile profile = plain with
        {
            Predictors =
            [
                .. plain.Predictors.Select(predictor =>
                    predictor with
                    {
                        Network = TestProfiles.Network(new Random(predictor.Layer), plain.EmbeddingSize, 3),
                    }
                ),
            ],
        };
        ProfileWriter.Write(_profile, profile);
        using ForetokenModel model = Load();
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(2, 0.6), new(4, 0.3)]);

        int[] kept = Kept(model, plan, new LearnedImportance(model.Profile!.Predictors));
        Assert.Equal(Kept(model, plan, new LearnedImportance(profile.Predictors)), kept);
        Assert.NotEqual(Kept(model, plan, new LearnedImportance(plain.Predictors)), kept);
    }

    [Fact]
    public void A_boundary_without_a_predictor_is_not_ranked_by_what_reads_only_another_layers_residual_stream()
    {
        ModelProfile profile = TestProfiles.For(_model, 2);
        ImportancePredictor residual = new(4, default, new float[profile.EmbeddingSize], null, double.NaN);
        using ForetokenModel model = Load();
        PrefillPlan plan = PrefillPlan.FromBoundaries([new(5, 0.3)]);

        Assert.Equal(
            Kept(model, plan, new LearnedImportance(profile.Predictors)),
            Kept(model, plan, new LearnedImportance([.. profile.Predictors, residual]))
        );
    }

    [Fact]
    public void Faster_output_tokens_are_had_by_what_the_profile_knows_can_be_skipped()
    {
        ModelProfile plain = TestProfiles.For(_model, 1, 3);
        SkipRouting routing = new(4, 1, LayerPart.Attention);
        float[] biases = [1, -1, 1];
        ModelProfile withSkips = plain with
        {
            Routers = [new SkipRouter(routing, [4, 5, 6], new float[3 * plain.EmbeddingSize], biases)],
            SkipQuality =
            [
                new ProfileSkipQuality([new LayerSkip(5)], null, 0.2, 0.8),
                new ProfileSkipQuality([], routing, 0.1, 0.9),
            ],
        };
        ProfileWriter.Write(_profile, withSkips);
        using ForetokenModel model = Load();
        using ForetokenSession session = CreateSession(model);
        DecodeCost cost = model.GetDecodeCost(KvCacheType.F16);
        int tokens = Prompt(model).Length;
        double attention = cost.Speedup(PrefillPlan.FromBoundaries([], routing: routing), tokens);
        double block = cost.Speedup(PrefillPlan.FromBoundaries([], skips: [new(5)]), tokens);
        Assert.True(1 < attention && attention < block);

        // the routers choose layer 5, by their biases, and that loses less than the block
        PrefillReport routed = session.Prefill(Prompt(model), new PrefillRequest { TargetDecodeSpeedup = attention });
        Assert.Equal([new LayerSkip(5, LayerPart.Attention)], routed.Skips);
        Assert.Equal(routing, routed.Plan!.Routing);
        Assert.Equal(attention, routed.TargetDecodeSpeedup);
        Assert.Equal(attention, routed.PromisedDecodeSpeedup);
        Assert.Equal(0.1, routed.ExpectedQualityLoss);
        Assert.Contains("of every output token", routed.Reason, StringComparison.Ordinal);

        session.Clear();
        PrefillReport skipped = session.Prefill(Prompt(model), new PrefillRequest { TargetDecodeSpeedup = block });
        Assert.Equal([new LayerSkip(5)], skipped.Skips);
        Assert.Equal(0.2, skipped.ExpectedQualityLoss);

        // without a request for it nothing is skipped
        session.Clear();
        Assert.Empty(session.Prefill(Prompt(model)).Skips);
    }

    [Fact]
    public async Task Skips_are_left_aside_with_other_adapters_than_they_were_learned_with_and_that_is_said()
    {
        string file = TestAdapter.Write(_folder["tone.gguf"], ModelFileCheck.Check(_model).Shape!, 1, 0.1f);
        SkipRouting routing = new(4, 1, LayerPart.Attention);
        ModelProfile withSkips = TestProfiles.For(_model, 1, 3) with
        {
            Routers = [new SkipRouter(routing, [4, 5, 6], default, (float[])[1, -1, 1])],
            SkipQuality = [new ProfileSkipQuality([new LayerSkip(5)], null, 0.1, 0.9)],
        };
        ProfileWriter.Write(_profile, withSkips);
        ProfileAdapter known;
        using (ForetokenModel model = Load())
        {
            using LoraAdapter tone = model.LoadAdapter(file);
            known = Assert.Single(ScaledAdapter.ToProfile([new(tone, 0.5f)]));
            Assert.Equal("tone.gguf", known.FileName);
            AssertUsed(model);
            AssertUsed(model, new ScaledAdapter(tone, 0));
            AssertLeftAside(model, "learned with no LoRA adapter", new ScaledAdapter(tone, 0.5f));
        }

        ProfileWriter.Write(_profile, withSkips with { SkipAdapters = [known] });
        using (ForetokenModel model = Load())
        {
            using LoraAdapter tone = model.LoadAdapter(file);
            AssertUsed(model, new ScaledAdapter(tone, 0.5f));
            AssertLeftAside(model, "at scale 0.5, and this prefill computes with 'tone.gguf'", new ScaledAdapter(tone));
            AssertLeftAside(model, "computes with no LoRA adapter");
        }

        (_, List<string> log) = await AskAsync(new ForetokenChatClientOptions { ModelPath = _model });
        Assert.Single(log, line => line.Contains("skips is left aside in requests", StringComparison.Ordinal));
        (PrefillReport answered, log) = await AskAsync(
            new ForetokenChatClientOptions
            {
                ModelPath = _model,
                Adapters = [new LoraAdapterOptions { Path = file, Scale = 0.5f }],
            }
        );
        Assert.Equal([new AdapterReport("tone", 0.5f)], answered.Adapters);
        Assert.DoesNotContain(log, line => line.Contains("left aside", StringComparison.Ordinal));

        void AssertUsed(ForetokenModel model, params ScaledAdapter[] adapters)
        {
            using ForetokenSession session = CreateSession(model);
            PrefillReport report = session.Prefill(Prompt(model), FasterTokens(model, adapters));
            Assert.Equal([new LayerSkip(5)], report.Skips);
            Assert.Equal(0.1, report.ExpectedQualityLoss);
            Assert.DoesNotContain("left aside", report.Reason, StringComparison.Ordinal);
            session.Clear();
            Assert.Equal(
                [new LayerSkip(5, LayerPart.Attention)],
                session.Prefill(Prompt(model), Routed(adapters)).Skips
            );
        }

        void AssertLeftAside(ForetokenModel model, string why, params ScaledAdapter[] adapters)
        {
            using ForetokenSession session = CreateSession(model);
            PrefillReport report = session.Prefill(Prompt(model), FasterTokens(model, adapters));
            Assert.Empty(report.Skips);
            Assert.Contains("left aside", report.Reason, StringComparison.Ordinal);
            Assert.Contains(why, report.Reason, StringComparison.Ordinal);
            session.Clear();
            ModelProfileException e = Assert.Throws<ModelProfileException>(() =>
                session.Prefill(Prompt(model), Routed(adapters))
            );
            Assert.Contains(why, e.Message, StringComparison.Ordinal);
            Assert.Contains("foretoken tune --skips", e.Message, StringComparison.Ordinal);

            // a set that the caller names is the caller's to choose
            PrefillRequest named = new()
            {
                Plan = PrefillPlan.FromBoundaries([], skips: [new(5)]),
                Adapters = adapters,
            };
            Assert.Equal([new LayerSkip(5)], session.Prefill(Prompt(model), named).Skips);
            // where nothing could have been skipped, nothing is said
            PrefillReport plain = session.Prefill(Prompt(model), new PrefillRequest { Adapters = adapters });
            Assert.DoesNotContain("left aside", plain.Reason, StringComparison.Ordinal);
        }

        PrefillRequest Routed(ScaledAdapter[] adapters) =>
            new() { Plan = PrefillPlan.FromBoundaries([], routing: routing), Adapters = adapters };

        static PrefillRequest FasterTokens(ForetokenModel model, ScaledAdapter[] adapters) =>
            new()
            {
                TargetDecodeSpeedup = model
                    .GetDecodeCost(KvCacheType.F16)
                    .Speedup(PrefillPlan.FromBoundaries([], skips: [new(5)]), PromptTokens),
                Adapters = adapters,
            };
    }

    [Fact]
    public void Named_profile_goes_before_the_one_beside_the_model()
    {
        ProfileWriter.Write(_profile, TestProfiles.For(_model, 1));
        ProfileWriter.Write(_folder["named.gguf"], TestProfiles.For(_model, 1, 2));

        using ForetokenModel model = ForetokenModel.Load(
            _model,
            new ModelOptions { ProfilePath = _folder["named.gguf"] }
        );
        Assert.Equal(2, model.Profile!.Predictors.Count);
    }

    [Fact]
    public void Profile_that_is_damaged_missing_or_of_another_model_is_refused_at_load()
    {
        ModelOptions missing = new() { ProfilePath = _folder["missing.gguf"] };
        Assert.Contains(
            "there is no such file",
            Assert.Throws<ModelProfileException>(() => ForetokenModel.Load(_model, missing)).Message,
            StringComparison.Ordinal
        );

        SyntheticModel.Write(_folder["other.gguf"], Spec with { Seed = 2 });
        ProfileWriter.Write(_profile, TestProfiles.For(_folder["other.gguf"], 1));
        AssertRefused("another model");

        ProfileWriter.Write(_profile, TestProfiles.For(_model, 1));
        byte[] bytes = File.ReadAllBytes(_profile);
        bytes[^40] ^= 1;
        File.WriteAllBytes(_profile, bytes);
        AssertRefused("damaged");

        void AssertRefused(string reason)
        {
            ModelProfileException e = Assert.Throws<ModelProfileException>(() => ForetokenModel.Load(_model));
            Assert.Contains(reason, e.Message, StringComparison.Ordinal);
            Assert.Contains("foretoken tune", e.Message, StringComparison.Ordinal);
            Assert.Contains("--profile none", e.Message, StringComparison.Ordinal);
            ForetokenChatClientOptions options = new() { ModelPath = _model };
            Assert.Throws<ModelProfileException>(() => new ForetokenChatClient(options));
        }
    }

    [Fact]
    public void Plan_that_names_learned_importance_needs_a_profile()
    {
        using ForetokenModel model = Load();
        using ForetokenSession session = CreateSession(model);
        PrefillRequest request = new() { Plan = PrefillPlan.FromBoundaries([new(1, 0.5)], "learned") };

        Assert.Throws<ModelProfileException>(() => session.Prefill(Prompt(model), request));
        Assert.Equal(0, session.TokenCount);
        session.Prefill(Prompt(model), Faster);
    }

    [Fact]
    public void Boundary_below_what_was_learned_is_ranked_without_training_and_said_unless_learned_is_asked_for()
    {
        ProfileWriter.Write(_profile, TestProfiles.For(_model, 2));
        using ForetokenModel model = Load();
        using ForetokenSession session = CreateSession(model);
        PlanBoundary[] low = [new(1, 0.5)];

        ArgumentException e = Assert.Throws<ArgumentException>(() =>
            session.Prefill(
                Prompt(model),
                new PrefillRequest { Plan = PrefillPlan.FromBoundaries(low, importance: "learned") }
            )
        );
        Assert.Contains("boundaries from layer 2 on", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, session.TokenCount);

        PrefillReport report = session.Prefill(
            Prompt(model),
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries(low) }
        );
        Assert.Equal(ImportancePolicies.Default.Name, report.Importance);
        Assert.Contains("boundaries from layer 2 on", report.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Losses_that_were_measured_with_learned_importance_are_not_promised_of_another_one()
    {
        PrefillPlanner planner = new(Spec.Shape);
        PrefillPlanner learnedPlanner = new(
            Spec.Shape,
            new PrefillPlannerOptions
            {
                Schedules =
                [
                    new PrefillSchedule(
                        [1 / 8.0],
                        [
                            [0.1],
                        ],
                        [0.2]
                    ),
                ],
            }
        );
        // the plans have a boundary at layer 1, and nothing was learned below layer 2
        ModelProfile profile = TestProfiles.For(_model, 2);

        PrefillDecision fast = Decide(new PrefillRequest { TargetTtftSpeedup = 1.5 });
        Assert.Equal(ImportancePolicies.Default, fast.Importance);
        Assert.Equal(ImportancePolicies.Default.Name, fast.Plan.Importance);
        Assert.True(fast.PromisedSpeedup >= 1.5);
        Assert.Null(fast.ExpectedLoss);
        Assert.DoesNotContain("expected loss", fast.Reason, StringComparison.Ordinal);
        Assert.Contains("boundaries from layer 2 on", fast.Reason, StringComparison.Ordinal);

        PrefillRequest careful = new() { MaxQualityLoss = 0.1 };
        PrefillDecision plain = Decide(careful);
        Assert.True(plain.Plan.IsKeepAll);
        Assert.Equal(0, plain.ExpectedLoss);
        Assert.Contains("was not measured", plain.Reason, StringComparison.Ordinal);
        Assert.Contains("boundaries from layer 2 on", plain.Reason, StringComparison.Ordinal);

        careful.Strict = true;
        Assert.Throws<QualityLossUnknownException>(() => Decide(careful));

        PrefillDecision Decide(PrefillRequest request) =>
            PrefillDecision.Make(planner, learnedPlanner, profile, request, null, 4 * PromptTokens, reused: 0);
    }

    [Fact]
    public async Task Chat_client_uses_the_profile_and_names_it_in_report_and_log()
    {
        ProfileWriter.Write(_profile, TestProfiles.For(_model, 1, 2));
        (PrefillReport report, List<string> log) = await AskAsync(
            new ForetokenChatClientOptions { ModelPath = _model }
        );

        Assert.Equal("learned", report.Importance);
        Assert.Single(log, line => line.Contains("ranked by what was learned", StringComparison.Ordinal));
        Assert.DoesNotContain(log, line => line.Contains("no profile", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Chat_client_that_names_another_importance_does_not_claim_to_use_the_profile()
    {
        ProfileWriter.Write(_profile, TestProfiles.For(_model, 1, 2));
        (PrefillReport report, List<string> log) = await AskAsync(
            new ForetokenChatClientOptions { ModelPath = _model, Importance = "recent-window" }
        );

        Assert.Equal("recent-window", report.Importance);
        Assert.DoesNotContain(log, line => line.Contains("what was learned", StringComparison.Ordinal));
        Assert.DoesNotContain(log, line => line.Contains("no profile", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Chat_client_without_a_profile_says_so_once()
    {
        (PrefillReport report, List<string> log) = await AskAsync(
            new ForetokenChatClientOptions { ModelPath = _model }
        );

        Assert.Equal("head-normalized-window", report.Importance);
        string said = Assert.Single(log, line => line.Contains("no profile", StringComparison.Ordinal));
        Assert.Contains("head-normalized-window", said, StringComparison.Ordinal);
        Assert.Contains("foretoken tune", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Learned_importance_without_a_profile_is_refused_before_or_by_the_request()
    {
        ForetokenChatClientOptions options = new() { ModelPath = _model, Importance = "learned" };
        Assert.Throws<ModelProfileException>(() => new ForetokenChatClient(options));

        using ForetokenModel model = Load();
        Assert.Throws<ModelProfileException>(() => new ForetokenChatClient(model, options));
        using ForetokenChatClient client = new(model, new ForetokenChatClientOptions { MaxOutputTokens = 1 });
        await Assert.ThrowsAsync<ModelProfileException>(() =>
            client.GetResponseAsync("Hello.", new ChatOptions().WithImportance("learned"))
        );
        await client.GetResponseAsync("Hello.");
    }

    private static async Task<(PrefillReport Report, List<string> Log)> AskAsync(ForetokenChatClientOptions options)
    {
        List<string> log = [];
        using ILoggerFactory factory = LoggerFactory.Create(builder => builder.AddProvider(new ListLogger(log)));
        options.LoggerFactory = factory;
        options.UseMeasuredCosts = false;
        options.TargetTtftSpeedup = 1.3;
        options.MaxOutputTokens = 1;
        options.ContextSize = 2048;
        using ForetokenChatClient client = new(options);
        await client.GetResponseAsync(Documents.Filler(2, 50));
        ChatResponse response = await client.GetResponseAsync(Documents.Filler(1, 100));
        return (response.GetPrefillReport()!, log);
    }

    // operations are counted: what a loaded machine measures of so small a model may rule every plan out
    private ForetokenModel Load(bool useProfile = true) =>
        ForetokenModel.Load(_model, new ModelOptions { UseProfile = useProfile, UseMeasuredCosts = false });

    private static ForetokenSession CreateSession(ForetokenModel model) =>
        model.CreateSession(new SessionOptions { ContextSize = 1024, Threads = TestModel.Threads });

    private static int[] Prompt(ForetokenModel model) =>
        model.Tokenize(Documents.Filler(1, PromptTokens), addSpecial: true)[..PromptTokens];

    private static int[] Kept(ForetokenModel model, PrefillPlan plan, IImportancePolicy importance)
    {
        using ForetokenSession session = CreateSession(model);
        session.Prefill(Prompt(model), new PrefillRequest { Plan = plan, Importance = importance });
        return session.GetPositions(7);
    }
}

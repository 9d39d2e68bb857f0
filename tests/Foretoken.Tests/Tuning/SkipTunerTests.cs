using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tests.Profiles;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;
using Foretoken.Tuning.Skips;

namespace Foretoken.Tests.Tuning;

[Collection(nameof(TestModel))]
public sealed class SkipTunerTests(TestModel test)
{
    private static readonly SkipTuningOptions Short = new()
    {
        AnswerTokens = 3,
        JointPrompts = 1,
        Nominees = 2,
        Threads = TestModel.Threads,
        Targets = [new SkipTarget(LayerPart.Block, [1, 2], 3)],
    };

    private IReadOnlyList<DocumentPrompt> Prompts(int count) =>
        new PromptGenerator(SampleTexts.Corpus, test.Model).CreateMix(PromptSet.Tuning, count, length: 128);

    [Fact]
    public void Sets_and_routers_come_with_what_they_lose_on_prompts_held_out()
    {
        using SkipTuner tuner = new(test.Model, Short);
        List<TuningProgress> told = [];
        IReadOnlyList<DocumentPrompt> prompts = Prompts(3);
        ModelProfile before = TestProfiles.For(test.Path, 5);
        ModelProfile profile = tuner.Tune(before, [.. prompts.Skip(1)], [prompts[0]], new ToldProgress(told));

        Assert.Equal(10, tuner.DecisionLayer);
        Assert.Same(before.Predictors, profile.Predictors);
        Assert.Equal([1, 2], profile.Routers.Select(router => router.Routing.Count));
        Assert.All(
            profile.Routers,
            router =>
            {
                Assert.Equal(3, router.Layers.Count);
                Assert.All(router.Layers, layer => Assert.InRange(layer, 10, 28));
                Assert.Contains(router.Weights.Length, (int[])[0, 3 * test.Model.Shape.EmbeddingSize]);
            }
        );
        Assert.Equal([1, 0, 2, 0], profile.SkipQuality.Select(quality => quality.Skips.Count));
        Assert.Equal(
            [null, profile.Routers[0].Routing, null, profile.Routers[1].Routing],
            profile.SkipQuality.Select(quality => quality.Routing)
        );
        // the set for two grew out of the set for one
        Assert.Contains(profile.SkipQuality[0].Skips[0], profile.SkipQuality[2].Skips);
        Assert.All(told, progress => Assert.Equal(TuningPhase.Skipping, progress.Phase));
        Assert.Equal(1, told[^1].Fraction, 9);

        // the evaluator, which knows nothing of tuning, finds the same losses
        using QualityEvaluator evaluator = new(
            test.Model,
            new QualityEvaluatorOptions
            {
                AnswerTokens = 3,
                SummaryTokens = 3,
                Threads = TestModel.Threads,
            }
        );
        ProfileSkipQuality[] sets = [.. profile.SkipQuality.Where(quality => quality.Routing is null)];
        IReadOnlyList<QualitySample> samples = evaluator.Evaluate(
            [prompts[0]],
            [
                .. sets.Select(set => new QualityCase(
                    ImportancePolicies.Default,
                    PrefillPlan.FromBoundaries([], skips: set.Skips)
                )),
            ]
        );
        for (int i = 0; i < sets.Length; i++)
        {
            Assert.True(sets[i].KlDivergence > 0);
            Assert.Equal(samples[i].Kl, sets[i].KlDivergence, 9);
            Assert.Equal(samples[i].Agreement, sets[i].Agreement, 9);
        }
    }

    [Fact]
    public void An_interrupted_tuning_goes_on_and_ends_with_the_same_profile()
    {
        using TemporaryFolder folder = new();
        IReadOnlyList<DocumentPrompt> prompts = Prompts(2);
        ModelProfile before = TestProfiles.For(test.Path, 5);
        SkipTuningOptions options = Short with { Targets = [new SkipTarget(LayerPart.Block, [1], 2)] };
        ModelProfile whole;
        using (SkipTuner tuner = new(test.Model, options))
        {
            whole = tuner.Tune(before, [prompts[1]], [prompts[0]]);
        }

        using SkipTuner resumable = new(test.Model, options with { ExamplesFolder = folder["examples"] });
        using CancellationTokenSource cancel = new();
        Assert.Throws<OperationCanceledException>(() =>
            resumable.Tune(before, [prompts[1]], [prompts[0]], new CancellingProgress(cancel, after: 3), cancel.Token)
        );

        List<TuningProgress> told = [];
        ModelProfile resumed = resumable.Tune(before, [prompts[1]], [prompts[0]], new ToldProgress(told));
        Assert.True(told[^1].Resumed >= 3);
        TestProfiles.AssertEqual(whole, resumed);

        // a file that an interruption damaged is made again
        foreach (string file in Directory.EnumerateFiles(folder["examples"]))
        {
            File.WriteAllText(file, "{ \"Features\": [1, ");
        }

        TestProfiles.AssertEqual(whole, resumable.Tune(before, [prompts[1]], [prompts[0]]));
    }

    [Fact]
    public void Skips_are_learned_and_judged_with_the_adapters_that_the_profile_then_names()
    {
        using TemporaryFolder folder = new();
        using LoraAdapter adapter = test.Model.LoadAdapter(
            TestAdapter.Write(folder["tone.gguf"], test.Model.Shape, 1, 0.1f)
        );
        IReadOnlyList<DocumentPrompt> prompts = Prompts(2);
        SkipTuningOptions options = Short with
        {
            Targets = [new SkipTarget(LayerPart.Block, [1], 2)],
            ExamplesFolder = folder["examples"],
        };
        ModelProfile before = TestProfiles.For(test.Path, 5);
        ModelProfile without = Tune(options);
        ModelProfile with = Tune(options with { Adapters = [new(adapter, 0.5f)] });
        Assert.Empty(without.SkipAdapters);
        Assert.Equal(
            [new ProfileAdapter("tone.gguf", Convert.ToHexStringLower(adapter.Fingerprint), 0.5f)],
            with.SkipAdapters
        );
        // what was measured without is not taken for what is measured with it
        Assert.NotEqual(without.SkipQuality[0].KlDivergence, with.SkipQuality[0].KlDivergence);

        QualitySample sample = Judge(
            PrefillPlan.FromBoundaries([], skips: with.SkipQuality[0].Skips),
            fullWithoutAdapters: false
        );
        Assert.Equal(sample.Kl, with.SkipQuality[0].KlDivergence, 9);
        // with nothing left out, the adapter alone parts them
        Assert.Equal(0, Judge(PrefillPlan.KeepAll, fullWithoutAdapters: false).Kl, 9);
        Assert.True(Judge(PrefillPlan.KeepAll, fullWithoutAdapters: true).Kl > 1e-6);

        ModelProfile Tune(SkipTuningOptions options)
        {
            using SkipTuner tuner = new(test.Model, options);
            return tuner.Tune(before, [prompts[1]], [prompts[0]]);
        }

        QualitySample Judge(PrefillPlan plan, bool fullWithoutAdapters)
        {
            using QualityEvaluator evaluator = new(
                test.Model,
                new QualityEvaluatorOptions
                {
                    AnswerTokens = 3,
                    SummaryTokens = 3,
                    Threads = TestModel.Threads,
                    Adapters = [new(adapter, 0.5f)],
                    FullWithoutAdapters = fullWithoutAdapters,
                }
            );
            return Assert.Single(evaluator.Evaluate([prompts[0]], [new QualityCase(ImportancePolicies.Default, plan)]));
        }
    }

    [Fact]
    public void What_cannot_be_learned_is_refused_before_anything_is_computed()
    {
        Assert.Throws<ArgumentException>(() =>
            new SkipTuner(test.Model, Short with { Targets = [new(LayerPart.Block, [4], 3)] })
        );
        Assert.Throws<UnsupportedModelException>(() =>
            new SkipTuner(test.Model, Short with { Targets = [new(LayerPart.Block, [25], 25)] })
        );

        using SkipTuner tuner = new(test.Model, Short);
        IReadOnlyList<DocumentPrompt> prompts = Prompts(2);
        ModelProfile profile = TestProfiles.For(test.Path, 5);
        Assert.Throws<ArgumentException>(() => tuner.Tune(profile, prompts, []));
        Assert.Throws<ArgumentException>(() => tuner.Tune(profile, prompts, [prompts[0]]));
        Assert.Throws<ArgumentException>(() => tuner.Tune(TestProfiles.Small, [prompts[0]], [prompts[1]]));
    }

    [Fact]
    public void The_work_is_known_beforehand()
    {
        // 3 candidates on 4 prompts, 2 nominees for the second place on one, 2 sets and 2 routers on 5
        using SkipTuner tuner = new(test.Model, Short);
        Assert.Equal((3 * 4) + 2 + (4 * 5), tuner.CountMeasurements(4, 5));
    }
}

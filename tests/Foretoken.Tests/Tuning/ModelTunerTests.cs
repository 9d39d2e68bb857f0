using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

[Collection(nameof(TestModel))]
public sealed class ModelTunerTests(TestModel test)
{
    private static readonly TuningOptions Short = new()
    {
        AnswerTokens = 4,
        Threads = TestModel.Threads,
        Schedules =
        [
            new PrefillSchedule(
                [0.2],
                [
                    [0.5],
                    [0.3],
                ]
            ),
        ],
    };

    private IReadOnlyList<DocumentPrompt> Prompts(int count) =>
        new PromptGenerator(SampleTexts.Corpus, test.Model).CreateMix(PromptSet.Tuning, count, length: 160);

    [Fact]
    public void A_tuned_profile_has_a_predictor_per_boundary_and_the_losses_of_plans()
    {
        using ModelTuner tuner = new(test.Model, Short);
        List<TuningProgress> told = [];
        IReadOnlyList<DocumentPrompt> prompts = Prompts(5);
        ModelProfile profile = tuner.Tune([.. prompts.Skip(2)], [.. prompts.Take(2)], new ToldProgress(told));

        Assert.Equal(tuner.Boundaries, profile.Predictors.Select(predictor => predictor.Layer));
        Assert.Equal(ModelFingerprint.Compute(test.Path), profile.Fingerprint);
        Assert.Equal(3, profile.Origin.Prompts);
        Assert.Equal(2, profile.Origin.HeldOutPrompts);
        foreach (ImportancePredictor predictor in profile.Predictors)
        {
            Assert.All(predictor.AttentionWeights.ToArray(), weight => Assert.True(float.IsFinite(weight)));
            Assert.Equal(MatchFeatures.Count, predictor.MatchWeights.Length);
            Assert.Contains(predictor.MatchWeights.ToArray(), weight => weight != 0);
            Assert.InRange(predictor.Correlation, -1, 1);
            Assert.NotNull(predictor.Threshold);
        }

        // even three short prompts say something of two others
        Assert.True(profile.Predictors.Max(predictor => predictor.Correlation) > 0.15);
        PrefillSchedule schedule = Assert.Single(profile.Schedules);
        Assert.Equal(2, profile.Quality.Count);
        Assert.Equal(profile.Quality.Select(quality => quality.KlDivergence).Max(), schedule.Losses![^1]);
        Assert.Equal(
            [TuningPhase.Gathering, TuningPhase.Fitting, TuningPhase.Measuring],
            told.Select(progress => progress.Phase).Distinct()
        );
        Assert.Equal(1, told.Last(progress => progress.Phase == TuningPhase.Gathering).Fraction, 9);
    }

    [Fact]
    public void An_interrupted_tuning_goes_on_and_ends_with_the_same_profile()
    {
        using TemporaryFolder folder = new();
        IReadOnlyList<DocumentPrompt> prompts = Prompts(4);
        TuningOptions options = Short with { Schedules = [] };
        ModelProfile whole;
        using (ModelTuner tuner = new(test.Model, options))
        {
            whole = tuner.Tune([.. prompts.Skip(1)], [prompts[0]]);
        }

        using ModelTuner resumable = new(test.Model, options with { ExamplesFolder = folder["examples"] });
        using CancellationTokenSource cancel = new();
        Assert.Throws<OperationCanceledException>(() =>
            resumable.Tune([.. prompts.Skip(1)], [prompts[0]], new CancellingProgress(cancel, after: 2), cancel.Token)
        );
        Assert.Equal(2, Directory.EnumerateFiles(folder["examples"]).Count());
        // as if the machine had gone down while this one was written
        File.WriteAllBytes(Directory.EnumerateFiles(folder["examples"]).Order().First(), [1, 2, 3]);

        List<TuningProgress> told = [];
        ModelProfile resumed = resumable.Tune([.. prompts.Skip(1)], [prompts[0]], new ToldProgress(told));
        Assert.Equal(1, told.Max(progress => progress.Resumed));
        foreach ((ImportancePredictor one, ImportancePredictor other) in whole.Predictors.Zip(resumed.Predictors))
        {
            Assert.True(one.AttentionWeights.Span.SequenceEqual(other.AttentionWeights.Span));
            Assert.True(one.MatchWeights.Span.SequenceEqual(other.MatchWeights.Span));
            Assert.Equal(one.Threshold, other.Threshold);
            Assert.Equal(one.Correlation, other.Correlation);
        }
    }

    [Theory]
    [InlineData(PredictorInputs.Residual)]
    [InlineData(PredictorInputs.Attention | PredictorInputs.Residual)]
    public void Predictors_may_read_the_residual_stream(PredictorInputs inputs)
    {
        using ModelTuner tuner = new(test.Model, Short with { Inputs = inputs });
        IReadOnlyList<DocumentPrompt> prompts = Prompts(4);
        ModelProfile profile = tuner.Tune([.. prompts.Skip(1)], [prompts[0]]);
        ImportancePredictor predictor = profile.Predictors.Single(one => one.Layer == 6);
        Assert.Equal(test.Model.Shape.EmbeddingSize, predictor.ResidualWeights.Length);
        Assert.Equal(inputs.HasFlag(PredictorInputs.Attention), !predictor.AttentionWeights.IsEmpty);
        Assert.True(predictor.Correlation > 0.2, $"{predictor.Correlation}");
        Assert.All(profile.Predictors.Where(one => one.Layer != 6), one => Assert.True(one.ResidualWeights.IsEmpty));
    }

    [Theory]
    [InlineData(PredictorInputs.Network)]
    [InlineData(PredictorInputs.Attention | PredictorInputs.Network)]
    public void Networks_are_learned_at_the_boundaries_of_the_plans_and_prefill(PredictorInputs inputs)
    {
        using TemporaryFolder folder = new();
        TuningOptions options = Short with
        {
            Inputs = inputs,
            ExamplesFolder = folder["examples"],
            MeasureLosses = false,
        };
        IReadOnlyList<DocumentPrompt> prompts = Prompts(3);
        ModelProfile profile = Tune(options);
        ImportancePredictor predictor = profile.Predictors.Single(one => one.Layer == 6);
        Assert.Equal(test.Model.Shape.EmbeddingSize, predictor.Network!.EmbeddingSize);
        Assert.Equal(inputs.HasFlag(PredictorInputs.Attention), !predictor.AttentionWeights.IsEmpty);
        Assert.True(predictor.ResidualWeights.IsEmpty);
        Assert.InRange(predictor.Correlation, -1, 1);
        Assert.Empty(profile.Schedules);
        Assert.All(
            profile.Predictors.Where(one => one.Layer != 6),
            one => Assert.True(one.Network is null && !one.AttentionWeights.IsEmpty)
        );

        // by the seed alone
        Assert.True(Weights(Tune(options)).SequenceEqual(Weights(profile)));
        Assert.False(Weights(Tune(options with { Seed = 2 })).SequenceEqual(Weights(profile)));

        Recording recording = new(new LearnedImportance(profile.Predictors));
        using ForetokenSession session = test.CreateSession();
        session.Prefill(
            test.Prompt(300),
            new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(6, 0.4)]), Importance = recording }
        );
        Assert.True(session.GetPositions(7).Length < session.GetPositions(5).Length);
        Assert.All(recording.Importance, value => Assert.True(float.IsFinite(value)));
        Assert.True(recording.Importance.Max() > recording.Importance.Min());

        ModelProfile Tune(TuningOptions options)
        {
            using ModelTuner tuner = new(test.Model, options);
            return tuner.Tune([.. prompts.Skip(1)], [prompts[0]]);
        }

        static ReadOnlySpan<float> Weights(ModelProfile profile) =>
            profile.Predictors.Single(one => one.Layer == 6).Network!.Weights.Span;
    }

    [Fact]
    public void What_was_recorded_once_serves_every_input()
    {
        using TemporaryFolder folder = new();
        IReadOnlyList<DocumentPrompt> prompts = Prompts(2);
        TuningOptions options = Short with { ExamplesFolder = folder["examples"], RecordResiduals = true };
        List<TuningProgress> told = [];
        foreach (PredictorInputs inputs in (PredictorInputs[])[PredictorInputs.Attention, PredictorInputs.Residual])
        {
            using ModelTuner tuner = new(test.Model, options with { Inputs = inputs });
            told.Clear();
            tuner.Tune(prompts, [], new ToldProgress(told));
        }

        Assert.Equal(prompts.Count, told.Max(progress => progress.Resumed));
        Assert.Equal(prompts.Count, Directory.EnumerateFiles(folder["examples"]).Count());
    }

    [Fact]
    public void Inputs_that_cannot_be_read_together_are_refused()
    {
        foreach (int inputs in (int[])[0, 6, 7, 8, 10, 11, 13])
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => Short with { Inputs = (PredictorInputs)inputs });
        }
    }

    [Fact]
    public void A_model_without_room_between_a_boundary_and_its_last_layer_is_refused()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(
            folder["two.gguf"],
            SyntheticModelSpec.Parse("layers=2,embd=64,heads=2,kv-heads=1,ffn=128,vocab=320")
        );
        using ForetokenModel model = ForetokenModel.Load(folder["two.gguf"]);
        Assert.Throws<UnsupportedModelException>(() => new ModelTuner(model));
    }

    [Fact]
    public void Prompts_that_are_both_learned_from_and_judged_on_are_refused()
    {
        using ModelTuner tuner = new(test.Model, Short);
        IReadOnlyList<DocumentPrompt> prompts = Prompts(2);
        Assert.Throws<ArgumentException>(() => tuner.Tune(prompts, [prompts[1]]));
        Assert.Throws<ArgumentException>(() => tuner.Tune([], prompts));
    }

    [Fact]
    public void The_recorded_attention_of_an_answer_of_one_token_adds_up_to_what_the_prompt_receives()
    {
        using ForetokenSession session = test.CreateSession();
        ExampleGatherer gatherer = new(test.Model, [1, 2, 3], [2], answerTokens: 1);
        int[] prompt = test.Prompt(150);
        TuningExample example = gatherer.Gather(session, "one", prompt, CancellationToken.None);

        Assert.Equal(150, example.TokenCount);
        Assert.Equal(3, example.AttentionLayers);
        // from layer 1 to the last but one
        Assert.Equal(test.Model.Shape.LayerCount - 2, example.AnswerLayers);
        Assert.Equal(150 * test.Model.Shape.EmbeddingSize, example.Residuals[2].Length);
        for (int layer = 0; layer < example.AnswerLayers; layer++)
        {
            // what is missing from 1 is what the token pays to itself
            float sum = example.AnswerAttention.AsSpan(layer * 150, 150).ToArray().Sum();
            Assert.InRange(sum, 0.3f, 1.0001f);
        }
    }

    [Fact]
    public void Learned_importance_is_invariant_to_chunking()
    {
        int[] prompt = test.Prompt(300);
        float[] Importance(int ubatch)
        {
            using ForetokenSession session = test.Model.CreateSession(
                new SessionOptions
                {
                    ContextSize = 512,
                    UBatchSize = ubatch,
                    Threads = TestModel.Threads,
                }
            );
            Recording recording = new(RandomPredictor(test.Model.Shape.HeadCount, layer: 4));
            session.Prefill(
                prompt,
                new PrefillRequest { Plan = PrefillPlan.FromBoundaries([new(4, 0.5)]), Importance = recording }
            );
            return recording.Importance;
        }

        float[] whole = Importance(512);
        foreach (int ubatch in (int[])[64, 100])
        {
            float[] chunked = Importance(ubatch);
            // rounding only: the attention of a chunk is computed over the same keys
            Assert.All(whole.Zip(chunked), pair => Assert.Equal(pair.First, pair.Second, 0.02f));
        }

        Assert.True(whole.Max() - whole.Min() > 0.5f);
    }

    [Fact]
    public void What_the_tokens_say_counts_at_every_boundary_of_a_prefill()
    {
        // the end of the prompt repeats what stands in the middle of it
        int[] prompt = test.Prompt(400);
        prompt.AsSpan(200, 12).CopyTo(prompt.AsSpan(384));
        float[] expected = new float[400];
        float[] features = new float[AttentionFeatures.PoolCount * 400];
        MatchFeatures.Compute(prompt, 0, features);
        features.AsSpan(0, 400).CopyTo(expected);

        Recording recording = new(
            new LearnedImportance([
                new ImportancePredictor(2, default, default, null, double.NaN) { MatchWeights = new[] { 1f, 0, 0, 0 } },
            ])
        );
        using ForetokenSession session = test.CreateSession();
        session.Prefill(
            prompt,
            new PrefillRequest
            {
                Plan = PrefillPlan.FromBoundaries([new(2, 0.5), new(6, 0.25)]),
                Importance = recording,
            }
        );

        Assert.Equal([400, session.GetPositions(3).Length], recording.Counts);
        int[] arrived = session.GetPositions(3);
        float[] there = [.. arrived.Select(position => expected[position])];
        double mean = there[4..^32].Average();
        Assert.All(there.Zip(recording.Importance), pair => Assert.Equal(pair.First - mean, pair.Second, 1e-3));
        int[] left = session.GetPositions(7);
        Assert.All(Enumerable.Range(202, 8), position => Assert.Contains(position, left));
    }

    private static LearnedImportance RandomPredictor(int heads, int layer)
    {
        Random random = new(5);
        float[] weights = new float[layer * AttentionFeatures.CountPerLayer(heads)];
        for (int i = 0; i < weights.Length; i++)
        {
            weights[i] = (random.NextSingle() - 0.5f) / 10;
        }

        return new LearnedImportance([new ImportancePredictor(layer, weights, default, null, double.NaN)]);
    }

    private sealed class Recording(IImportancePolicy inner) : IImportancePolicy
    {
        public string Name => inner.Name;

        public float[] Importance { get; private set; } = [];

        public List<int> Counts { get; } = [];

        public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd) =>
            inner.GetProbes(layerBegin, layerEnd);

        public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
        {
            inner.ComputeImportance(probes, importance);
            Importance = importance.ToArray();
            Counts.Add(importance.Length);
        }
    }
}

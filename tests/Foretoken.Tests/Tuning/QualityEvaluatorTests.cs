using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Tests.Tuning;

[Collection(nameof(TestModel))]
public sealed class QualityEvaluatorTests(TestModel test)
{
    private static readonly QualityEvaluatorOptions Short = new() { AnswerTokens = 6, SummaryTokens = 4 };

    private PromptGenerator Generator => new(SampleTexts.Corpus, test.Model);

    [Fact]
    public void Keeping_everything_has_no_divergence_and_the_same_answers()
    {
        using QualityEvaluator evaluator = new(test.Model, Short);
        IReadOnlyList<DocumentPrompt> prompts =
        [
            Generator.Create(Spec(PromptKind.Retrieval), 0),
            Generator.Create(Spec(PromptKind.Summary), 0),
        ];
        // boundaries that keep all go through the stages and the selection
        QualityCase keepAll = new(ImportancePolicies.Default, PrefillPlan.FromBoundaries([new(5, 1), new(11, 1)]));
        List<QualitySample> told = [];
        List<QualityProgress> progress = [];
        IReadOnlyList<QualitySample> samples = evaluator.Evaluate(prompts, [keepAll], told.Add, new Progress(progress));

        Assert.Equal(2, samples.Count);
        Assert.Equal(samples, told);
        foreach (QualitySample sample in samples)
        {
            Assert.Equal(0, sample.Kl);
            Assert.Equal(1, sample.Agreement);
            Assert.Equal(1, sample.KeptShare);
            Assert.InRange(sample.ForcedTokens, 1, 6);
            Assert.InRange(sample.PromptTokens, 250, 400);
            Assert.Equal(sample.AnsweredByFullPrefill == true ? true : null, sample.Answered);
        }

        Assert.Equal(1, progress[^1].Fraction, 9);
        Assert.Equal(2, progress[^1].PromptsDone);
    }

    [Fact]
    public void Thinning_shows_in_the_kept_share_and_the_divergence()
    {
        using QualityEvaluator evaluator = new(test.Model, Short);
        DocumentPrompt prompt = Generator.Create(Spec(PromptKind.Retrieval), 1);
        PrefillPlan harsh = PrefillPlan.FromBoundaries([new(3, 0.2)]);
        IReadOnlyList<QualitySample> samples = evaluator.Evaluate(
            [prompt, prompt.AskedInNextTurn()],
            [new QualityCase(ImportancePolicies.Get("random"), harsh)]
        );

        Assert.Equal(["retrieval-last", "retrieval-blind"], samples.Select(sample => sample.Kind));
        foreach (QualitySample sample in samples)
        {
            Assert.True(sample.Kl > 0);
            Assert.InRange(sample.Agreement, 0, 1);
            // 3 of 30 layers in full, the others with a fifth of the tokens or all that are always kept
            Assert.InRange(sample.KeptShare, 0.27, 0.5);
        }

        Assert.Equal(samples[0].PromptTokens, samples[0].ThinnedTokens);
        Assert.True(samples[1].ThinnedTokens < samples[1].PromptTokens);
    }

    [Fact]
    public void With_thresholds_a_prompt_with_little_in_it_keeps_less_under_a_name_of_its_own()
    {
        using QualityEvaluator evaluator = new(test.Model, Short);
        // no token passes
        FallingImportance importance = new(1000);
        IReadOnlyList<QualitySample> samples = evaluator.Evaluate(
            [Generator.Create(Spec(PromptKind.Summary), 2)],
            [new QualityCase(importance, 2), new QualityCase(importance, 2) { UseThresholds = true }]
        );

        Assert.Equal([importance.Name, $"{importance.Name}+thresholds"], samples.Select(sample => sample.Importance));
        Assert.Equal(samples[0].PromisedSpeedup, samples[1].PromisedSpeedup);
        Assert.True(samples[1].KeptShare < samples[0].KeptShare);
        Assert.Equal(2, QualityTable.Summarize(samples).Count);
    }

    [Fact]
    public void A_skipped_layer_counts_as_not_computed_and_decode_is_timed_beside_full_prefill()
    {
        using QualityEvaluator evaluator = new(test.Model, Short);
        QualitySample sample = Assert.Single(
            evaluator.Evaluate(
                [Generator.Create(Spec(PromptKind.Summary), 1)],
                [new QualityCase(ImportancePolicies.Default, PrefillPlan.FromBoundaries([], skips: [new(14), new(25)]))]
            )
        );

        Assert.True(sample.Kl > 0);
        Assert.Equal(28 / 30.0, sample.KeptShare, 9);
        Assert.True(sample.DecodeMs > 0);
        Assert.True(sample.FullDecodeMs > 0);
        Assert.Equal(sample.DecodeMs / sample.FullDecodeMs, QualityTable.DecodeTimeRatio([sample]));
    }

    [Fact]
    public void A_quotation_that_comes_back_loses_less_and_is_counted()
    {
        const string Sentence =
            "The ferryman of Port Ellery keeps seven brass lanterns, a blue oar, and a parrot that counts the tides.";
        string document = $"{Documents.Filler(1, 120)} {Sentence} {Documents.Filler(2, 120)}";
        DocumentPrompt prompt = Assert.Single(
            PromptFile.Parse(
                $$"""{"document": "{{document}}", "question": "Which sentence is about a ferryman?", "kind": "summary", "answer_start": "The ferryman of Port Ellery keeps seven brass"}""",
                "own.jsonl"
            )
        );
        // the sentence is dropped
        QualityCase one = new(ImportancePolicies.Get("most-recent"), PrefillPlan.FromBoundaries([new(3, 0.3)]));
        using QualityEvaluator restoring = new(test.Model, Short with { SummaryTokens = 12 });
        using QualityEvaluator dropping = new(test.Model, Short with { SummaryTokens = 12, RestoreQuotes = false });
        QualitySample restored = Assert.Single(restoring.Evaluate([prompt], [one]));
        QualitySample dropped = Assert.Single(dropping.Evaluate([prompt], [one]));

        Assert.Contains("a blue oar", restored.FullAnswer, StringComparison.Ordinal);
        Assert.Equal(0, dropped.RestoredTokens);
        Assert.InRange(restored.RestoredTokens, 10, 40);
        Assert.True(restored.Kl < dropped.Kl / 2, $"{restored.Kl} and {dropped.Kl}");
        Assert.Equal(restored.RestoredTokens, Assert.Single(QualityTable.Summarize([restored])).RestoredTokens);
    }

    [Fact]
    public void Generated_prompts_are_as_long_as_asked_in_the_tokens_of_the_model()
    {
        foreach (DocumentPrompt prompt in Generator.CreateMix(PromptSet.Evaluation, 8, 1024))
        {
            Assert.InRange(test.Model.Tokenize(prompt.Messages[0].Text).Length, 870, 1100);
        }
    }

    [Fact]
    public void A_prompt_longer_than_the_model_reads_is_refused_by_name()
    {
        using QualityEvaluator evaluator = new(test.Model, Short);
        DocumentPrompt prompt = Assert.Single(
            PromptFile.Parse(
                $$"""{"document": "{{Documents.Filler(1, 9000)}}", "question": "Sum it up.", "kind": "summary"}""",
                "own.jsonl"
            )
        );
        ContextFullException e = Assert.Throws<ContextFullException>(() =>
            evaluator.Evaluate([prompt], [new QualityCase(ImportancePolicies.Default, 2)])
        );
        Assert.Contains("own.jsonl:1", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_to_evaluate_is_refused()
    {
        using QualityEvaluator evaluator = new(test.Model);
        Assert.Throws<ArgumentException>(() => evaluator.Evaluate([], []));
        Assert.Throws<ArgumentOutOfRangeException>(() => new QualityCase(ImportancePolicies.Default, 0.5));
    }

    private static PromptSpec Spec(PromptKind kind) =>
        new()
        {
            Set = PromptSet.Evaluation,
            Kind = kind,
            Length = 300,
        };

    private sealed class Progress(List<QualityProgress> all) : IProgress<QualityProgress>
    {
        public void Report(QualityProgress value) => all.Add(value);
    }
}

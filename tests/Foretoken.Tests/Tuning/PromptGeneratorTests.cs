using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Tuning;

public class PromptGeneratorTests
{
    private const int Many = 30;

    public static TheoryData<PromptSet, PromptKind, QuestionPlace, int> Specs
    {
        get
        {
            TheoryData<PromptSet, PromptKind, QuestionPlace, int> data = [];
            foreach (PromptSet set in Enum.GetValues<PromptSet>())
            {
                foreach (int length in (int[])[256, 1024, 2048])
                {
                    data.Add(set, PromptKind.Retrieval, QuestionPlace.Last, length);
                    data.Add(set, PromptKind.Retrieval, QuestionPlace.First, length);
                    data.Add(set, PromptKind.Retrieval, QuestionPlace.NextTurn, length);
                    data.Add(set, PromptKind.Summary, QuestionPlace.Last, length);
                    data.Add(set, PromptKind.Continuation, QuestionPlace.Last, length);
                }
            }

            return data;
        }
    }

    [Fact]
    public void Tuning_and_evaluation_share_no_kind_of_fact_no_subject_no_value_and_no_wording()
    {
        Disjoint(kind => [kind.Name]);
        Disjoint(kind => kind.Subjects);
        Disjoint(kind => kind.Values.SelectMany(value => value.Accepted.Append(value.Text)));
        Disjoint(kind => kind.Wordings.SelectMany(w => (string[])[w.Statement, w.Question, w.AnswerStart]));
        Assert.Empty(PromptFrames.Of(PromptSet.Tuning).All.Intersect(PromptFrames.Of(PromptSet.Evaluation).All));

        static void Disjoint(Func<FactKind, IEnumerable<string>> what) =>
            Assert.Empty(
                FactKinds
                    .Of(PromptSet.Tuning)
                    .SelectMany(what)
                    .Intersect(FactKinds.Of(PromptSet.Evaluation).SelectMany(what), StringComparer.OrdinalIgnoreCase)
            );
    }

    [Theory]
    [InlineData(PromptSet.Tuning)]
    [InlineData(PromptSet.Evaluation)]
    public void Each_set_has_facts_of_words_and_of_digits_in_several_wordings(PromptSet set)
    {
        IReadOnlyList<FactKind> kinds = FactKinds.Of(set);
        Assert.True(kinds.Count(kind => kind.Form == FactForm.Words) >= 5);
        Assert.True(kinds.Count(kind => kind.Form == FactForm.Digits) >= 3);
        Assert.All(kinds, kind => Assert.True(kind.Wordings.Count >= 2, kind.Name));
        Assert.All(kinds, kind => Assert.True(kind.Subjects.Count >= 8, kind.Name));
        Assert.All(kinds, kind => Assert.True(kind.Form == FactForm.Digits || kind.Values.Count >= 8, kind.Name));
        Assert.Equal(kinds.Count, kinds.Select(kind => kind.Name).Distinct().Count());
    }

    [Fact]
    public void Generated_documents_of_the_two_sets_share_no_paragraph()
    {
        HashSet<string> tuning = Paragraphs(PromptSet.Tuning);
        HashSet<string> evaluation = Paragraphs(PromptSet.Evaluation);
        Assert.True(tuning.Count > 50);
        Assert.True(evaluation.Count > 50);
        Assert.Empty(tuning.Intersect(evaluation));

        // what is left of the documents without what was planted, and without the last, cut paragraph
        static HashSet<string> Paragraphs(PromptSet set) =>
            [
                .. SampleTexts
                    .Generator()
                    .CreateMix(set, 40)
                    .SelectMany(prompt =>
                        prompt
                            .Facts.Aggregate(
                                prompt.Document,
                                (text, fact) => text.Replace(fact.Statement, "", StringComparison.Ordinal)
                            )
                            .Split("\n\n")
                            .SkipLast(1)
                    )
                    .Select(paragraph => paragraph.Trim())
                    .Where(paragraph => paragraph.Length > 40),
            ];
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void The_same_spec_gives_the_same_prompts(PromptSet set, PromptKind kind, QuestionPlace place, int length)
    {
        PromptSpec spec = Spec(set, kind, place, length);
        IReadOnlyList<DocumentPrompt> first = SampleTexts.Generator().CreateMany(spec, 7);
        PromptGenerator other = SampleTexts.Generator();
        // in another order and after others: a prompt depends on its index alone
        other.CreateMix(set, 5, length);
        DocumentPrompt[] again = [.. Enumerable.Range(0, 7).Reverse().Select(i => other.Create(spec, i)).Reverse()];
        for (int i = 0; i < first.Count; i++)
        {
            Assert.Equal(Text(first[i]), Text(again[i]));
            Assert.Equal(first[i].Id, again[i].Id);
            Assert.Equal(first[i].Expected, again[i].Expected);
            Assert.Equal(first[i].AnswerStart, again[i].AnswerStart);
            Assert.Equal(first[i].Facts, again[i].Facts);
        }
    }

    [Fact]
    public void Another_seed_gives_other_prompts()
    {
        PromptSpec spec = Spec(PromptSet.Evaluation, PromptKind.Retrieval, QuestionPlace.Last, 1024);
        string[] one = [.. SampleTexts.Generator().CreateMany(spec, 10).Select(Text)];
        string[] two = [.. SampleTexts.Generator().CreateMany(spec with { Seed = 2 }, 10).Select(Text)];
        Assert.Empty(one.Intersect(two));
    }

    [Theory]
    [MemberData(nameof(Specs))]
    public void The_messages_are_about_as_long_as_asked(PromptSet set, PromptKind kind, QuestionPlace place, int length)
    {
        foreach (DocumentPrompt prompt in SampleTexts.Generator().CreateMany(Spec(set, kind, place, length), 12))
        {
            Assert.InRange(SampleTexts.CountTokens(Text(prompt)), 0.9 * length, (1.05 * length) + 24);
        }
    }

    [Theory]
    [InlineData(PromptSet.Tuning, QuestionPlace.Last)]
    [InlineData(PromptSet.Tuning, QuestionPlace.First)]
    [InlineData(PromptSet.Evaluation, QuestionPlace.Last)]
    [InlineData(PromptSet.Evaluation, QuestionPlace.First)]
    [InlineData(PromptSet.Evaluation, QuestionPlace.NextTurn)]
    public void Planted_facts_are_in_the_document_and_what_is_expected_is_nowhere_else(
        PromptSet set,
        QuestionPlace place
    )
    {
        foreach (
            DocumentPrompt prompt in SampleTexts
                .Generator()
                .CreateMany(Spec(set, PromptKind.Retrieval, place, 1024), Many)
        )
        {
            foreach (PlantedFact fact in prompt.Facts)
            {
                int at = prompt.Document.IndexOf(fact.Statement, StringComparison.Ordinal);
                Assert.True(at >= 0, $"{prompt}: {fact.Statement}");
                Assert.Equal((double)at / prompt.Document.Length, fact.Place, 9);
            }

            PlantedFact asked = Assert.Single(prompt.Facts, fact => fact.IsAsked);
            Assert.True(prompt.IsAnsweredBy(asked.Statement), $"{prompt}: {asked.Statement}");
            Assert.True(prompt.IsAnsweredBy(prompt.Document));
            string without = prompt.Document.Replace(asked.Statement, "", StringComparison.Ordinal);
            Assert.False(prompt.IsAnsweredBy(without), $"{prompt}: {string.Join(", ", prompt.Expected)}");
            Assert.False(prompt.IsAnsweredBy(prompt.Question), $"{prompt}: {prompt.Question}");
            Assert.False(prompt.IsAnsweredBy(prompt.AnswerStart!), $"{prompt}: {prompt.AnswerStart}");
            Assert.DoesNotContain('{', prompt.Question + prompt.AnswerStart);
        }
    }

    [Fact]
    public void Facts_stand_all_over_the_document()
    {
        double[] places =
        [
            .. SampleTexts
                .Generator()
                .CreateMany(Spec(PromptSet.Evaluation, PromptKind.Retrieval, QuestionPlace.Last, 1024), 40)
                .Select(prompt => prompt.Facts.Single(fact => fact.IsAsked).Place)
                .Order(),
        ];
        Assert.True(places[0] < 0.25, $"{places[0]}");
        Assert.True(places[^1] > 0.65, $"{places[^1]}");
        Assert.InRange(places.Average(), 0.3, 0.6);
    }

    [Fact]
    public void Every_kind_of_fact_is_asked_for_and_a_third_of_the_prompts_hold_several()
    {
        IReadOnlyList<DocumentPrompt> prompts = SampleTexts
            .Generator()
            .CreateMany(Spec(PromptSet.Evaluation, PromptKind.Retrieval, QuestionPlace.Last, 512), Many);
        Assert.Equal(
            PromptGenerator.GetFactKinds(PromptSet.Evaluation).Order(),
            prompts.Select(prompt => prompt.Facts.Single(fact => fact.IsAsked).Kind).Distinct().Order()
        );
        Assert.Equal(Many / 3, prompts.Count(prompt => prompt.Facts.Count == 3));
        Assert.All(
            prompts,
            prompt => Assert.Equal(prompt.Facts.Count, prompt.Facts.Select(f => f.Kind).Distinct().Count())
        );
    }

    [Theory]
    [InlineData(FactForm.Digits)]
    [InlineData(FactForm.Words)]
    public void Facts_can_be_restricted_to_digits_or_words(FactForm form) =>
        Assert.All(
            SampleTexts.Generator().CreateMix(PromptSet.Tuning, 24, 512, facts: form),
            prompt => Assert.All(prompt.Facts, fact => Assert.Equal(form, fact.Form))
        );

    [Fact]
    public void A_mix_holds_all_kinds_and_no_prompt_twice()
    {
        IReadOnlyList<DocumentPrompt> mix = SampleTexts.Generator().CreateMix(PromptSet.Tuning, 16, 512);
        Assert.Equal(
            ["continuation", "retrieval-first", "retrieval-last", "summary"],
            mix.Select(prompt => prompt.KindName).Distinct().Order()
        );
        Assert.Equal(mix.Count, mix.Select(prompt => prompt.Id).Distinct().Count());
        Assert.Equal(mix.Count, mix.Select(Text).Distinct().Count());
    }

    [Fact]
    public void The_question_stands_where_it_was_asked_for()
    {
        PromptGenerator generator = SampleTexts.Generator();
        foreach (int i in Enumerable.Range(0, 6))
        {
            DocumentPrompt last = generator.Create(
                Spec(PromptSet.Evaluation, PromptKind.Retrieval, QuestionPlace.Last, 512),
                i
            );
            DocumentPrompt first = generator.Create(
                Spec(PromptSet.Evaluation, PromptKind.Retrieval, QuestionPlace.First, 512),
                i
            );
            Assert.True(At(last, last.Question) > At(last, last.Document));
            Assert.InRange(At(first, first.Question), 0, At(first, first.Document));

            DocumentPrompt blind = last.AskedInNextTurn();
            Assert.Equal("retrieval-blind", blind.KindName);
            Assert.Equal(
                [ChatRole.User, ChatRole.Assistant, ChatRole.User],
                blind.Messages.Select(message => message.Role)
            );
            Assert.DoesNotContain(blind.Question, blind.Messages[0].Text, StringComparison.Ordinal);
            Assert.Contains(blind.Document, blind.Messages[0].Text, StringComparison.Ordinal);
            Assert.Equal(blind.Question, blind.Messages[2].Text);
        }

        static int At(DocumentPrompt prompt, string what) =>
            prompt.Messages[0].Text.IndexOf(what, StringComparison.Ordinal);
    }

    [Fact]
    public void A_continuation_starts_with_the_true_next_words_and_has_no_question_to_ask_later()
    {
        DocumentPrompt prompt = SampleTexts
            .Generator()
            .Create(Spec(PromptSet.Evaluation, PromptKind.Continuation, QuestionPlace.Last, 512), 0);
        Assert.Contains(
            SampleTexts.Corpus.Paragraphs(PromptSet.Evaluation),
            paragraph => paragraph.Text.ReplaceLineEndings(" ").Contains(prompt.AnswerStart!, StringComparison.Ordinal)
        );
        Assert.False(prompt.IsAnsweredBy(prompt.Document));
        Assert.Throws<InvalidOperationException>(prompt.AskedInNextTurn);
    }

    [Fact]
    public void Texts_that_are_too_short_are_refused_with_what_they_hold()
    {
        TextCorpus corpus = new([
            ("a", string.Join("\n\n", Enumerable.Range(0, 20).Select(i => $"Sentence number {i} of a short text."))),
        ]);
        PromptGenerator generator = new(corpus, SampleTexts.CountTokens);
        InvalidOperationException e = Assert.Throws<InvalidOperationException>(() =>
            generator.Create(Spec(PromptSet.Evaluation, PromptKind.Summary, QuestionPlace.Last, 1024), 0)
        );
        Assert.Contains("more text", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_prompt_shorter_than_its_question_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            Spec(PromptSet.Evaluation, PromptKind.Retrieval, QuestionPlace.Last, PromptSpec.MinLength - 1)
        );

    private static string Text(DocumentPrompt prompt) =>
        string.Join("\n", prompt.Messages.Select(message => message.Text));

    private static PromptSpec Spec(PromptSet set, PromptKind kind, QuestionPlace place, int length) =>
        new()
        {
            Set = set,
            Kind = kind,
            QuestionAt = place,
            Length = length,
        };
}

using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

public class TextCorpusTests
{
    [Fact]
    public void No_paragraph_is_in_both_parts()
    {
        HashSet<string> tuning = [.. SampleTexts.Corpus.Paragraphs(PromptSet.Tuning).Select(p => p.Text)];
        HashSet<string> evaluation = [.. SampleTexts.Corpus.Paragraphs(PromptSet.Evaluation).Select(p => p.Text)];
        Assert.NotEmpty(tuning);
        Assert.NotEmpty(evaluation);
        Assert.Empty(tuning.Intersect(evaluation));
    }

    [Fact]
    public void Both_parts_hold_about_half_of_the_text()
    {
        double tuning = SampleTexts.Corpus.Paragraphs(PromptSet.Tuning).Sum(p => p.Text.Length);
        double evaluation = SampleTexts.Corpus.Paragraphs(PromptSet.Evaluation).Sum(p => p.Text.Length);
        Assert.InRange(tuning / (tuning + evaluation), 0.4, 0.6);
    }

    [Fact]
    public void A_paragraph_that_comes_again_in_another_text_stays_where_it_first_was()
    {
        string text = Sentences(40);
        TextCorpus corpus = new([("a", text), ("b", Sentences(3, "Another beginning") + "\n\n" + text)]);
        string[] all =
        [
            .. corpus.Paragraphs(PromptSet.Tuning).Concat(corpus.Paragraphs(PromptSet.Evaluation)).Select(p => p.Text),
        ];
        Assert.Equal(43, all.Length);
        Assert.Equal(all.Length, all.Distinct().Count());
    }

    [Fact]
    public void The_beginning_of_a_longer_text_is_divided_like_the_text()
    {
        string text = Sentences(2000);
        string beginning = string.Join("\n\n", text.Split("\n\n").Take(1200));
        HashSet<string> tuning = [.. new TextCorpus([("a", text)]).Paragraphs(PromptSet.Tuning).Select(p => p.Text)];
        TextCorpus shorter = new([("a", beginning)]);
        Assert.All(shorter.Paragraphs(PromptSet.Tuning), p => Assert.Contains(p.Text, tuning));
        Assert.All(shorter.Paragraphs(PromptSet.Evaluation), p => Assert.DoesNotContain(p.Text, tuning));
    }

    [Fact]
    public void Lines_of_prose_are_joined_and_lines_of_code_are_kept()
    {
        const string text = """
              This is a sentence that is broken
              over two lines of a text file.

                  for i in range(10):
                      print(i)
            """;
        TextParagraph[] all = All(text);
        Assert.Equal("This is a sentence that is broken over two lines of a text file.", all[0].Text);
        Assert.True(all[0].IsProse);
        Assert.Equal("for i in range(10):\n    print(i)", all[1].Text);
        Assert.False(all[1].IsProse);
    }

    [Fact]
    public void Tables_drawings_and_tables_of_contents_are_left_out()
    {
        const string text = """
            ┌───────┬──────┐
            │Version│ Date │
            └───────┴──────┘

            ----+++----====

            One

            Two

            Three

            Four

            Here begins the text, and this is its first sentence.
            """;
        TextParagraph paragraph = Assert.Single(All(text));
        Assert.StartsWith("Here begins", paragraph.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_heading_before_its_text_stays() =>
        Assert.Equal(
            ["Chapter One", "Here begins the text, and this is its first sentence."],
            All("Chapter One\n\nHere begins the text, and this is its first sentence.").Select(p => p.Text)
        );

    [Theory]
    [InlineData("")]
    [InlineData("   \n\n  ")]
    [InlineData("#### ----- #### ---- ####")]
    public void Texts_without_text_are_refused_by_name(string text) =>
        Assert.Contains(
            "empty.txt",
            Assert.Throws<ArgumentException>(() => new TextCorpus([("empty.txt", text)])).Message,
            StringComparison.Ordinal
        );

    [Fact]
    public void No_texts_are_refused() => Assert.Throws<ArgumentException>(() => new TextCorpus([]));

    private static TextParagraph[] All(string text)
    {
        TextCorpus corpus = new([("text", text)]);
        return
        [
            .. corpus
                .Paragraphs(PromptSet.Tuning)
                .Concat(corpus.Paragraphs(PromptSet.Evaluation))
                .OrderBy(p => p.Index),
        ];
    }

    private static string Sentences(int count, string begin = "Paragraph") =>
        string.Join(
            "\n\n",
            Enumerable
                .Range(0, count)
                .Select(i => $"{begin} number {i} says something that no other paragraph says: {i}.")
        );
}

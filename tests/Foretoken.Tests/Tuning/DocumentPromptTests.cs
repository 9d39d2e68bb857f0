using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

public class DocumentPromptTests
{
    [Theory]
    [InlineData("37", "It costs 37 dollars.", true)]
    [InlineData("37", "It costs $37", true)]
    [InlineData("37", "It costs 370 dollars.", false)]
    [InlineData("37", "In 1937 it cost 1370 dollars.", false)]
    [InlineData("37", "In 1937 it cost 37 dollars.", true)]
    [InlineData("Lisbon", "every year in lisbon", true)]
    [InlineData("tailor", "He was a tailor's apprentice.", true)]
    [InlineData("14 March", "on 14\nMarch", true)]
    [InlineData("14 March", "on 4 March", false)]
    [InlineData("4 March", "on 14 March", false)]
    [InlineData("Lisbon", "", false)]
    public void An_answer_contains_what_is_expected_and_numbers_stand_alone(
        string expected,
        string answer,
        bool isAnswer
    ) => Assert.Equal(isAnswer, Prompt(expected).IsAnsweredBy(answer));

    [Fact]
    public void One_of_several_expected_texts_is_enough()
    {
        DocumentPrompt prompt = Prompt("14 March", "March 14");
        Assert.True(prompt.IsAnsweredBy("March 14, I think"));
        Assert.False(prompt.IsAnsweredBy("March"));
    }

    [Fact]
    public void Nothing_answers_where_nothing_is_expected() => Assert.False(Prompt().IsAnsweredBy("anything"));

    private static DocumentPrompt Prompt(params string[] expected) =>
        new()
        {
            Id = "test",
            Document = "A document.",
            Question = "A question?",
            Kind = PromptKind.Retrieval,
            QuestionAt = QuestionPlace.Last,
            Messages = PromptFrames.Plain("A document.", "A question?", QuestionPlace.Last),
            Expected = expected,
        };
}

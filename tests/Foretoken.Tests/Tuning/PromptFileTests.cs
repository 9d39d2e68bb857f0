using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Tuning;

public class PromptFileTests
{
    private const string Good =
        """{"document": "The kettle costs 37 dollars.", "question": "How much?", "question_at": "last", "kind": "retrieval", "expect": "37"}""";

    [Fact]
    public void Prompts_are_read_line_by_line()
    {
        string jsonl = $$"""
            {{Good}}

            {"document": "A long story.", "question": "Sum it up.", "question_at": "first", "kind": "summary"}
            {"document": "On 14 March.", "question": "When?", "kind": "retrieval", "expect": ["14 March", "March 14"], "answer_start": "It was on"}
            {"document": "Line 42.", "question": "Which line?", "question_at": "next_turn", "kind": "retrieval", "expect": 42}
            """;
        IReadOnlyList<DocumentPrompt> prompts = PromptFile.Parse(jsonl, "own.jsonl");

        Assert.Equal(
            ["retrieval-last", "summary", "retrieval-last", "retrieval-blind"],
            prompts.Select(prompt => prompt.KindName)
        );
        Assert.Equal(["own.jsonl:1", "own.jsonl:3", "own.jsonl:4", "own.jsonl:5"], prompts.Select(prompt => prompt.Id));
        Assert.Equal("The kettle costs 37 dollars.\n\nHow much?", Assert.Single(prompts[0].Messages).Text);
        Assert.Equal("Sum it up.\n\nA long story.", Assert.Single(prompts[1].Messages).Text);
        Assert.Equal(["14 March", "March 14"], prompts[2].Expected);
        Assert.Equal("It was on", prompts[2].AnswerStart);
        Assert.Equal(["42"], prompts[3].Expected);
        Assert.Equal(3, prompts[3].Messages.Count);
        Assert.All(prompts, prompt => Assert.Null(prompt.Length));
    }

    [Theory]
    [InlineData("nonsense", "not JSON")]
    [InlineData("[1, 2]", "an array")]
    [InlineData("""{"question": "?", "kind": "summary"}""", "'document' is missing")]
    [InlineData("""{"document": "", "question": "?", "kind": "summary"}""", "'document' is empty")]
    [InlineData("""{"document": 5, "question": "?", "kind": "summary"}""", "'document' is a number")]
    [InlineData("""{"document": "d", "kind": "summary"}""", "'question' is missing")]
    [InlineData("""{"document": "d", "question": "?"}""", "'kind' is missing; possible: retrieval, summary")]
    [InlineData(
        """{"document": "d", "question": "?", "kind": "guess"}""",
        "'kind' is 'guess'; possible: retrieval, summary"
    )]
    [InlineData(
        """{"document": "d", "question": "?", "kind": "summary", "question_at": "middle"}""",
        "possible: last, first"
    )]
    [InlineData("""{"document": "d", "question": "?", "kind": "retrieval"}""", "needs 'expect'")]
    [InlineData("""{"document": "d", "question": "?", "kind": "retrieval", "expect": ""}""", "'expect' is empty")]
    [InlineData("""{"document": "d", "question": "?", "kind": "retrieval", "expect": {}}""", "'expect' is an object")]
    [InlineData(
        """{"document": "d", "question": "?", "kind": "summary", "expect": "x"}""",
        "belongs to the kind retrieval"
    )]
    [InlineData(
        """{"document": "d", "question": "?", "kind": "retrieval", "expect": "Rome", "answer_start": "It is in Rome, or"}""",
        "'answer_start' holds what is expected"
    )]
    public void A_wrong_line_is_named_with_what_is_possible(string line, string message)
    {
        FormatException e = Assert.Throws<FormatException>(() =>
            PromptFile.Parse($"{Good}\r\n\r\n{line}\r\n", "own.jsonl")
        );
        Assert.StartsWith("own.jsonl, line 3: ", e.Message, StringComparison.Ordinal);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_line_may_be_a_conversation()
    {
        IReadOnlyList<DocumentPrompt> prompts = PromptFile.Parse(
            """
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Read this: a b c."}]}
            {"messages": [{"role": "user", "content": "Where is it? In Rome."}], "expect": "Rome", "answer_start": "It is in"}
            """,
            "own.jsonl"
        );
        Assert.Equal(["conversation", "retrieval-last"], prompts.Select(prompt => prompt.KindName));
        Assert.Equal(["Be brief.", "Read this: a b c."], prompts[0].Messages.Select(message => message.Text));
        Assert.Equal(ChatRole.System, prompts[0].Messages[0].Role);
        Assert.Equal("It is in", prompts[1].AnswerStart);
        Assert.Throws<InvalidOperationException>(prompts[0].AskedInNextTurn);
    }

    [Theory]
    [InlineData("""{"messages": []}""", "it is an array of objects")]
    [InlineData("""{"messages": ["hello"]}""", "a message is a text")]
    [InlineData("""{"messages": [{"content": "x"}]}""", "'role' is missing; possible: system, user, assistant")]
    [InlineData("""{"messages": [{"role": "tool", "content": "x"}]}""", "'role' is 'tool'")]
    [InlineData("""{"messages": [{"role": "user"}]}""", "'content' is missing")]
    [InlineData("""{"messages": [{"role": "assistant", "content": "x"}]}""", "not the user's")]
    [InlineData("""{"messages": [{"role": "user", "content": "x"}], "kind": "summary"}""", "exclude each other")]
    public void A_wrong_conversation_is_named_with_what_is_possible(string line, string message)
    {
        FormatException e = Assert.Throws<FormatException>(() => PromptFile.Parse(line, "own.jsonl"));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_files_of_a_folder_are_read_in_the_order_of_their_names()
    {
        using TemporaryFolder folder = new();
        Assert.Throws<FileNotFoundException>(() => PromptFile.ReadAll(Path.GetDirectoryName(folder["x"])!));
        File.WriteAllText(folder["b.jsonl"], Good);
        File.WriteAllText(
            folder["a.jsonl"],
            Good.Replace("\"kind\"", "\"odd\": 1, \"kind\"", StringComparison.Ordinal)
        );
        File.WriteAllText(folder["c.txt"], "not read");
        List<(string, string)> ignored = [];
        IReadOnlyList<DocumentPrompt> prompts = PromptFile.ReadAll(
            Path.GetDirectoryName(folder["x"])!,
            (file, key) => ignored.Add((file, key))
        );
        Assert.Equal(["a.jsonl:1", "b.jsonl:1"], prompts.Select(prompt => prompt.Id));
        Assert.Equal([("a.jsonl", "odd")], ignored);
    }

    [Fact]
    public void A_file_without_prompts_is_refused() =>
        Assert.Throws<FormatException>(() => PromptFile.Parse("\n \n", "own.jsonl"));

    [Fact]
    public void Keys_that_mean_nothing_are_told_once()
    {
        List<string> ignored = [];
        string line = Good.Replace("\"kind\"", "\"answerstart\": \"x\", \"kind\"", StringComparison.Ordinal);
        Assert.Equal(2, PromptFile.Parse($"{line}\n{line}", "own.jsonl", ignored.Add).Count);
        Assert.Equal(["answerstart"], ignored);
    }

    [Fact]
    public void Separators_inside_of_a_text_do_not_end_a_line() =>
        Assert.Single(PromptFile.Parse(Good.Replace("kettle", "ket\u2028tle", StringComparison.Ordinal), "own.jsonl"));
}

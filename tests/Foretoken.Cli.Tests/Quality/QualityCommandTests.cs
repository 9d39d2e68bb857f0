using Foretoken.Cli.Console;
using Foretoken.Cli.Quality;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Tests.Quality;

public sealed class QualityCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("there is no importance", "quality", "--importance", "clairvoyance")]
    [InlineData("head-normalized-window", "quality", "--importance", "clairvoyance")]
    [InlineData("1.5 to 3 are useful", "quality", "--targets", "0.5")]
    [InlineData("retrieval-last", "quality", "--kinds", "poetry")]
    [InlineData("at least 128", "quality", "--lengths", "20")]
    [InlineData("missing.txt", "quality", "--documents", "missing.txt")]
    [InlineData("missing.jsonl", "quality", "--prompts", "missing.jsonl")]
    [InlineData("no folder", "quality", "--html", "no/such/folder/page.html")]
    [InlineData("write over a model", "quality", "--json", "model.gguf")]
    [InlineData("give one", "quality", "a.gguf", "--model", "b.gguf")]
    [InlineData("boundary", "quality", "--plan", "x")]
    public async Task What_cannot_be_measured_is_refused_before_a_model_is_loaded(string message, params string[] line)
    {
        Assert.Equal(ExitCode.Failed, await Run(line));
        Assert.StartsWith("error: ", _errors.Output, StringComparison.Ordinal);
        Assert.Contains(message, _errors.Output, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(_output.Output);
    }

    [Fact]
    public async Task A_wrong_line_of_the_callers_prompts_is_named()
    {
        string prompts = _folder.Write("own.jsonl", """{"document": "d", "question": "?", "kind": "retrieval"}""");
        Assert.Equal(ExitCode.Failed, await Run("quality", "--prompts", prompts));
        Assert.Contains("own.jsonl, line 1: ", _errors.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quality", "--targets", "fast")]
    [InlineData("quality", "--lengths", "long")]
    [InlineData("quality", "--prompts-per-kind", "0")]
    [InlineData("quality", "--flash-attn", "perhaps")]
    [InlineData("quality", "--complete", "half")]
    [InlineData("quality", "--complete", "")]
    [InlineData("quality", "--complete", "fill", "--by-token", "1")]
    [InlineData("quality", "--complete", "fill", "--by-token", "soon")]
    [InlineData("quality", "--summary-tokens", "0")]
    [InlineData("quality", "--summary-tokens", "few")]
    public void What_cannot_be_understood_is_refused(params string[] line) =>
        Assert.NotEmpty(ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line).Errors);

    [Theory]
    [InlineData("quality", "--complete", "fill")]
    [InlineData("quality", "--complete", "exact", "--by-token", "2", "--summary-tokens", "1")]
    [InlineData("quality", "--by-token", "16", "--complete", "fill")]
    [InlineData("quality", "--summary-tokens", "64")]
    public void Completion_and_longer_summaries_can_be_asked_for(params string[] line)
    {
        var parsed = ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line);
        Assert.Empty(parsed.Errors);
    }

    [Fact]
    public void What_is_not_given_is_what_the_library_does_by_default()
    {
        var parsed = ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(["quality", "--complete", "fill"]);
        Assert.Equal(new CompletionOptions().ByOutputToken, parsed.GetValue<int>("--by-token"));
        Assert.Equal(new QualityEvaluatorOptions().SummaryTokens, parsed.GetValue<int>("--summary-tokens"));
    }

    [Fact]
    public void A_token_to_complete_by_needs_a_completion()
    {
        var parsed = ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(["quality", "--by-token", "4"]);
        Assert.Contains("--complete", Assert.Single(parsed.Errors).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Progress_says_how_much_time_is_left()
    {
        Assert.Equal(
            "3 of 40 prompts, about 4 min left",
            QualityCommand.Describe(new QualityProgress(3, 40, 0.2, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(4)))
        );
        Assert.Equal(
            "39 of 40 prompts, about 12 s left",
            QualityCommand.Describe(new QualityProgress(39, 40, 0.9, TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(12)))
        );
    }

    [Fact]
    public void Only_questions_about_a_document_are_asked_in_the_next_turn_too()
    {
        IReadOnlyList<DocumentPrompt> prompts = PromptFile.Parse(
            """
            {"document": "d", "question": "?", "kind": "summary"}
            {"document": "d", "question": "?", "kind": "summary", "question_at": "first"}
            {"messages": [{"role": "user", "content": "Hello."}]}
            """,
            "own.jsonl"
        );
        Assert.Equal(
            ["summary", "summary-blind", "summary", "conversation"],
            prompts.SelectMany(QualityCommand.AlsoInNextTurn).Select(prompt => prompt.KindName)
        );
    }

    private Task<int> Run(params string[] line)
    {
        var parsed = ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line);
        Assert.Empty(parsed.Errors);
        return parsed.InvokeAsync();
    }
}

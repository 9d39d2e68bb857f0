namespace Foretoken.Samples.Tests;

/// <summary>Each sample runs without arguments on the model of the samples and shows what it is there to show.</summary>
public sealed class SampleTests
{
    [Fact]
    public async Task Agent_calls_its_tool_and_goes_on_in_a_restored_session()
    {
        SampleResult result = (await SampleProgram.RunAsync("AgentChat")).EnsureSucceeded();

        Assert.Contains("[the agent reads README.md]", result.Output, StringComparison.Ordinal);
        string[] reports =
        [
            .. result.Output.Split('\n').Where(line => line.Contains("prompt tokens", StringComparison.Ordinal)),
        ];
        // the call, the answer to what the tool read, and the second question
        Assert.Equal(3, reports.Length);
        Assert.All(reports, report => Assert.Contains("asked for 2.0x", report, StringComparison.Ordinal));

        // the session is a conversation, not what the client measured
        int saved = int.Parse(
            result.Output.Split("[session saved: ")[1].Split(' ')[0],
            System.Globalization.NumberStyles.AllowThousands,
            System.Globalization.CultureInfo.InvariantCulture
        );
        long document = new FileInfo(Path.Combine(SampleProgram.Root, "samples", "models", "README.md")).Length;
        Assert.InRange(saved, document, 2 * document);
        Assert.Contains("> Under which licence is it?", result.Output, StringComparison.Ordinal);
        Assert.Equal("", result.Errors);
    }

    [Fact]
    public async Task Pipeline_answers_in_a_shape_then_from_its_cache_then_with_a_function()
    {
        SampleResult result = (await SampleProgram.RunAsync("Pipeline")).EnsureSucceeded();

        string[] lines = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        int first = Array.FindIndex(lines, line => line.StartsWith("1: ", StringComparison.Ordinal));
        int second = Array.FindIndex(lines, line => line.StartsWith("2: ", StringComparison.Ordinal));
        Assert.True(first >= 0 && second > first, result.Output);
        Assert.Contains("computed: first token after", lines[first + 1], StringComparison.Ordinal);
        Assert.Contains("from the cache", lines[second + 1], StringComparison.Ordinal);
        Assert.Equal(lines[first][3..], lines[second][3..]);
        Assert.Contains("[the model counts lines: ", result.Output, StringComparison.Ordinal);

        // one span of the chat for each request, and the log of the middleware
        Assert.Contains("activity chat ", result.Errors, StringComparison.Ordinal);
        Assert.Contains("gen_ai.usage.output_tokens", result.Errors, StringComparison.Ordinal);
        Assert.Contains("GetResponseAsync", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Semantic_Kernel_answers_about_what_its_plugin_read()
    {
        SampleResult result = (await SampleProgram.RunAsync("SemanticKernelChat")).EnsureSucceeded();

        Assert.NotEqual("", result.Output.Trim());
        Assert.Matches(
            @"[0-9]+ prompt tokens, first token after [0-9.]+ s, asked for 2(\.0)?x, promised",
            result.Errors
        );
    }

    [Fact]
    public async Task Telemetry_tells_of_both_questions()
    {
        string models = Path.Combine(SampleProgram.Root, "samples", "models");
        string model = Directory.GetFiles(models, "*-00001-of-*.gguf").Single();
        SampleResult result = (
            await SampleProgram.RunAsync(
                "Telemetry",
                model,
                Path.Combine(models, "README.md"),
                "What is this?",
                "Who made it?"
            )
        ).EnsureSucceeded();

        Assert.Equal(2, result.Errors.Split("activity chat ").Length - 1);
        Assert.Contains("metric gen_ai.", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Chat_answers_two_questions_about_a_file()
    {
        SampleResult result = (
            await SampleProgram.RunWithInputAsync(
                "Chat",
                "What is this?\nUnder which licence is it?\n",
                Path.Combine("samples", "models", "README.md"),
                "2"
            )
        ).EnsureSucceeded();

        string[] answers = result.Output.Split("> ", StringSplitOptions.TrimEntries)[1..];
        // the last prompt is answered by the end of the input
        Assert.Equal(3, answers.Length);
        Assert.All(answers[..2], answer => Assert.NotEqual("", answer));
        Assert.Equal(
            2,
            System.Text.RegularExpressions.Regex.Count(
                result.Errors,
                @"[0-9]+ prompt tokens, [0-9]+ of them reused; first token after [0-9.,]+ s; asked for 2[.,]0x"
            )
        );
    }

    [Fact]
    public async Task The_chat_of_the_tool_answers_one_question_about_a_file()
    {
        SampleResult result = (
            await SampleProgram.RunToolAsync(
                "chat",
                "--file",
                Path.Combine("samples", "models", "README.md"),
                "--ask",
                "What is this?",
                "--speed",
                "2",
                "--max-tokens",
                "20"
            )
        ).EnsureSucceeded();

        Assert.NotEqual("", result.Output.Trim());
    }

    [Theory]
    [InlineData("AgentChat")]
    [InlineData("Chat")]
    [InlineData("Pipeline")]
    [InlineData("SemanticKernelChat")]
    public async Task A_document_that_is_not_there_is_answered_with_the_usage(string sample)
    {
        SampleResult result = await SampleProgram.RunAsync(sample, "no-such-file.md");

        Assert.Equal(2, result.ExitCode);
        Assert.StartsWith("Usage: " + sample, result.Errors, StringComparison.Ordinal);
    }
}

using System.Text.Json;
using Foretoken.Samples.Chat;

namespace Foretoken.Cli.Tests.Chat;

public sealed class ChatAppTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new();
    private readonly TestConsole _errors = new();
    private readonly Interrupt _interrupt = new();
    private readonly ScriptedChatClient _client = new();
    private ForetokenChatClientOptions? _options;

    public void Dispose()
    {
        _interrupt.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task One_question_prints_the_answer_alone_and_exits()
    {
        _client.Says(Reports.Thinned, "Par", "is.");

        int exitCode = await Run(new ChatArguments { Ask = "France?", Speed = 2 });

        Assert.Equal(0, exitCode);
        Assert.Equal("Paris.\n", _output.Text.ReplaceLineEndings("\n"));
        Assert.Contains("400 of 1,000 tokens", _errors.Text, StringComparison.Ordinal);
        Assert.True(_client.IsDisposed);
    }

    [Fact]
    public async Task One_question_with_json_prints_one_object()
    {
        _client.Says(Reports.Thinned, "Par", "is.");

        int exitCode = await Run(new ChatArguments { Ask = "France?", Json = true });

        Assert.Equal(0, exitCode);
        using JsonDocument json = JsonDocument.Parse(_output.Text);
        Assert.Equal("Paris.", json.RootElement.GetProperty("answer").GetString());
        Assert.Empty(_errors.Text);
    }

    [Fact]
    public async Task Files_go_in_front_of_the_question()
    {
        _client.Says(null, "ok");

        await Run(new ChatArguments { Ask = "Why?", Files = [_folder.Write("a.txt", "Alpha.")] });

        Assert.Equal(
            "Here is the document a.txt:\n\nAlpha.\n\nAnswer this question about the document: Why?",
            _client.Requests[0][^1].Text
        );
    }

    [Fact]
    public async Task Lines_of_standard_input_are_questions()
    {
        _client.Says(null, "one").Says(null, "two");

        int exitCode = await Run(new ChatArguments { Speed = 1.5 }, "first?\n\nsecond?\n");

        Assert.Equal(0, exitCode);
        Assert.Equal("one\ntwo\n", _output.Text.ReplaceLineEndings("\n"));
    }

    [Fact]
    public async Task Lines_with_json_give_one_object_per_line()
    {
        _client.Says(null, "one").Says(Reports.Plain, "two");

        await Run(new ChatArguments { Json = true }, "first?\nsecond?\n");

        string[] lines = _output.Text.Trim().ReplaceLineEndings("\n").Split('\n');
        Assert.Equal(2, lines.Length);
        using JsonDocument second = JsonDocument.Parse(lines[1]);
        Assert.Equal("two", second.RootElement.GetProperty("answer").GetString());
    }

    [Fact]
    public async Task Commands_change_speed_attach_files_and_show_stats()
    {
        string document = _folder.Write("a.txt", "Alpha.");
        _client.Says(Reports.Thinned, "one");

        int exitCode = await Run(
            new ChatArguments(),
            $"/stats\n/speed 2.5\n/file {document}\nWhy?\n/stats\n/help\n/quit\nnever asked\n"
        );

        Assert.Equal(0, exitCode);
        Assert.Single(_client.Requests);
        Assert.Equal(2.5, _client.Options[0].AdditionalProperties!["target_ttft_speedup"]);
        Assert.StartsWith("Here is the document a.txt:", _client.Requests[0][^1].Text, StringComparison.Ordinal);
        Assert.Contains("no answer yet", _output.Text, StringComparison.Ordinal);
        Assert.Contains("layers 6 to 29", _output.Text, StringComparison.Ordinal);
        Assert.Contains("/reset", _output.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_failed_line_is_explained_and_the_next_one_answered()
    {
        _client.Fails(new ContextFullException(9000, 8192)).Says(null, "fine");

        int exitCode = await Run(new ChatArguments(), "too long?\n/speed fast\n/nope\nshort?\n");

        Assert.Equal(1, exitCode);
        Assert.Equal("fine\n", _output.Text.ReplaceLineEndings("\n"));
        string[] errors = _errors.Text.Trim().ReplaceLineEndings("\n").Split('\n');
        Assert.Equal(3, errors.Length);
        Assert.All(errors, error => Assert.StartsWith("error: ", error, StringComparison.Ordinal));
        Assert.Contains("9000 tokens", errors[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_missing_document_is_told_before_the_model_loads()
    {
        int exitCode = await Run(new ChatArguments { Ask = "?", Files = ["/no/such/file.txt"] });

        Assert.Equal(1, exitCode);
        Assert.Null(_options);
        Assert.Equal("error: There is no file '/no/such/file.txt'.", _errors.Text.Trim());
    }

    [Fact]
    public async Task An_unexpected_failure_has_no_stack_trace()
    {
        _client.Fails(new InvalidTimeZoneException("odd"));

        int exitCode = await Run(new ChatArguments { Ask = "?" });

        Assert.Equal(1, exitCode);
        Assert.Equal("error: InvalidTimeZoneException: odd", _errors.Text.Trim());
    }

    [Fact]
    public async Task Ctrl_c_ends_the_answer_and_not_the_conversation()
    {
        _client.Hangs("Once", () => Assert.True(_interrupt.Press())).Says(null, "again");

        int exitCode = await Run(new ChatArguments(), "story?\nagain?\n");

        Assert.Equal(0, exitCode);
        Assert.Equal("Once\nagain\n", _output.Text.ReplaceLineEndings("\n"));
        Assert.Contains("stopped", _errors.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ctrl_c_in_the_one_answer_is_an_exit_code()
    {
        _client.Hangs("Once", () => Assert.True(_interrupt.Press()));

        Assert.Equal(130, await Run(new ChatArguments { Ask = "story?" }));
    }

    [Fact]
    public void With_nothing_to_cancel_ctrl_c_is_left_to_the_system() => Assert.False(_interrupt.Press());

    [Fact]
    public async Task The_options_reach_the_client()
    {
        _client.Says(null, "ok");

        await Run(
            new ChatArguments
            {
                Ask = "?",
                Model = "/models/some.gguf",
                Speed = 2.5,
                ContextSize = 4096,
                Threads = 3,
                GpuLayers = -1,
                Importance = "recent-window",
                Profile = "p.foretoken.gguf",
                UseProfile = false,
            }
        );

        Assert.Equal(
            ("/models/some.gguf", 2.5, 4096, 3, -1, "recent-window", "p.foretoken.gguf", false),
            (
                _options!.ModelPath,
                _options.TargetTtftSpeedup,
                _options.ContextSize,
                _options.Threads,
                _options.GpuLayers,
                _options.Importance,
                _options.ProfilePath,
                _options.UseProfile
            )
        );
    }

    [Fact]
    public async Task A_quality_budget_alone_asks_for_no_speed()
    {
        _client.Says(null, "ok");

        await Run(
            new ChatArguments
            {
                Ask = "?",
                MaxQualityLoss = 0.1,
                UseThresholds = true,
            }
        );

        Assert.Equal((0.1, true, 1.0), (_options!.MaxQualityLoss, _options.UseThresholds, _options.TargetTtftSpeedup));
        Assert.DoesNotContain("target_ttft_speedup", _client.Options[0].AdditionalProperties?.Keys ?? []);
    }

    [Fact]
    public void The_model_of_the_samples_is_found_from_below_the_repository() =>
        Assert.EndsWith(".gguf", DefaultModel.Find(AppContext.BaseDirectory), StringComparison.Ordinal);

    [Fact]
    public void Without_a_model_the_error_says_what_to_do() =>
        Assert.Contains(
            "--model",
            Assert.Throws<ChatSampleException>(() => DefaultModel.Find(_folder.Path)).Message,
            StringComparison.Ordinal
        );

    private Task<int> Run(ChatArguments arguments, string input = "") =>
        new ChatApp(
            _output.Console,
            _errors.Console,
            _interrupt,
            (options, _, _) =>
            {
                _options = options;
                return Task.FromResult<Microsoft.Extensions.AI.IChatClient>(_client);
            }
        )
        {
            Input = new StringReader(input),
        }.RunAsync(arguments);
}

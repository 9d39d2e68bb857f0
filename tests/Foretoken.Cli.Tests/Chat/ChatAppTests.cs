using System.Text;
using System.Text.Json;
using Foretoken.Chat;
using Foretoken.Cli.Chat;
using Foretoken.Cli.Console;
using Foretoken.Errors;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Chat;

public sealed class ChatAppTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);
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
        Assert.Equal("Paris.\n", _output.Output.ReplaceLineEndings("\n"));
        Assert.Contains("400 of 1,000 tokens", _errors.Output, StringComparison.Ordinal);
        Assert.True(_client.IsDisposed);
    }

    [Fact]
    public async Task One_question_with_json_prints_one_object()
    {
        _client.Says(Reports.Thinned, "Par", "is.");

        int exitCode = await Run(new ChatArguments { Ask = "France?", Json = true });

        Assert.Equal(0, exitCode);
        using JsonDocument json = JsonDocument.Parse(_output.Output);
        Assert.Equal("Paris.", json.RootElement.GetProperty("answer").GetString());
        Assert.Empty(_errors.Output);
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
        Assert.Equal("one\ntwo\n", _output.Output.ReplaceLineEndings("\n"));
    }

    [Fact]
    public async Task Lines_with_json_give_one_object_per_line()
    {
        _client.Says(null, "one").Says(Reports.Plain, "two");

        await Run(new ChatArguments { Json = true }, "first?\nsecond?\n");

        string[] lines = _output.Output.Trim().ReplaceLineEndings("\n").Split('\n');
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
        Assert.Contains("no answer yet", _output.Output, StringComparison.Ordinal);
        Assert.Contains("layers 6 to 29", _output.Output, StringComparison.Ordinal);
        Assert.Contains("/reset", _output.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_failed_line_is_explained_and_the_next_one_answered()
    {
        _client.Fails(new ContextFullException(9000, 8192)).Says(null, "fine");

        int exitCode = await Run(new ChatArguments(), "too long?\n/speed fast\n/nope\nshort?\n");

        Assert.Equal(1, exitCode);
        Assert.Equal("fine\n", _output.Output.ReplaceLineEndings("\n"));
        string[] errors = _errors.Output.Trim().ReplaceLineEndings("\n").Split('\n');
        Assert.Equal(3, errors.Length);
        Assert.All(errors, error => Assert.StartsWith("error: ", error, StringComparison.Ordinal));
        Assert.Contains("9000 tokens", errors[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_question_that_was_too_long_can_be_asked_again_without_its_documents()
    {
        string large = _folder.Write("large.txt", "Alpha.");
        string small = _folder.Write("small.txt", "Beta.");
        _client.Fails(new ContextFullException(9000, 8192)).Says(null, "fine");

        await Run(
            new ChatArguments { Files = [large, small] },
            "Why?\n/files\n/drop large.txt\n/files\nWhy?\n/files\n"
        );

        string error = _errors.Output;
        Assert.Contains("9000 tokens are needed, and the context holds 8192", error, StringComparison.Ordinal);
        Assert.Contains("--ctx", error, StringComparison.Ordinal);
        Assert.DoesNotContain("ContextSize", error, StringComparison.Ordinal);
        Assert.Contains(
            "2 documents go with the next question; /files lists them and /drop",
            error,
            StringComparison.Ordinal
        );
        string[] lines = _output.Output.ReplaceLineEndings("\n").Split('\n');
        Assert.Equal(
            [
                "1  large.txt (6 characters)",
                "2  small.txt (5 characters)",
                "large.txt no longer goes with the next question.",
                "1  small.txt (5 characters)",
                "fine",
                "No document waits for the next question; /file path adds one.",
                "",
            ],
            lines
        );
        Assert.Contains("Beta.", _client.Requests[1][^1].Text, StringComparison.Ordinal);
        Assert.DoesNotContain("Alpha.", _client.Requests[1][^1].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_the_conversation_has_grown_too_long_the_advice_is_to_forget_it()
    {
        _client.Says(null, "one").Fails(new ContextFullException(9000, 8192));

        await Run(new ChatArguments(), "first?\nsecond?\n");

        Assert.Contains("/reset", _errors.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("/drop", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_question_that_is_too_long_is_told_what_to_shorten_and_of_no_commands()
    {
        _client.Fails(new ContextFullException(9000, 8192));

        Assert.Equal(1, await Run(new ChatArguments { Ask = "?", Files = [_folder.Write("a.txt", "Alpha.")] }));

        Assert.Equal(
            "error: 9000 tokens are needed, and the context holds 8192. Shorten the question or what --file adds to it, or give a larger --ctx.",
            _errors.Output.Trim()
        );
    }

    [Theory]
    [InlineData("", "a.txt|b.txt|b.txt", "")]
    [InlineData("b.txt", "b.txt|b.txt", "a.txt")]
    [InlineData("2", "b.txt", "a.txt|b.txt")]
    public void Documents_are_taken_back_by_name_by_number_or_all(string which, string dropped, string left)
    {
        Conversation conversation = new(_client, new ChatArguments());
        foreach (string name in (string[])["a.txt", "b.txt", "b.txt"])
        {
            conversation.Attach(new Attachment(name, "text"));
        }

        Assert.Equal(dropped, string.Join('|', conversation.Drop(which).Select(document => document.Name)));
        Assert.Equal(left, string.Join('|', conversation.Documents.Select(document => document.Name)));
        Assert.Contains(
            "/files",
            Assert.Throws<CliException>(() => conversation.Drop("c.txt")).Message,
            StringComparison.Ordinal
        );
        Assert.Throws<CliException>(() => conversation.Drop("4"));
    }

    [Fact]
    public async Task Errors_of_the_library_speak_of_the_switches()
    {
        _client
            .Fails(new UnsupportedModelException("the model has no chat template; pass one as 'ChatTemplate'"))
            .Fails(new InsufficientNativeMemoryException("use a smaller 'ContextSize' or quantized 'KvCacheType'"))
            .Fails(new ArgumentException("'Threads' in the context config must be an integer in [0, 512], not 9999"))
            .Fails(new ArgumentOutOfRangeException("Temperature", 500, "Temperature is between 0 and 100, not 500."))
            .Fails(
                new ArgumentOutOfRangeException(
                    nameof(CompletionOptions.ByOutputToken),
                    1,
                    "CompletionOptions.ByOutputToken is 2 or more, see ForetokenChatClientOptions.Completion."
                )
            )
            .Fails(new ArgumentException("Give it in ForetokenChatClientOptions.ChatTemplate. Threads compute."));

        await Run(new ChatArguments(), "1\n2\n3\n4\n5\n6\n");

        string[] errors = _errors.Output.Trim().ReplaceLineEndings("\n").Split('\n');
        Assert.EndsWith("pass one as --chat-template", errors[0], StringComparison.Ordinal);
        Assert.Contains("a smaller --ctx or", errors[1], StringComparison.Ordinal);
        Assert.Contains("--threads in the context", errors[2], StringComparison.Ordinal);
        Assert.Contains("--temperature is between 0 and 100", errors[3], StringComparison.Ordinal);
        Assert.EndsWith("--completion-by-token is 2 or more, see --completion.", errors[4], StringComparison.Ordinal);
        Assert.EndsWith("Give it in --chat-template. Threads compute.", errors[5], StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_end_of_input_at_a_terminal_ends_the_chat_on_a_line_of_its_own()
    {
        _client.Says(null, "one");

        int exitCode = await Run(new ChatArguments { Model = "m.gguf" }, "first?\n", isTerminal: true);

        Assert.Equal(0, exitCode);
        Assert.EndsWith("> one\n> \n", _output.Output.ReplaceLineEndings("\n"), StringComparison.Ordinal);
        Assert.Empty(_errors.Output);
    }

    [Fact]
    public async Task Standard_input_is_text_in_any_unicode_and_its_mark_is_no_part_of_a_question()
    {
        foreach (
            Encoding encoding in (Encoding[])
                [
                    new UTF8Encoding(false),
                    new UTF8Encoding(true),
                    Encoding.Unicode,
                    Encoding.BigEndianUnicode,
                    Encoding.UTF32,
                ]
        )
        {
            _client.Says(null, "one").Says(null, "two");
            using StreamReader input = TextFile.Open(
                new MemoryStream([.. encoding.GetPreamble(), .. encoding.GetBytes("Größer 😀?\r\n\r\nzweite?")])
            );

            Assert.Equal(0, await Run(new ChatArguments(), input));

            Assert.Equal(["Größer 😀?", "zweite?"], _client.Requests.TakeLast(2).Select(request => request[^1].Text));
        }
    }

    [Fact]
    public async Task Standard_input_that_is_no_text_is_refused_and_not_asked()
    {
        using StreamReader latin = TextFile.Open(new MemoryStream([.. "gr"u8, 0xF6, 0xDF, .. "er?\n"u8]));
        Assert.Equal(1, await Run(new ChatArguments(), latin));
        Assert.Contains("not text in UTF-8", _errors.Output, StringComparison.Ordinal);

        using StreamReader unmarked = TextFile.Open(new MemoryStream(Encoding.Unicode.GetBytes("first?\n")));
        Assert.Equal(1, await Run(new ChatArguments(), unmarked));
        Assert.Contains("NUL", _errors.Output, StringComparison.Ordinal);
        Assert.Empty(_client.Requests);
    }

    [Fact]
    public async Task A_template_comes_from_a_file()
    {
        _client.Says(null, "ok");
        string template = _folder.Write("chat.jinja", "{{ messages[0].content }}");

        await Run(new ChatArguments { Ask = "?", ChatTemplate = template });
        Assert.Equal("{{ messages[0].content }}", _options!.ChatTemplate);

        Assert.Equal(1, await Run(new ChatArguments { Ask = "?", ChatTemplate = template + "x" }));
        Assert.Contains("There is no file", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_missing_document_is_told_before_the_model_loads()
    {
        int exitCode = await Run(new ChatArguments { Ask = "?", Files = ["/no/such/file.txt"] });

        Assert.Equal(1, exitCode);
        Assert.Null(_options);
        Assert.Equal("error: There is no file '/no/such/file.txt'.", _errors.Output.Trim());
    }

    [Fact]
    public async Task An_unexpected_failure_has_no_stack_trace()
    {
        _client.Fails(new InvalidTimeZoneException("odd"));

        int exitCode = await Run(new ChatArguments { Ask = "?" });

        Assert.Equal(1, exitCode);
        Assert.Equal("error: InvalidTimeZoneException: odd", _errors.Output.Trim());
    }

    [Fact]
    public async Task Ctrl_c_ends_the_answer_and_not_the_conversation()
    {
        _client.Hangs("Once", () => Assert.True(_interrupt.Press())).Says(null, "again");

        int exitCode = await Run(new ChatArguments(), "story?\nagain?\n");

        Assert.Equal(0, exitCode);
        Assert.Equal("Once\nagain\n", _output.Output.ReplaceLineEndings("\n"));
        Assert.Contains("stopped", _errors.Output, StringComparison.Ordinal);
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

    [Theory]
    [InlineData(null, null, null, 0)]
    [InlineData(CompletionMode.Never, null, CompletionMode.Never, 8)]
    [InlineData(CompletionMode.WhileAnswering, 12, CompletionMode.WhileAnswering, 12)]
    [InlineData(CompletionMode.WhenIdle, null, CompletionMode.WhenIdle, 8)]
    [InlineData(null, 4, CompletionMode.Always, 4)]
    public async Task Completion_is_the_librarys_unless_it_is_asked_for(
        CompletionMode? mode,
        int? byToken,
        CompletionMode? expected,
        int expectedToken
    )
    {
        _client.Says(null, "ok");

        await Run(
            new ChatArguments
            {
                Ask = "?",
                Completion = mode,
                CompletionByToken = byToken,
            }
        );

        Assert.Equal(
            expected is { } asked ? new CompletionOptions { Mode = asked, ByOutputToken = expectedToken } : null,
            _options!.Completion
        );
    }

    [Fact]
    public async Task Stats_and_json_of_a_conversation_tell_what_was_completed()
    {
        _client.Says(Reports.Completed, "one").Says(Reports.Completed, "two");

        await Run(new ChatArguments(), "first?\n/stats\n");
        Assert.Contains("all before output token 8", _output.Output, StringComparison.Ordinal);

        await Run(new ChatArguments { Json = true }, "second?\n");
        using JsonDocument json = JsonDocument.Parse(_output.Lines[^1]);
        Assert.Equal(1600, json.RootElement.GetProperty("completed_tokens").GetInt32());
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
            Assert.Throws<CliException>(() => DefaultModel.Find(_folder.Path)).Message,
            StringComparison.Ordinal
        );

    private Task<int> Run(ChatArguments arguments, string input = "", bool isTerminal = false) =>
        Run(arguments, new StringReader(input), isTerminal);

    private Task<int> Run(ChatArguments arguments, TextReader input, bool isTerminal = false) =>
        new ChatApp(
            _output,
            _errors,
            _interrupt,
            (options, _, _) =>
            {
                _options = options;
                return Task.FromResult<Microsoft.Extensions.AI.IChatClient>(_client);
            }
        )
        {
            Input = input,
            InputIsTerminal = isTerminal,
        }.RunAsync(arguments);
}

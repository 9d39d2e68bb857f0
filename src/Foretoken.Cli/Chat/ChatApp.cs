using System.Globalization;
using System.Text;
using Foretoken.Cli.Console;
using Foretoken.Errors;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;
using Spectre.Console;

namespace Foretoken.Cli.Chat;

/// <summary>The chat: one question, questions line by line, or a conversation at a terminal.</summary>
/// <remarks>
/// Everything that is read or written comes through the constructor and the properties, so that tests can stand in for the
/// terminal and the model.
/// </remarks>
internal sealed class ChatApp
{
    private const int Failed = 1;
    private const int Cancelled = 130; // as a shell reports Ctrl+C

    // the library's options, by the switches that set them
    private static readonly Dictionary<string, string> Switches = new(StringComparer.Ordinal)
    {
        ["ModelPath"] = "--model",
        ["ProfilePath"] = "--profile",
        ["TargetTtftSpeedup"] = "--speed",
        ["MaxQualityLoss"] = "--max-quality-loss",
        ["Completion"] = "--completion",
        ["ByOutputToken"] = "--completion-by-token",
        ["Importance"] = "--importance",
        ["ContextSize"] = "--ctx",
        ["Threads"] = "--threads",
        ["GpuLayers"] = "--gpu-layers",
        ["Devices"] = "--device",
        ["RpcServers"] = "--rpc",
        ["MaxOutputTokens"] = "--max-tokens",
        ["Seed"] = "--seed",
        ["Temperature"] = "--temperature",
        ["ChatTemplate"] = "--chat-template",
    };

    private readonly IAnsiConsole _output;
    private readonly IAnsiConsole _errors;
    private readonly Interrupt _interrupt;
    private readonly ClientFactory _createClient;

    /// <summary>Creates and loads a client.</summary>
    internal delegate Task<IChatClient> ClientFactory(
        ForetokenChatClientOptions options,
        IProgress<float> progress,
        CancellationToken cancellationToken
    );

    internal ChatApp(IAnsiConsole output, IAnsiConsole errors, Interrupt interrupt, ClientFactory createClient)
    {
        _output = output;
        _errors = errors;
        _interrupt = interrupt;
        _createClient = createClient;
    }

    /// <summary>Where questions come from when it is not a terminal.</summary>
    internal TextReader Input { get; init; } = TextReader.Null;

    internal bool InputIsTerminal { get; init; }

    /// <summary>Runs the app.</summary>
    /// <returns>The exit code.</returns>
    internal async Task<int> RunAsync(ChatArguments arguments)
    {
        try
        {
            // before the model is loaded: a typing error should not cost seconds
            Attachment[] documents = [.. arguments.Files.Select(Attachment.Load)];
            string model = arguments.Model ?? DefaultModel.Find(AppContext.BaseDirectory, Environment.CurrentDirectory);
            using IChatClient client = await _interrupt.RunAsync(token => LoadAsync(arguments, model, token));
            Conversation conversation = new(client, arguments);
            foreach (Attachment document in documents)
            {
                conversation.Attach(document);
            }
            if (arguments.Ask is { } question)
            {
                return await AskOnceAsync(conversation, arguments, model, question);
            }
            return await ConverseAsync(conversation, arguments, model);
        }
        catch (OperationCanceledException)
        {
            return Cancelled;
        }
        catch (ContextFullException e) when (e.Requested > 0)
        {
            ErrorText.Write(
                _errors,
                $"{Needed(e)} Shorten the question or what --file adds to it, or give a larger --ctx."
            );
            return Failed;
        }
#pragma warning disable CA1031 // the last stop: whatever it was becomes a sentence and an exit code
        catch (Exception e)
#pragma warning restore CA1031
        {
            ErrorText.Write(_errors, ErrorText.Describe(e, Switches));
            return Failed;
        }
    }

    private async Task<IChatClient> LoadAsync(
        ChatArguments arguments,
        string model,
        CancellationToken cancellationToken
    )
    {
        ForetokenChatClientOptions options = new()
        {
            ModelPath = model,
            ProfilePath = arguments.Profile,
            UseProfile = arguments.UseProfile,
            MaxQualityLoss = arguments.MaxQualityLoss,
            UseThresholds = arguments.UseThresholds,
            Completion = CompletionOf(arguments),
            Importance = arguments.Importance,
            ContextSize = arguments.ContextSize,
            Threads = arguments.Threads,
            GpuLayers = arguments.GpuLayers,
            Devices = arguments.Devices,
            RpcServers = arguments.RpcServers,
            MaxOutputTokens = arguments.MaxTokens,
            ChatTemplate = arguments.ChatTemplate is { } template ? TextFile.Read(template) : null,
        };
        if (arguments.Speed is { } speed)
        {
            options.TargetTtftSpeedup = speed;
        }
        if (!InputIsTerminal || !_errors.Profile.Capabilities.Interactive)
        {
            return await _createClient(options, new Progress<float>(), cancellationToken);
        }
        return await _errors
            .Progress()
            .AutoClear(true)
            .StartAsync(async context =>
            {
                ProgressTask bar = context.AddTask($"loading {Markup.Escape(Path.GetFileName(model))}", maxValue: 1);
                return await _createClient(
                    options,
                    new Progress<float>(fraction => bar.Value = fraction),
                    cancellationToken
                );
            });
    }

    /// <summary>How the prompt is completed behind the first token; null leaves it to the library.</summary>
    private static CompletionOptions? CompletionOf(ChatArguments arguments)
    {
        if (arguments is { Completion: null, CompletionByToken: null })
        {
            return null;
        }
        CompletionOptions defaults = new();
        return defaults with
        {
            Mode = arguments.Completion ?? defaults.Mode,
            ByOutputToken = arguments.CompletionByToken ?? defaults.ByOutputToken,
        };
    }

    private async Task<int> AskOnceAsync(
        Conversation conversation,
        ChatArguments arguments,
        string model,
        string question
    )
    {
        Answer answer = await AnswerAsync(conversation, arguments, question);
        if (arguments.Json)
        {
            WriteLine(AnswerJson.Write(answer, Path.GetFileName(model), indented: true));
        }
        else if (StatsView.Summary(answer) is { Length: > 0 } summary)
        {
            // beside the answer, so that the answer alone can be piped
            _errors.Write(new Text(summary + "\n", new Style(Color.Grey)));
        }
        return answer.WasCancelled ? Cancelled : 0;
    }

    /// <summary>Questions and commands until the input ends or says so.</summary>
    private async Task<int> ConverseAsync(Conversation conversation, ChatArguments arguments, string model)
    {
        if (InputIsTerminal)
        {
            _output.MarkupLineInterpolated(
                $"[bold]{Path.GetFileName(model)}[/], speed {SpeedText.Format(conversation.Speed, arguments.MaxQualityLoss)}. [grey]/help lists the commands; Ctrl+C stops an answer.[/]"
            );
        }
        int exitCode = 0;
        while (await ReadAsync(arguments) is { } line)
        {
            ChatInput input = ChatInput.Parse(line);
            if (input.Kind == ChatInputKind.Quit)
            {
                break;
            }
            try
            {
                if (line.Contains('\0', StringComparison.Ordinal))
                {
                    throw new CliException(
                        "The line has NUL characters, so it is not text in UTF-8; convert it first, for example with iconv -f UTF-16 -t UTF-8."
                    );
                }
                if (input.Kind == ChatInputKind.Question)
                {
                    Answer answer = await AnswerAsync(conversation, arguments, input.Text);
                    if (arguments.Json)
                    {
                        WriteLine(AnswerJson.Write(answer, Path.GetFileName(model), indented: false));
                    }
                }
                else
                {
                    Execute(conversation, arguments, input);
                }
            }
#pragma warning disable CA1031 // one failed question must not end a conversation
            catch (Exception e)
#pragma warning restore CA1031
            {
                ErrorText.Write(
                    _errors,
                    input.Kind == ChatInputKind.Question ? Advise(e, conversation) : ErrorText.Describe(e, Switches)
                );
                // somebody at a terminal has seen it; a script only sees the exit code
                exitCode = InputIsTerminal ? 0 : Failed;
            }
        }
        return exitCode;
    }

    private async Task<string?> ReadAsync(ChatArguments arguments)
    {
        bool prompts = InputIsTerminal && !arguments.Json;
        if (prompts)
        {
            _output.Markup("[green]>[/] ");
        }
        string? line;
        try
        {
            line = await Input.ReadLineAsync();
        }
        catch (DecoderFallbackException e)
        {
            throw new CliException(
                "Standard input is not text in UTF-8; convert it first, for example with iconv -t UTF-8.",
                e
            );
        }
        if (line is null && prompts)
        {
            // what ended the input left the prompt's line unfinished
            WriteLine("");
        }
        return line;
    }

    /// <summary>What went wrong with a question, and what helps; the documents that wait for the next one are part of both.</summary>
    private static string Advise(Exception error, Conversation conversation)
    {
        string? waiting = conversation.Documents.Count switch
        {
            0 => null,
            1 => $"{conversation.Documents[0].Name} goes with the next question; /drop takes it back.",
            int count => string.Create(
                CultureInfo.InvariantCulture,
                $"{count} documents go with the next question; /files lists them and /drop takes them back."
            ),
        };
        if (error is not ContextFullException { Requested: > 0 } full)
        {
            return waiting is null
                ? ErrorText.Describe(error, Switches)
                : $"{ErrorText.Describe(error, Switches)} {waiting}";
        }
        string shorter = conversation.HasHistory
            ? "Ask a shorter question, forget the conversation with /reset"
            : "Ask a shorter question";
        return $"{Needed(full)} {shorter}, or start the chat with a larger --ctx. {waiting}".TrimEnd();
    }

    private static string Needed(ContextFullException error) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{error.Requested} tokens are needed, and the context holds {error.Available}."
        );

    private async Task<Answer> AnswerAsync(Conversation conversation, ChatArguments arguments, string question)
    {
        PrefillBar? bar = arguments.Json || !InputIsTerminal ? null : PrefillBar.Start(_output);
        bool endsLine = true;
        Answer answer;
        try
        {
            answer = await _interrupt.RunAsync(token =>
                conversation.AskAsync(
                    question,
                    bar,
                    async (text, isReasoning) =>
                    {
                        if (bar is not null)
                        {
                            await bar.EndAsync();
                        }
                        if (arguments.Json || text.Length == 0)
                        {
                            return;
                        }
                        if (isReasoning)
                        {
                            if (!_output.Profile.Capabilities.Interactive)
                            {
                                return;
                            }
                            _output.Write(new Text(text, new Style(Color.Grey)));
                        }
                        else
                        {
                            // not through a renderable, which would break lines at its own width
                            _output.Profile.Out.Writer.Write(text);
                            await _output.Profile.Out.Writer.FlushAsync();
                        }
                        endsLine = text[^1] == '\n';
                    },
                    token
                )
            );
        }
        finally
        {
            if (bar is not null)
            {
                await bar.EndAsync();
            }
        }
        if (!arguments.Json)
        {
            if (!endsLine || answer.Text.Length == 0)
            {
                WriteLine("");
            }
            if (answer.WasCancelled)
            {
                _errors.WriteLine("(stopped)");
            }
            else if (answer.FinishReason == ChatFinishReason.Length)
            {
                _errors.WriteLine(
                    $"(ended after {answer.OutputTokens} tokens: --max-tokens or the context is the limit)"
                );
            }
        }
        return answer;
    }

    private void Execute(Conversation conversation, ChatArguments arguments, ChatInput input)
    {
        switch (input.Kind)
        {
            case ChatInputKind.Speed when input.Text.Length == 0:
                Say(
                    $"The speed is {SpeedText.Format(conversation.Speed, arguments.MaxQualityLoss)}. /speed 2.5 changes it."
                );
                break;
            case ChatInputKind.Speed:
                conversation.Speed = SpeedText.TryParse(input.Text, out double speed, out string error)
                    ? speed
                    : throw new CliException(error);
                Say($"From now on the first token is to come {SpeedText.Format(speed)} as fast as with plain prefill.");
                break;
            case ChatInputKind.File when input.Text.Length == 0:
                throw new CliException("Name the document: /file path");
            case ChatInputKind.File:
                Attachment document = Attachment.Load(input.Text.Trim('"', '\''));
                conversation.Attach(document);
                Say(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{document.Name} ({document.Text.Length:#,0} characters) goes with the next question."
                    )
                );
                break;
            case ChatInputKind.Files when conversation.Documents.Count == 0:
                Say("No document waits for the next question; /file path adds one.");
                break;
            case ChatInputKind.Files:
                for (int i = 0; i < conversation.Documents.Count; i++)
                {
                    Attachment waiting = conversation.Documents[i];
                    Say(
                        string.Create(
                            CultureInfo.InvariantCulture,
                            $"{i + 1}  {waiting.Name} ({waiting.Text.Length:#,0} characters)"
                        )
                    );
                }
                break;
            case ChatInputKind.Drop when conversation.Documents.Count == 0:
                Say("No document waits for the next question.");
                break;
            case ChatInputKind.Drop:
                foreach (Attachment dropped in conversation.Drop(input.Text.Trim('"', '\'')))
                {
                    Say($"{dropped.Name} no longer goes with the next question.");
                }
                break;
            case ChatInputKind.Stats when conversation.Last is { } last:
                _output.Write(StatsView.Render(last));
                break;
            case ChatInputKind.Stats:
                Say("There is no answer yet.");
                break;
            case ChatInputKind.Reset:
                conversation.Reset();
                Say("A new conversation.");
                break;
            case ChatInputKind.Help:
                _output.Write(
                    new Grid()
                        .AddColumn(new GridColumn().NoWrap().PadRight(3))
                        .AddColumn()
                        .AddRow("/speed 2.5", "how much sooner the first token shall come; 1 leaves nothing out")
                        .AddRow("/file path", "puts a text document in front of the next question")
                        .AddRow("/files", "lists the documents that wait for the next question")
                        .AddRow("/drop name", "takes one of them back, by name or number; alone, all of them")
                        .AddRow("/stats", "what the last answer promised, took and kept")
                        .AddRow("/reset", "forgets the conversation")
                        .AddRow("/help", "this list")
                        .AddRow("/quit", "ends the chat")
                );
                break;
            case ChatInputKind.Unknown:
                throw new CliException($"There is no command {input.Text}; /help lists them.");
        }
    }

    private void Say(string text) => _output.Write(new Text(text + "\n", new Style(Color.Grey)));

    private void WriteLine(string text) => _output.Profile.Out.Writer.WriteLine(text);
}

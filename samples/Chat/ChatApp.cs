using System.Globalization;
using Foretoken.Inference;
using Microsoft.Extensions.AI;
using Spectre.Console;

namespace Foretoken.Samples.Chat;

/// <summary>The chat: one question, questions line by line, or a conversation at a terminal.</summary>
/// <remarks>
/// Everything that is read or written comes through the constructor and the properties, so that tests can stand in for the
/// terminal and the model.
/// </remarks>
internal sealed class ChatApp
{
    private const int Failed = 1;
    private const int Cancelled = 130; // as a shell reports Ctrl+C

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
#pragma warning disable CA1031 // the last stop: whatever it was becomes a sentence and an exit code
        catch (Exception e)
#pragma warning restore CA1031
        {
            ErrorText.Write(_errors, ErrorText.Describe(e));
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
            Importance = arguments.Importance,
            ContextSize = arguments.ContextSize,
            Threads = arguments.Threads,
            GpuLayers = arguments.GpuLayers,
            Devices = arguments.Devices,
            RpcServers = arguments.RpcServers,
            MaxOutputTokens = arguments.MaxTokens,
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
                ErrorText.Write(_errors, ErrorText.Describe(e));
                // somebody at a terminal has seen it; a script only sees the exit code
                exitCode = InputIsTerminal ? 0 : Failed;
            }
        }
        return exitCode;
    }

    private async Task<string?> ReadAsync(ChatArguments arguments)
    {
        if (InputIsTerminal && !arguments.Json && _output.Profile.Capabilities.Interactive)
        {
            return await new TextPrompt<string>("[green]>[/]").AllowEmpty().ShowAsync(_output, CancellationToken.None);
        }
        return await Input.ReadLineAsync();
    }

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
                    : throw new ChatSampleException(error);
                Say($"From now on the first token is to come {SpeedText.Format(speed)} as fast as with plain prefill.");
                break;
            case ChatInputKind.File when input.Text.Length == 0:
                throw new ChatSampleException("Name the document: /file path");
            case ChatInputKind.File:
                Attachment document = Attachment.Load(input.Text.Trim('"'));
                conversation.Attach(document);
                Say(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{document.Name} ({document.Text.Length:#,0} characters) goes with the next question."
                    )
                );
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
                        .AddRow("/stats", "what the last answer promised, took and kept")
                        .AddRow("/reset", "forgets the conversation")
                        .AddRow("/help", "this list")
                        .AddRow("/quit", "ends the chat")
                );
                break;
            case ChatInputKind.Unknown:
                throw new ChatSampleException($"There is no command {input.Text}; /help lists them.");
        }
    }

    private void Say(string text) => _output.Write(new Text(text + "\n", new Style(Color.Grey)));

    private void WriteLine(string text) => _output.Profile.Out.Writer.WriteLine(text);
}

// A chat on a local model that answers sooner. `./run chat --help` lists the options.

using System.CommandLine;
using Foretoken;
using Foretoken.CommandLine;
using Foretoken.Samples.Chat;
using Spectre.Console;

IAnsiConsole output = Terminal.Create(Console.Out, Console.IsOutputRedirected);
IAnsiConsole errors = Terminal.Create(Console.Error, Console.IsErrorRedirected);

using Interrupt interrupt = new();
ChatApp app = new(
    output,
    errors,
    interrupt,
    async (options, progress, cancellationToken) =>
        await ForetokenChatClient.CreateAsync(options, progress, cancellationToken)
)
{
    // at a terminal .NET reads lines, edits them, and knows Ctrl+D
    Input = Console.IsInputRedirected ? TextFile.Open(Console.OpenStandardInput()) : Console.In,
    InputIsTerminal = !Console.IsInputRedirected,
};

ParseResult parsed = ChatCommand.Create(app.RunAsync).Parse(HelpVerb.Rewrite(args));
if (parsed.Errors.Count > 0)
{
    foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
    {
        ErrorText.Write(errors, error.Message);
    }
    errors.WriteLine("--help lists the options.");
    return 2;
}

// Ctrl+C belongs to Interrupt: it cancels an answer, not the app
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });

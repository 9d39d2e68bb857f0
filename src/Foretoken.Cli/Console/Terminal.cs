using Spectre.Console;

namespace Foretoken.Cli.Console;

/// <summary>Consoles for standard output and standard error.</summary>
internal static class Terminal
{
    // what goes into a file or a pipe is not wrapped
    private const int Unwrapped = 4096;

    /// <summary>A console on a stream: with colours and bars at a terminal, plain text anywhere else.</summary>
    internal static IAnsiConsole Create(TextWriter writer, bool isRedirected)
    {
        IAnsiConsole console = AnsiConsole.Create(
            new AnsiConsoleSettings
            {
                Out = new AnsiConsoleOutput(writer),
                Ansi = isRedirected ? AnsiSupport.No : AnsiSupport.Detect,
                ColorSystem = isRedirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
                Interactive = isRedirected ? InteractionSupport.No : InteractionSupport.Detect,
            }
        );
        if (isRedirected)
        {
            console.Profile.Width = Unwrapped;
        }
        return console;
    }
}

using System.Text;
using Spectre.Console;

namespace Foretoken.Cli.Tests;

/// <summary>A console without a terminal that remembers what was written.</summary>
internal sealed class TestConsole
{
    private readonly StringBuilder _text = new();

    internal TestConsole()
    {
        Console = AnsiConsole.Create(
            new AnsiConsoleSettings
            {
                Ansi = AnsiSupport.No,
                ColorSystem = ColorSystemSupport.NoColors,
                Interactive = InteractionSupport.No,
                Out = new AnsiConsoleOutput(new StringWriter(_text)),
            }
        );
        Console.Profile.Width = 200;
    }

    internal IAnsiConsole Console { get; }

    internal string Text => _text.ToString();
}

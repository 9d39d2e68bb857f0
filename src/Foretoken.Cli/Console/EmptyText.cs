using System.CommandLine;
using System.CommandLine.Parsing;

namespace Foretoken.Cli.Console;

/// <summary>Values that are given and yet empty, as a variable that is not set leaves them in a script.</summary>
internal static class EmptyText
{
    /// <summary>Refuses empty texts of all options and arguments of a command and of the commands below it.</summary>
    /// <param name="command">The command; changed in place.</param>
    /// <param name="except">Options that mean something when they are empty.</param>
    internal static void Refuse(Command command, params Option[] except)
    {
        foreach (Option option in command.Options.Except(except).Where(option => IsText(option.ValueType)))
        {
            option.Validators.Add(result => Check(result, option.Name, option.HelpName));
        }
        foreach (Argument argument in command.Arguments.Where(argument => IsText(argument.ValueType)))
        {
            argument.Validators.Add(result => Check(result, argument.Name, argument.HelpName));
        }
        foreach (Command below in command.Subcommands)
        {
            Refuse(below, except);
        }
    }

    private static bool IsText(Type type) => type == typeof(string) || type == typeof(string[]);

    private static void Check(SymbolResult result, string name, string? value)
    {
        if (result.Tokens.Any(token => string.IsNullOrWhiteSpace(token.Value)))
        {
            result.AddError(
                $"{name} is empty: give it a value{(value is null ? "" : $" ({value})")}, or leave it out."
            );
        }
    }
}

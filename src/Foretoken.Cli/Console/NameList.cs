using System.CommandLine;

namespace Foretoken.Cli.Console;

/// <summary>Options whose value is a list of names.</summary>
internal static class NameList
{
    /// <summary>An option whose value is a list of names, separated by commas.</summary>
    internal static Option<string[]> Option(string name, string example, string description) =>
        new(name)
        {
            HelpName = example,
            Description = description,
            CustomParser = result =>
                [
                    .. result.Tokens.SelectMany(token =>
                        token.Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                    ),
                ],
        };
}

using System.CommandLine;
using System.CommandLine.Parsing;

namespace Foretoken.Cli.Console;

/// <summary>An option whose value is a list of numbers, separated by commas.</summary>
internal sealed class NumberListOption : Option<double[]>
{
    internal NumberListOption(string name)
        : base(name)
    {
        CustomParser = Read;
    }

    /// <summary>What is to be said about how the list was read; null when it can mean one thing only.</summary>
    internal static string? Note(OptionResult result) =>
        result.Option is NumberListOption option
        && result.Tokens is [{ Value: { } text }]
        && NumberList.Note(text) is { } note
            ? $"{option.Name} {note}"
            : null;

    private double[]? Read(ArgumentResult result)
    {
        List<double> values = [];
        foreach (Token token in result.Tokens)
        {
            if (!NumberList.TrySplit(token.Value, isWhole: false, out string[] parts, out string? error))
            {
                result.AddError($"{Name}: {error}");
                return null;
            }
            foreach (string part in parts)
            {
                if (!NumberText.TryParse(part, out double value, out string? wrong))
                {
                    result.AddError($"{Name}: {wrong}");
                    return null;
                }
                values.Add(value);
            }
        }
        return [.. values];
    }
}

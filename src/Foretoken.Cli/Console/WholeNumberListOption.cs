using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Foretoken.Cli.Console;

/// <summary>An option whose value is a list of whole numbers, separated by commas.</summary>
internal sealed class WholeNumberListOption : Option<int[]>
{
    internal WholeNumberListOption(string name)
        : base(name)
    {
        CustomParser = Read;
    }

    private int[]? Read(ArgumentResult result)
    {
        List<int> values = [];
        foreach (Token token in result.Tokens)
        {
            if (!NumberList.TrySplit(token.Value, isWhole: true, out string[] parts, out string? error))
            {
                result.AddError($"{Name}: {error}");
                return null;
            }
            foreach (string part in parts)
            {
                if (!NumberText.TryParseWhole(part, out long value, out string? wrong))
                {
                    result.AddError($"{Name}: {wrong}");
                    return null;
                }
                if (value is < 0 or > int.MaxValue)
                {
                    result.AddError(
                        string.Create(
                            CultureInfo.InvariantCulture,
                            $"{Name}: {value} is not between 0 and {int.MaxValue}."
                        )
                    );
                    return null;
                }
                values.Add((int)value);
            }
        }
        return [.. values];
    }
}

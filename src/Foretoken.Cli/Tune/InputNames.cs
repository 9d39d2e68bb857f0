using Foretoken.Cli.Console;
using Foretoken.Tuning.Importance;

namespace Foretoken.Cli.Tune;

/// <summary>What learned importances read, by the names that the command line has for it.</summary>
internal static class InputNames
{
    internal static IReadOnlyList<(string Name, PredictorInputs Inputs)> All { get; } =
    [
        ("attention+matches", PredictorInputs.Attention | PredictorInputs.Matches),
        ("attention", PredictorInputs.Attention),
        ("residual", PredictorInputs.Residual),
        ("both", PredictorInputs.Attention | PredictorInputs.Residual),
        ("network", PredictorInputs.Network),
        ("attention+network", PredictorInputs.Attention | PredictorInputs.Network),
    ];

    internal static string Of(PredictorInputs inputs) => All.First(one => one.Inputs == inputs).Name;

    /// <exception cref="CliException">There is no such name.</exception>
    internal static PredictorInputs Parse(string name)
    {
        foreach ((string known, PredictorInputs inputs) in All)
        {
            if (known == name)
            {
                return inputs;
            }
        }

        throw new CliException(
            $"--inputs: '{name}' is nothing that importance is learned from; possible are {string.Join(", ", All.Select(one => one.Name))}."
        );
    }
}

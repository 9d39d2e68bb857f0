using System.CommandLine;
using Foretoken.Cli.Console;
using Foretoken.Cli.Models;
using Foretoken.Cli.Options;
using Foretoken.Planning;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Scale;

/// <summary>
/// <c>foretoken scale</c>: what the cost model says of large models on published hardware. Loads no model and no native
/// library, and measures nothing.
/// </summary>
internal static class ScaleCommand
{
    private static readonly string[] DefaultShapes = ["llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b"];
    private static readonly int[] DefaultLengths = [8192, 16384, 32768, 65536, 131072];
    private static readonly double[] DefaultSpeeds = [2, 2.9];

    internal static Command Create(CliContext context)
    {
        Option<string[]> shapes = new("--shape")
        {
            HelpName = "shape",
            Description =
                $"{SyntheticCommand.ShapeHelp} Several: give the option several times. Default: {string.Join(" and ", DefaultShapes)}.",
        };
        Option<string[]> hardware = new("--hardware")
        {
            HelpName = "device",
            Description =
                $"A name or figures, such as tflops=27,bandwidth=800,memory=192 (optional: matrix, attention: the shares of the peak that are reached). Several: give the option several times. Names, and the default: {string.Join(", ", Hardware.Names)}.",
        };
        Option<int[]> lengths = CommandOptions.WholeNumbers(
            "--lengths",
            "8192,32768",
            $"Prompt lengths in tokens. Default: {string.Join(",", DefaultLengths)}."
        );
        Option<double[]> speeds = CommandOptions.Numbers("--speeds", "2,2.9", "Speedups to plan for. Default: 2,2.9.");
        Option<double> boundary = new("--boundary-ms")
        {
            HelpName = "ms",
            Description = "Milliseconds that a boundary costs: probes, selection, one more graph.",
            DefaultValueFactory = _ => 10,
        };
        Option<int> alwaysKept = new("--always-kept")
        {
            HelpName = "n",
            Description =
                "Tokens of every prompt that are always kept; the first 4 and the last 32 are counted at least.",
        };
        boundary.Number(NumberOptions.NotNegative);
        alwaysKept.Whole(0);
        Option<bool> json = new("--json") { Description = "Print one JSON object." };
        Command command = new(
            "scale",
            "Calculates what speedups of large models would be on hardware that is not here, from data sheets and the cost model."
        )
        {
            shapes,
            hardware,
            lengths,
            speeds,
            boundary,
            alwaysKept,
            json,
        };
        command.SetAction(parsed =>
            context.RunAsync(() =>
            {
                int[] tokens = parsed.GetValue(lengths) is { Length: > 0 } given ? given : DefaultLengths;
                double[] targets = parsed.GetValue(speeds) is { Length: > 0 } some ? some : DefaultSpeeds;
                double milliseconds = parsed.GetValue(boundary);
                if (tokens.Any(length => length < 1))
                {
                    throw new CliException("--lengths are positive numbers of tokens, for example 8192,32768.");
                }
                ScaleReport report = ScaleCalculator.Calculate(
                    [.. OrDefault(parsed.GetValue(shapes), DefaultShapes).Select(SyntheticModelSpec.Parse)],
                    [.. OrDefault(parsed.GetValue(hardware), Hardware.Names).Select(Hardware.Parse)],
                    tokens,
                    [.. targets.Select(target => PrefillPlanner.EnsureValidTarget(target, "--speeds"))],
                    milliseconds / 1000,
                    parsed.GetValue(alwaysKept)
                );
                if (parsed.GetValue(json))
                {
                    context.WriteRaw(report.ToJson());
                }
                else
                {
                    ScaleTable.Write(context, report);
                    context.Note("Calculated from data sheets and assumptions; nothing here was measured.");
                }
                return Task.FromResult(ExitCode.Ok);
            })
        );
        return command;
    }

    private static IReadOnlyList<string> OrDefault(string[]? given, IReadOnlyList<string> fallback) =>
        given is { Length: > 0 } ? given : fallback;
}

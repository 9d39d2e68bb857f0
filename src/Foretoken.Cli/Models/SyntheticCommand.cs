using System.CommandLine;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Models;

/// <summary><c>foretoken synthetic</c>: a model of a given shape with random weights.</summary>
internal static class SyntheticCommand
{
    internal const string ShapeHelp =
        "A name or sizes, such as layers=16,embd=2048,heads=32,kv-heads=8,ffn=8192,vocab=128256 (optional: head-size, ctx, rope, tied, type, seed).";

    internal static Command Create(CliContext context)
    {
        Argument<string> shape = new("shape")
        {
            Description = $"{ShapeHelp} Names: {string.Join(", ", SyntheticModelSpec.Names)}.",
        };
        Argument<string> output = new("out") { Description = "Path of the GGUF file to write." };
        Command command = new(
            "synthetic",
            "Writes a model with random weights: as large and as fast as a real one, without anything to say."
        )
        {
            shape,
            output,
        };
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                {
                    SyntheticModelSpec spec = SyntheticModelSpec.Parse(parsed.GetRequiredValue(shape));
                    string path = parsed.GetRequiredValue(output);
                    SyntheticModel.Write(path, spec, cancellationToken);
                    context.WriteRaw($"{path}  {ByteSize.Format(new FileInfo(path).Length)}");
                    return Task.FromResult(ExitCode.Ok);
                })
        );
        return command;
    }
}

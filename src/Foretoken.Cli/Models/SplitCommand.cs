using System.CommandLine;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Models;

/// <summary><c>foretoken split</c>: a GGUF file in shards.</summary>
internal static class SplitCommand
{
    internal static Command Create(CliContext context)
    {
        Argument<string> input = new("in") { Description = "GGUF file to split." };
        Argument<string> prefix = new("out-prefix") { Description = "Path of the shards up to -00001-of-0000n.gguf." };
        Option<string> maxBytes = new("--max-bytes")
        {
            HelpName = "size",
            Description = "Most bytes of a shard: 45MB, 1GiB, 45000000.",
            Required = true,
        };
        Command command = new("split", "Splits a GGUF file into shards, which llama.cpp loads when given the first.")
        {
            input,
            prefix,
            maxBytes,
        };
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                {
                    string source = parsed.GetRequiredValue(input);
                    if (!File.Exists(source))
                    {
                        throw new CliException($"There is no file '{source}'.");
                    }
                    IReadOnlyList<string> shards = GgufSplitter.Split(
                        source,
                        parsed.GetRequiredValue(prefix),
                        ByteSize.Parse(parsed.GetRequiredValue(maxBytes)),
                        cancellationToken
                    );
                    foreach (string shard in shards)
                    {
                        context.WriteRaw($"{shard}  {ByteSize.Format(new FileInfo(shard).Length)}");
                    }
                    return Task.FromResult(ExitCode.Ok);
                })
        );
        return command;
    }
}

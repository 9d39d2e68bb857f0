using System.Diagnostics;
using Foretoken.Cli.Console;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>LLamaSharp on its own native library: what a .NET program would use instead of ours.</summary>
internal static class LLamaSharpRival
{
    private const string Program = "Foretoken.Rivals.LLamaSharp";

    /// <exception cref="CliException">Its program was not built, or fails.</exception>
    internal static Task<TokenRival> StartAsync(TokenRivalSettings settings, CancellationToken cancellationToken) =>
        TokenRival.StartAsync(
            RivalOption.LLamaSharp,
            $"{Program}, run by dotnet",
            "the same tokens as both sides, from an empty context, decoded and sampled as its executors do it; time to the first sampled token by its own clock, on the CPU, with as many threads and as large batches; the llama.cpp within is the build of LLamaSharp.Backend.Cpu.",
            // dotnet run says which dotnet it is
            new ProcessStartInfo(
                Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } dotnet ? dotnet : "dotnet",
                [FindProgram(), settings.ToJson()]
            ),
            cancellationToken
        );

    /// <exception cref="CliException">It was not built.</exception>
    private static string FindProgram() =>
        // a Debug build of it measures the same: the time is spent in native code
        (
            RepositoryFolder.Find("src", Program, "bin", "Release", "net10.0")
            ?? RepositoryFolder.Find("src", Program, "bin", "Debug", "net10.0")
        )
            is { } folder
            ? Path.Combine(folder, $"{Program}.dll")
            : throw new CliException(
                $"The rival {RivalOption.LLamaSharp} is a program of its own, src/{Program} of the repository, and was not built. './run bench --rival {RivalOption.LLamaSharp}' does it, or 'dotnet build src/{Program} -c Release'."
            );
}

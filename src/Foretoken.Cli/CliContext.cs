using Foretoken.Cli.Console;
using Spectre.Console;

namespace Foretoken.Cli;

/// <summary>Where a command writes to.</summary>
/// <param name="Output">Results: standard output.</param>
/// <param name="Errors">Errors, notes and progress: standard error, so that results can be piped.</param>
internal sealed record CliContext(IAnsiConsole Output, IAnsiConsole Errors)
{
    // the library's options, by the switches that set them; the size of a context follows from the lengths that are measured
    private static readonly Dictionary<string, string> Switches = new(StringComparer.Ordinal)
    {
        ["ModelPath"] = "--model",
        ["ProfilePath"] = "--profile",
        ["Threads"] = "--threads",
        ["BatchSize"] = "--batch",
        ["UBatchSize"] = "--ubatch",
        ["KvCacheType"] = "--kv-type",
        ["FlashAttention"] = "--flash-attn",
        ["GpuLayers"] = "--gpu-layers",
        ["Devices"] = "--device",
        ["RpcServers"] = "--rpc",
        ["Importance"] = "--importance",
    };

    /// <summary>Writes text as it is, without line breaks or markup.</summary>
    internal void WriteRaw(string text) => Output.Profile.Out.Writer.WriteLine(text);

    /// <summary>A note beside the results.</summary>
    internal void Note(string text) => Errors.Profile.Out.Writer.WriteLine(text);

    /// <summary>Runs a command: whatever goes wrong becomes a sentence and an exit code.</summary>
    internal async Task<int> RunAsync(Func<Task<int>> command)
    {
        try
        {
            return await command();
        }
        catch (OperationCanceledException)
        {
            Note("Cancelled.");
            return ExitCode.Cancelled;
        }
#pragma warning disable CA1031 // the last stop
        catch (Exception e)
#pragma warning restore CA1031
        {
            ErrorText.Write(Errors, ErrorText.Describe(e, Switches));
            return ExitCode.Failed;
        }
    }
}

using Spectre.Console;

namespace Foretoken.Cli;

/// <summary>Where a command writes to.</summary>
/// <param name="Output">Results: standard output.</param>
/// <param name="Errors">Errors, notes and progress: standard error, so that results can be piped.</param>
internal sealed record CliContext(IAnsiConsole Output, IAnsiConsole Errors)
{
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
            ErrorText.Write(Errors, ErrorText.Describe(e));
            return ExitCode.Failed;
        }
    }
}

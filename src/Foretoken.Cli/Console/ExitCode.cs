namespace Foretoken.Cli.Console;

/// <summary>Exit codes of the command.</summary>
internal static class ExitCode
{
    internal const int Ok = 0;
    internal const int Failed = 1;
    internal const int Usage = 2;

    /// <summary>As a shell reports Ctrl+C.</summary>
    internal const int Cancelled = 130;
}

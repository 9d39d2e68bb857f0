namespace Foretoken.Cli.Console;

/// <summary>Something that the user can put right; the message says how.</summary>
internal sealed class CliException : Exception
{
    public CliException() { }

    public CliException(string message)
        : base(message) { }

    public CliException(string message, Exception? innerException)
        : base(message, innerException) { }
}

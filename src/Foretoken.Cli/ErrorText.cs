using Spectre.Console;

namespace Foretoken.Cli;

/// <summary>Errors as a sentence, without a stack trace.</summary>
internal static class ErrorText
{
    internal static string Describe(Exception exception)
    {
        string message = exception.Message.Trim();
        if (exception is ArgumentException)
        {
            // .NET appends the parameter and its value, which mean nothing to somebody at a terminal
            int suffix = message.IndexOf(" (Parameter '", StringComparison.Ordinal);
            message = suffix > 0 ? message[..suffix] : message;
        }
        return
            exception
                is ForetokenException
                    or CliException
                    or ArgumentException
                    or NotSupportedException
                    or InvalidOperationException
                    or FormatException
                    or IOException
                    or UnauthorizedAccessException
            ? message
            : $"{exception.GetType().Name}: {message}";
    }

    internal static void Write(IAnsiConsole errors, string message)
    {
        errors.Markup("[red]error:[/] ");
        // not through a renderable, which would break lines at its own width
        errors.Profile.Out.Writer.WriteLine(message);
    }
}

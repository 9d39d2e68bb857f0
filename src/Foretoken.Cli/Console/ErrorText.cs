using System.Text.RegularExpressions;
using Foretoken.Errors;
using Spectre.Console;

namespace Foretoken.Cli.Console;

/// <summary>Errors as a sentence, without a stack trace, in the words of the command line.</summary>
internal static partial class ErrorText
{
    /// <summary>What went wrong.</summary>
    /// <param name="exception">The exception.</param>
    /// <param name="switches">
    /// The switches of this program, by the options of the library that they set: the library speaks of its options, which
    /// mean nothing to somebody at a terminal. Null where the error is about no option.
    /// </param>
    internal static string Describe(Exception exception, IReadOnlyDictionary<string, string>? switches = null)
    {
        string message = exception.Message.Trim();
        if (exception is ArgumentException argument)
        {
            // .NET appends the parameter and its value
            int suffix = message.IndexOf(" (Parameter '", StringComparison.Ordinal);
            message = suffix > 0 ? message[..suffix] : message;
            if (
                argument.ParamName is { Length: > 0 } name
                && switches?.GetValueOrDefault(name) is { } option
                && message.StartsWith(name, StringComparison.Ordinal)
            )
            {
                message = option + message[name.Length..];
            }
        }
        if (switches is not null)
        {
            message = OptionName()
                .Replace(message, match => switches.GetValueOrDefault(match.Groups["name"].Value) ?? match.Value);
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

    // an option with its class, in quotes, or of several words: a single one may be an ordinary word of the sentence
    [GeneratedRegex(
        @"\b[A-Z]\w*Options\.(?<name>[A-Z]\w*)|'(?<name>[A-Z]\w*)'|\b(?<name>[A-Z][A-Za-z]*[a-z][A-Z][A-Za-z]*)\b"
    )]
    private static partial Regex OptionName();
}

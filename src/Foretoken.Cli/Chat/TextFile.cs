using System.Globalization;
using System.Text;
using Foretoken.Cli.Console;

namespace Foretoken.Cli.Chat;

/// <summary>Text that comes from outside: UTF-8, or UTF-16 and UTF-32 with a byte order mark.</summary>
internal static class TextFile
{
    // far beyond any context; keeps a wrong path from filling the memory
    private const long MaxBytes = 16 * 1024 * 1024;

    /// <summary>
    /// A reader that takes a byte order mark for what it is, and does not put other characters in the place of bytes that
    /// are none: <see cref="DecoderFallbackException"/>.
    /// </summary>
    internal static StreamReader Open(Stream stream) =>
        new(
            stream,
            // it skips its own mark, and stays strict; where the reader finds UTF-8 by the mark, it does not
            new UTF8Encoding(encoderShouldEmitUTF8Identifier: true, throwOnInvalidBytes: true),
            detectEncodingFromByteOrderMarks: true
        );

    /// <summary>Reads a file.</summary>
    /// <exception cref="CliException">It cannot be read, is no text, or is empty.</exception>
    internal static string Read(string path)
    {
        if (Directory.Exists(path))
        {
            throw new CliException($"'{path}' is a folder, and one text file is needed.");
        }
        FileInfo file = new(path);
        if (!file.Exists)
        {
            throw new CliException($"There is no file '{path}'.");
        }
        if (file.Length > MaxBytes)
        {
            throw new CliException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"'{path}' has {file.Length / 1048576} MiB, which no context holds. Documents have {MaxBytes / 1048576} MiB at most."
                )
            );
        }
        string text;
        try
        {
            using StreamReader reader = Open(file.OpenRead());
            text = reader.ReadToEnd();
        }
        catch (DecoderFallbackException e)
        {
            throw NotText(path, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"'{path}' cannot be read: {e.Message}", e);
        }
        if (text.Contains('\0', StringComparison.Ordinal))
        {
            throw NotText(path, null);
        }
        return string.IsNullOrWhiteSpace(text)
            ? throw new CliException($"'{path}' is empty.")
            : text.ReplaceLineEndings("\n");
    }

    private static CliException NotText(string path, Exception? cause) =>
        new($"'{path}' is not a text file. Documents are plain text in UTF-8; convert it first.", cause);
}

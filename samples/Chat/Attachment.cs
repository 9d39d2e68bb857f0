using System.Globalization;
using System.Text;

namespace Foretoken.Samples.Chat;

/// <summary>A text document that goes in front of a question.</summary>
/// <param name="Name">File name, without its folder.</param>
/// <param name="Text">The document.</param>
internal sealed record Attachment(string Name, string Text)
{
    // far beyond any context; keeps a wrong path from filling the memory
    private const long MaxBytes = 16 * 1024 * 1024;

    /// <summary>Reads a document: UTF-8, or UTF-16 with a byte order mark.</summary>
    /// <exception cref="ChatSampleException">It cannot be read, or is no text.</exception>
    internal static Attachment Load(string path)
    {
        if (Directory.Exists(path))
        {
            throw new ChatSampleException($"'{path}' is a folder; a document is one text file.");
        }
        FileInfo file = new(path);
        if (!file.Exists)
        {
            throw new ChatSampleException($"There is no file '{path}'.");
        }
        if (file.Length > MaxBytes)
        {
            throw new ChatSampleException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"'{path}' has {file.Length / 1048576} MiB, which no context holds. Documents have {MaxBytes / 1048576} MiB at most."
                )
            );
        }
        string text;
        try
        {
            using StreamReader reader = new(path, new UTF8Encoding(false, throwOnInvalidBytes: true));
            text = reader.ReadToEnd();
        }
        catch (DecoderFallbackException e)
        {
            throw NotText(path, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ChatSampleException($"'{path}' cannot be read: {e.Message}", e);
        }
        if (text.Contains('\0', StringComparison.Ordinal))
        {
            throw NotText(path, null);
        }
        if (string.IsNullOrWhiteSpace(text))
        {
            throw new ChatSampleException($"'{path}' is empty.");
        }
        return new Attachment(file.Name, text.ReplaceLineEndings("\n"));
    }

    private static ChatSampleException NotText(string path, Exception? cause)
    {
        string message = $"'{path}' is not a text file. Documents are plain text in UTF-8; convert it first.";
        return cause is null ? new ChatSampleException(message) : new ChatSampleException(message, cause);
    }
}

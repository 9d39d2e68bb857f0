using Foretoken.Cli.Console;

namespace Foretoken.Cli.Chat;

/// <summary>A text document that goes in front of a question.</summary>
/// <param name="Name">File name, without its folder.</param>
/// <param name="Text">The document.</param>
internal sealed record Attachment(string Name, string Text)
{
    /// <summary>Reads a document.</summary>
    /// <inheritdoc cref="TextFile.Read"/>
    internal static Attachment Load(string path) =>
        string.IsNullOrWhiteSpace(path)
            ? throw new CliException("The name of the document is empty.")
            : new Attachment(Path.GetFileName(path), TextFile.Read(path));
}

using Foretoken.Cli.Console;

namespace Foretoken.Cli;

/// <summary>The text files that prompts are cut from.</summary>
internal static class SampleDocuments
{
    /// <summary>The files that were named, or those that come with the samples.</summary>
    /// <exception cref="CliException">None were named, and none come with this program.</exception>
    internal static string[] Or(IReadOnlyList<string> named)
    {
        if (named.Count > 0)
        {
            return [.. named];
        }

        string[] files = RepositoryFolder.Find("samples", "documents") is { } folder
            ? [.. Directory.EnumerateFiles(folder, "*.txt").Order(StringComparer.Ordinal)]
            : [];
        return files.Length > 0
            ? files
            : throw new CliException(
                "No text to cut documents from: there is no samples/documents folder above this program. Name text files with --documents, or your own prompts with --prompts."
            );
    }
}

using Spectre.Console.Rendering;

namespace Foretoken.Cli;

/// <summary>What a command measured: shown and written as its options ask.</summary>
internal static class MeasuredResult
{
    /// <summary>Writes the result, also when the command was cancelled.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="json">File for <paramref name="text"/>; <c>-</c> for standard output, in place of the table; null for none.</param>
    /// <param name="html">File for the page; null for none.</param>
    /// <param name="text">Renders it as JSON.</param>
    /// <param name="table">Renders it for a terminal.</param>
    /// <param name="page">Renders it as a page.</param>
    internal static async Task WriteAsync(
        CliContext context,
        string? json,
        string? html,
        Func<string> text,
        Func<IRenderable> table,
        Func<string> page
    )
    {
        if (json == "-")
        {
            context.WriteRaw(text());
        }
        else
        {
            context.Output.Write(table());
            context.WriteRaw("");
        }

        if (json is not null and not "-")
        {
            await File.WriteAllTextAsync(json, text() + "\n", CancellationToken.None);
            context.Note($"The raw samples are in {json}.");
        }

        if (html is not null)
        {
            await File.WriteAllTextAsync(html, page(), CancellationToken.None);
            context.Note($"The page is {html}.");
        }
    }
}

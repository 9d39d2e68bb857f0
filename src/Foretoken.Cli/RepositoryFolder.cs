using Foretoken.Cli.Console;

namespace Foretoken.Cli;

/// <summary>Finds folders of the repository that this program was built from, where there is one.</summary>
internal static class RepositoryFolder
{
    /// <summary>The first folder of this relative path, looked for from the program and the current folder upwards; null for none.</summary>
    internal static string? Find(params ReadOnlySpan<string> relativePath)
    {
        string relative = Path.Combine(relativePath);
        foreach (string start in (string[])[AppContext.BaseDirectory, Environment.CurrentDirectory])
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                string candidate = Path.Combine(folder.FullName, relative);
                if (Directory.Exists(candidate))
                {
                    return candidate;
                }
            }
        }
        return null;
    }

    /// <summary>The model that comes with the samples.</summary>
    /// <exception cref="CliException">There is none.</exception>
    internal static string SampleModel() =>
        (
            Find("samples", "models") is { } models
                ? Directory.EnumerateFiles(models, "*-00001-of-*.gguf").Order(StringComparer.Ordinal).FirstOrDefault()
                : null
        )
        ?? throw new CliException(
            "No model: there is no samples/models folder above this program. Give one with --model PATH."
        );
}

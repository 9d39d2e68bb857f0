using Foretoken.Cli.Console;

namespace Foretoken.Cli.Chat;

/// <summary>Finds the model that comes with the samples.</summary>
internal static class DefaultModel
{
    private const string FirstShard = "*-00001-of-*.gguf";

    /// <summary>The first shard in <c>samples/models</c>, looked for from each of the folders upwards.</summary>
    /// <exception cref="CliException">There is none.</exception>
    internal static string Find(params IEnumerable<string> from)
    {
        foreach (string start in from)
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                string models = Path.Combine(folder.FullName, "samples", "models");
                if (
                    Directory.Exists(models)
                    && Directory.EnumerateFiles(models, FirstShard).Order(StringComparer.Ordinal).FirstOrDefault()
                        is { } model
                )
                {
                    return model;
                }
            }
        }
        throw new CliException(
            "No model: there is no samples/models folder above this program. Give one with --model PATH."
        );
    }
}

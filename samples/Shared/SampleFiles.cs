namespace Foretoken.Samples;

/// <summary>What the samples find beside them in the repository.</summary>
internal static class SampleFiles
{
    /// <summary>The model that comes with the samples, or the one that <c>FORETOKEN_TEST_MODEL</c> names.</summary>
    internal static string Model =>
        Environment.GetEnvironmentVariable("FORETOKEN_TEST_MODEL") is { Length: > 0 } named
            ? named
            : Directory.EnumerateFiles(Models, "*-00001-of-*.gguf").First();

    /// <summary>A document of a few hundred tokens.</summary>
    internal static string Document => Path.Combine(Models, "README.md");

    /// <summary>A chat template that describes functions to the model; the model of the samples has none of its own.</summary>
    internal static string ToolTemplate => File.ReadAllText(Path.Combine(Models, "tools.jinja"));

    private static string Models { get; } = FindModels();

    private static string FindModels()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string models = Path.Combine(folder.FullName, "samples", "models");
            if (Directory.Exists(models))
            {
                return models;
            }
        }
        throw new DirectoryNotFoundException("There is no folder samples/models above this program.");
    }
}

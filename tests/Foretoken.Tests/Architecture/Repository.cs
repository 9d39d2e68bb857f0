using System.Runtime.CompilerServices;

namespace Foretoken.Tests;

internal static class Repository
{
    /// <summary>The folder of Plugin.sln, found from where this file was compiled.</summary>
    public static string Root { get; } = FindRoot();

    private static string FindRoot([CallerFilePath] string here = "")
    {
        // a deterministic build may map paths: fall back on where the tests run
        foreach (string start in (string[])[Path.GetDirectoryName(here)!, AppContext.BaseDirectory])
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "Plugin.sln")))
                {
                    return folder.FullName;
                }
            }
        }

        throw new DirectoryNotFoundException("Plugin.sln was not found above the tests.");
    }
}

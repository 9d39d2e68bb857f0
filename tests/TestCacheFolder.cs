using System.Runtime.CompilerServices;

namespace Foretoken.Tests;

/// <summary>What tests measure on the machine is kept for the run of the tests, and not where the user's programs find it.</summary>
internal static class TestCacheFolder
{
    [ModuleInitializer]
    internal static void Use()
    {
        string folder = Directory.CreateTempSubdirectory("foretoken-tests-").FullName;
        Environment.SetEnvironmentVariable("FORETOKEN_CACHE", folder);
        AppDomain.CurrentDomain.ProcessExit += (_, _) =>
        {
            try
            {
                Directory.Delete(folder, recursive: true);
            }
            catch (IOException)
            {
                // a session that is still writing
            }
        };
    }
}

using Foretoken.Interop;

namespace Foretoken.Machine;

/// <summary>The processor of this machine.</summary>
internal static class HostProcessor
{
    private static readonly Lazy<string> FoundName = new(FindName);

    /// <summary>Its name as the system gives it; <c>unknown</c> where it gives none.</summary>
    public static string Name => FoundName.Value;

    /// <summary>
    /// What this machine offers and what the native library was compiled for. Loads neither the library nor a model, so that it
    /// answers where the library is refused.
    /// </summary>
    /// <returns>The answer; null where there is no native library to ask.</returns>
    public static ProcessorSupport? FindSupport()
    {
        foreach (string folder in NativeLoader.CandidateDirectories())
        {
            if (ProcessorProbe.Ask(folder) is { } probe)
            {
                return new ProcessorSupport
                {
                    LibraryFolder = Path.GetFullPath(folder),
                    Found = probe.Found,
                    Libraries =
                    [
                        .. probe
                            .Libraries.Where(library => library.Name != ProcessorProbe.Common)
                            .Select(library => new CompiledLibrary(
                                library.Name,
                                library.Features,
                                [.. library.Features.Except(probe.Found)]
                            )),
                    ],
                    Missing = probe.FindMissing(),
                };
            }
        }
        return null;
    }

    private static string FindName()
    {
        const string CpuInfo = "/proc/cpuinfo";
        try
        {
            if (File.Exists(CpuInfo))
            {
                foreach (string line in File.ReadLines(CpuInfo))
                {
                    if (line.StartsWith("model name", StringComparison.Ordinal))
                    {
                        return line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
                    }
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // the name tells machines apart; nothing depends on it otherwise
        }
        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "unknown";
    }
}

namespace Foretoken.Inference;

/// <summary>The processor of this machine.</summary>
public static class HostProcessor
{
    private static readonly Lazy<string> FoundName = new(FindName);

    /// <summary>Its name as the system gives it; <c>unknown</c> where it gives none.</summary>
    public static string Name => FoundName.Value;

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

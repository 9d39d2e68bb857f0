using System.Runtime.InteropServices;

namespace Foretoken.Cli.Bench;

/// <summary>The machine that a benchmark ran on.</summary>
internal sealed record MachineInfo
{
    public required string Cpu { get; init; }
    public required int Cores { get; init; }

    /// <summary>Memory that this process may use, bytes.</summary>
    public required long MemoryBytes { get; init; }

    public required string OperatingSystem { get; init; }
    public required string Architecture { get; init; }
    public required string Runtime { get; init; }

    /// <summary>Processes that wanted a core when the benchmark began (one-minute average); null where the system does not say.</summary>
    public required double? LoadAverage { get; init; }

    internal static MachineInfo Read() =>
        new()
        {
            Cpu = CpuName() ?? "unknown",
            Cores = Environment.ProcessorCount,
            MemoryBytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            OperatingSystem = RuntimeInformation.OSDescription,
            Architecture = RuntimeInformation.ProcessArchitecture.ToString(),
            Runtime = RuntimeInformation.FrameworkDescription,
            LoadAverage = new MachineLoad().Read().Average,
        };

    private static string? CpuName()
    {
        const string CpuInfo = "/proc/cpuinfo";
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
        return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER");
    }
}

using System.Runtime.InteropServices;
using Foretoken.Machine;

namespace Foretoken.Cli.Machine;

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
            Cpu = HostProcessor.Name,
            Cores = Environment.ProcessorCount,
            MemoryBytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            OperatingSystem = RuntimeInformation.OSDescription,
            Architecture = RuntimeInformation.ProcessArchitecture.ToString(),
            Runtime = RuntimeInformation.FrameworkDescription,
            LoadAverage = new MachineLoad().Read().Average,
        };
}

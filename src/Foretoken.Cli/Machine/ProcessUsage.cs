namespace Foretoken.Cli.Machine;

/// <summary>What a process has used since it started.</summary>
/// <param name="CpuTime">CPU time of all its threads.</param>
/// <param name="PeakMemoryBytes">The most memory that it had resident, mapped weights included; null where the system does not say.</param>
internal readonly record struct ProcessUsage(TimeSpan CpuTime, long? PeakMemoryBytes);

namespace Foretoken.Cli.Machine;

/// <summary>What the machine is busy with.</summary>
internal interface IMachineLoad
{
    LoadReading Read();
}

/// <summary>The state of the machine at one moment.</summary>
/// <param name="Average">Processes that wanted a core, averaged over the last minute; null where the system does not say.</param>
/// <param name="BusyTime">Time that all cores were busy since the machine started, stolen time included; null where unknown.</param>
internal readonly record struct LoadReading(double? Average, TimeSpan? BusyTime);

using System.Globalization;

namespace Foretoken.Cli.Machine;

/// <summary>Reads the load from Linux' /proc; elsewhere nothing is known.</summary>
internal sealed class MachineLoad : IMachineLoad
{
    private const string AverageFile = "/proc/loadavg";
    private const string StatFile = "/proc/stat";

    // USER_HZ, in which the kernel counts for programs on every architecture that .NET runs on
    private const double TicksPerSecond = 100;

    public LoadReading Read() =>
        new(
            File.Exists(AverageFile) ? ParseAverage(File.ReadAllText(AverageFile)) : null,
            File.Exists(StatFile) ? ParseBusyTime(File.ReadAllLines(StatFile), Environment.ProcessorCount) : null
        );

    internal static double? ParseAverage(string text) =>
        double.TryParse(text.Split(' ')[0], CultureInfo.InvariantCulture, out double average) ? average : null;

    /// <summary>User, nice, system, interrupts and stolen time of the whole machine.</summary>
    /// <returns>Null when the file counts other cores than this process may use: their work does not disturb.</returns>
    internal static TimeSpan? ParseBusyTime(IReadOnlyList<string> stat, int cores)
    {
        if (stat.Count(line => line.StartsWith("cpu", StringComparison.Ordinal)) - 1 != cores)
        {
            return null;
        }
        // cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are part of user and nice
        string[] fields = stat[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        int[] busy = [1, 2, 3, 6, 7, 8];
        double ticks = 0;
        foreach (int field in busy)
        {
            if (
                field >= fields.Length
                || !double.TryParse(fields[field], CultureInfo.InvariantCulture, out double value)
            )
            {
                return null;
            }
            ticks += value;
        }
        return TimeSpan.FromSeconds(ticks / TicksPerSecond);
    }
}

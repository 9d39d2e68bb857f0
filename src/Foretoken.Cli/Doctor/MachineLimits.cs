using System.Globalization;

namespace Foretoken.Cli.Doctor;

/// <summary>What a container or a service manager allows this process, from Linux' control groups; elsewhere nothing is known.</summary>
internal sealed record MachineLimits
{
    /// <summary>Processors' worth of time; null for no limit.</summary>
    public required double? Processors { get; init; }

    /// <summary>Bytes of memory; null for no limit.</summary>
    public required long? MemoryBytes { get; init; }

    /// <summary>Bytes of memory that the machine has left; null where the system does not say.</summary>
    public required long? MemoryFreeBytes { get; init; }

    internal static MachineLimits Read() => Read("/sys/fs/cgroup", "/proc");

    /// <param name="groups">Folder of the control groups.</param>
    /// <param name="processes">Folder of the process file system.</param>
    internal static MachineLimits Read(string groups, string processes)
    {
        List<double> processors = [];
        List<long> memory = [];
        foreach (string folder in Folders(groups, Text(Path.Combine(processes, "self", "cgroup"))))
        {
            // version 2: "max 100000" or "150000 100000"; version 1: -1 for none
            string[] quota = (Text(Path.Combine(folder, "cpu.max")) ?? "").Split(' ');
            string? time = quota.Length == 2 ? quota[0] : Text(Path.Combine(folder, "cpu.cfs_quota_us"));
            string? period = quota.Length == 2 ? quota[1] : Text(Path.Combine(folder, "cpu.cfs_period_us"));
            if (Number(time) is > 0 and long microseconds && Number(period) is > 0 and long of)
            {
                processors.Add((double)microseconds / of);
            }
            long? bytes =
                Number(Text(Path.Combine(folder, "memory.max")))
                ?? Number(Text(Path.Combine(folder, "memory.limit_in_bytes")));
            // version 1 says "no limit" with the largest number of pages
            if (bytes is > 0 and < long.MaxValue / 2)
            {
                memory.Add(bytes.Value);
            }
        }
        return new MachineLimits
        {
            Processors = processors.Count > 0 ? processors.Min() : null,
            MemoryBytes = memory.Count > 0 ? memory.Min() : null,
            MemoryFreeBytes = Free(Text(Path.Combine(processes, "meminfo"))),
        };
    }

    // the process's own group and all above it: each may set a limit
    private static HashSet<string> Folders(string groups, string? membership)
    {
        HashSet<string> folders = [groups, Path.Combine(groups, "cpu"), Path.Combine(groups, "memory")];
        foreach (string line in (membership ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            // 0::/user.slice/a.service, or 4:cpu,cpuacct:/docker/1234
            string[] parts = line.Split(':', 3);
            if (parts.Length < 3)
            {
                continue;
            }
            foreach (string controller in parts[1].Split(','))
            {
                string top = Path.Combine(groups, controller);
                string folder = top;
                foreach (string name in parts[2].Split('/', StringSplitOptions.RemoveEmptyEntries))
                {
                    folder = Path.Combine(folder, name);
                    folders.Add(folder);
                }
            }
        }
        return folders;
    }

    private static long? Free(string? memory)
    {
        foreach (string line in (memory ?? "").Split('\n'))
        {
            if (line.StartsWith("MemAvailable:", StringComparison.Ordinal))
            {
                return Number(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) * 1024;
            }
        }
        return null;
    }

    private static long? Number(string? text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) ? value : null;

    private static string? Text(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllText(path).Trim() : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // a file that may not be read tells nothing
            return null;
        }
    }
}

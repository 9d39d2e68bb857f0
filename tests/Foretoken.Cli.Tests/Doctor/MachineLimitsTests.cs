using Foretoken.Cli.Doctor;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Doctor;

public sealed class MachineLimitsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_container_of_version_2_limits_time_and_memory()
    {
        Write("groups/cpu.max", "150000 100000\n");
        Write("groups/memory.max", "1073741824\n");
        Write("proc/self/cgroup", "0::/\n");
        Write("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable:   2000 kB\n");

        MachineLimits limits = Read();

        Assert.Equal(1.5, limits.Processors);
        Assert.Equal(1L << 30, limits.MemoryBytes);
        Assert.Equal(2000 * 1024, limits.MemoryFreeBytes);
    }

    [Fact]
    public void The_tightest_limit_above_the_process_counts()
    {
        Write("groups/cpu.max", "max 100000\n");
        Write("groups/a.slice/cpu.max", "200000 100000\n");
        Write("groups/a.slice/b.service/cpu.max", "400000 100000\n");
        Write("groups/a.slice/memory.max", "1000\n");
        Write("groups/a.slice/b.service/memory.max", "max\n");
        Write("proc/self/cgroup", "0::/a.slice/b.service\n");

        Assert.Equal(2, Read().Processors);
        Assert.Equal(1000, Read().MemoryBytes);
    }

    [Fact]
    public void Version_1_limits_each_by_its_controller()
    {
        Write("groups/cpu/docker/1/cpu.cfs_quota_us", "300000\n");
        Write("groups/cpu/docker/1/cpu.cfs_period_us", "100000\n");
        Write("groups/memory/memory.limit_in_bytes", "9223372036854771712\n");
        Write("groups/memory/docker/1/memory.limit_in_bytes", "5000\n");
        Write("proc/self/cgroup", "4:cpu,cpuacct:/docker/1\n2:memory:/docker/1\n");

        Assert.Equal(3, Read().Processors);
        Assert.Equal(5000, Read().MemoryBytes);
    }

    [Fact]
    public void Without_control_groups_nothing_is_limited()
    {
        MachineLimits limits = Read();

        Assert.Null(limits.Processors);
        Assert.Null(limits.MemoryBytes);
        Assert.Null(limits.MemoryFreeBytes);
    }

    private MachineLimits Read() =>
        MachineLimits.Read(Path.Combine(_folder.Path, "groups"), Path.Combine(_folder.Path, "proc"));

    private void Write(string name, string text)
    {
        string path = Path.Combine(_folder.Path, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}

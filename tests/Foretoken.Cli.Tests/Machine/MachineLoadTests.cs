using Foretoken.Cli.Machine;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Machine;

public sealed class MachineLoadTests
{
    private static readonly string[] Stat =
    [
        "cpu  100 10 30 5000 7 2 3 40 0 0",
        "cpu0 50 5 15 2500 4 1 1 20 0 0",
        "cpu1 50 5 15 2500 3 1 2 20 0 0",
        "intr 1 2 3",
    ];

    [Fact]
    public void Busy_time_is_all_but_idle_and_waiting() =>
        // user, nice, system, interrupts, soft interrupts, stolen: hundredths of a second
        Assert.Equal(TimeSpan.FromSeconds(1.85), MachineLoad.ParseBusyTime(Stat, cores: 2));

    [Fact]
    public void Nothing_is_known_where_the_file_counts_cores_of_others() =>
        Assert.Null(MachineLoad.ParseBusyTime(Stat, cores: 1));

    [Fact]
    public void The_average_is_that_of_the_last_minute()
    {
        Assert.Equal(0.42, MachineLoad.ParseAverage("0.42 0.40 0.30 1/100 42"));
        Assert.Null(MachineLoad.ParseAverage(""));
    }
}

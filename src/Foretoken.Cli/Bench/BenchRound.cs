namespace Foretoken.Cli.Bench;

/// <summary>The state of the machine over one round.</summary>
internal sealed record BenchRound
{
    /// <summary>A round during which other processes used a larger share of the cores counts as disturbed.</summary>
    internal const double DisturbedShare = 0.05;

    public required int Round { get; init; }

    /// <summary>Runs of the round.</summary>
    public required int Runs { get; init; }

    /// <summary>Processes that wanted a core, one-minute average, before the round; null where the system does not say.</summary>
    public required double? LoadAverageBefore { get; init; }

    /// <summary>The same after it; our own threads are among them.</summary>
    public required double? LoadAverageAfter { get; init; }

    /// <summary>Share of the machine's cores that processes other than the two sides used during their runs, stolen time included; null when unknown.</summary>
    public required double? OtherCpuShare { get; init; }

    /// <summary>Whether <see cref="OtherCpuShare"/> was above 0.05. The round counts all the same; null when unknown.</summary>
    public required bool? IsDisturbed { get; init; }

    internal static BenchRound Of(int round, int runs, double? before, double? after, double? otherCpuShare) =>
        new()
        {
            Round = round,
            Runs = runs,
            LoadAverageBefore = before,
            LoadAverageAfter = after,
            OtherCpuShare = otherCpuShare,
            IsDisturbed =
                otherCpuShare > DisturbedShare ? true
                : otherCpuShare is null ? null
                : false,
        };
}

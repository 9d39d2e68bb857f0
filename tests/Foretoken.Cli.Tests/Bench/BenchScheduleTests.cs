using Foretoken.Cli.Bench;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Bench;

public sealed class BenchScheduleTests
{
    private static readonly BenchCase[] Cases =
    [
        .. new[] { 512, 1024 }.SelectMany(length =>
            new[] { 1, 1.5, 2, 2.9 }.Select(target => new BenchCase(length, BenchKind.Target, target, null))
        ),
    ];

    [Fact]
    public void A_round_has_every_case_once_and_the_baseline_as_often_as_pays()
    {
        IReadOnlyList<BenchSlot> round = BenchSchedule.Rounds(Cases, rivals: 1, rounds: 1, seed: 3)[0];

        Assert.Equal(
            Enumerable.Range(0, Cases.Length),
            round.Where(slot => slot.Side == BenchSide.Foretoken).Select(slot => slot.Index).Order()
        );
        // four rows of a length: two runs
        Assert.Equal(4, round.Count(slot => slot.Side == BenchSide.Baseline));
        Assert.Equal(2, round.Count(slot => slot.Side == BenchSide.Rival));
        Assert.Equal(Enumerable.Range(0, round.Count), round.Select(slot => slot.Position));
        // runs that are compared are close to each other
        Assert.Equal(2, round.Chunk(round.Count / 2).Sum(half => half.Select(slot => slot.Length).Distinct().Count()));
        Assert.Equal([1, 1, 2, 3, 3], new[] { 0, 1, 4, 7, 9 }.Select(BenchSchedule.BaselineRuns));
    }

    [Fact]
    public void Order_is_shuffled_by_the_seed_and_by_nothing_else()
    {
        string[] orders = [.. Enumerable.Range(0, 20).Select(seed => Text(BenchSchedule.Rounds(Cases, 0, 4, seed)))];

        Assert.Equal(20, orders.Distinct().Count());
        Assert.Equal(orders[7], Text(BenchSchedule.Rounds(Cases, 0, 4, seed: 7)));
        // over many seeds every run comes first about equally often
        int baselineFirst = Enumerable
            .Range(0, 600)
            .Count(seed => BenchSchedule.Rounds(Cases, 0, 1, seed)[0][0].Side == BenchSide.Baseline);
        Assert.InRange(baselineFirst, 150, 250);
    }

    [Fact]
    public void Over_two_rounds_all_runs_are_as_early_as_late()
    {
        IReadOnlyList<IReadOnlyList<BenchSlot>> rounds = BenchSchedule.Rounds(Cases, rivals: 1, rounds: 4, seed: 5);

        foreach (IReadOnlyList<BenchSlot>[] two in rounds.Chunk(2))
        {
            IEnumerable<double> means = two.SelectMany(round => round)
                .GroupBy(slot => (slot.Side, slot.Index, slot.Length))
                .Select(runs => runs.Average(slot => slot.Position));
            Assert.All(means, mean => Assert.Equal((rounds[0].Count - 1) / 2.0, mean, 9));
        }
        Assert.NotEqual(Text([rounds[0]]), Text([rounds[2]]));
    }

    [Fact]
    public void Warm_up_runs_everything_once_at_the_shortest_length()
    {
        IReadOnlyList<BenchSlot> warmUp = BenchSchedule.WarmUp(Cases, rivals: 1);

        Assert.Equal(4 + 1 + 1, warmUp.Count);
        Assert.All(warmUp, slot => Assert.Equal(512, slot.Length));
    }

    private static string Text(IEnumerable<IReadOnlyList<BenchSlot>> rounds) =>
        string.Join('|', rounds.Select(round => string.Join(' ', round)));
}

using Foretoken.Cli.Bench;
using Foretoken.Cli.Numbers;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Numbers;

public sealed class StatisticsTests
{
    [Theory]
    [InlineData(new double[] { 5 }, 5)]
    [InlineData(new double[] { 3, 1, 2 }, 2)]
    [InlineData(new double[] { 4, 1, 3, 2 }, 2.5)]
    public void The_median_is_the_middle(double[] values, double expected) =>
        Assert.Equal(expected, Statistics.Median(values));

    [Fact]
    public void Nothing_has_no_median() => Assert.Throws<ArgumentException>(() => Statistics.Median([]));

    [Fact]
    public void The_speedup_is_the_ratio_of_medians_and_not_the_median_of_ratios() =>
        // ratios 10, 2, 1: their median is 2, too
        Assert.Equal(3.0, Statistics.RatioOfMedians([10, 6, 3], [1, 3, 2]));

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(9)]
    public void The_interval_covers_the_true_ratio_about_as_often_as_it_claims(int rounds)
    {
        const int Trials = 300;
        Random random = new(7);
        int covered = 0;
        for (int trial = 0; trial < Trials; trial++)
        {
            RatioRound[] measured =
            [
                .. Enumerable
                    .Range(0, rounds)
                    .Select(_ =>
                    {
                        // the runs of a round share what the machine is busy with
                        double machine = Noise(random);
                        return new RatioRound(
                            [2 * machine * Noise(random), 2 * machine * Noise(random)],
                            [machine * Noise(random)]
                        );
                    }),
            ];
            (double low, double high) = Statistics.RatioInterval(measured, seed: trial)!.Value;
            covered += low <= 2 && 2 <= high ? 1 : 0;
        }

        Assert.InRange(covered / (double)Trials, 0.92, 1);
    }

    [Fact]
    public void The_interval_is_repeatable_and_has_no_width_where_all_rounds_agree()
    {
        RatioRound[] rounds = [.. Enumerable.Range(0, 7).Select(i => new RatioRound([200 + i], [100 - i]))];

        Assert.Equal(Statistics.RatioInterval(rounds, seed: 3), Statistics.RatioInterval(rounds, seed: 3));
        (double low, double high) = Statistics.RatioInterval([.. Enumerable.Repeat(rounds[0], 3)], seed: 1)!.Value;
        Assert.Equal(2, low, 9);
        Assert.Equal(2, high, 9);
        Assert.Null(Statistics.RatioInterval(rounds[..2], seed: 1));
    }

    [Fact]
    public void A_percentile_lies_between_order_statistics_that_hold_it_95_times_of_100()
    {
        double[] values = [.. Enumerable.Range(1, 20).Select(i => (double)i)];

        // the table of the sign test: of 20 values, the 6th and the 15th
        Assert.Equal(new Percentile(10.5, 6, 15), Statistics.Percentile(values, 0.5));
        Assert.Equal(18.1, Statistics.Quantile(values, 0.9), 9);
        Assert.Equal(new Percentile(3.5, 1, 6), Statistics.Percentile(values[..6], 0.5));
    }

    [Fact]
    public void Too_few_values_give_a_percentile_without_an_interval()
    {
        Assert.Equal(new Percentile(3, null, null), Statistics.Percentile([1, 2, 3, 4, 5], 0.5));
        Assert.Null(Statistics.Percentile([.. Enumerable.Range(0, 71).Select(i => (double)i)], 0.95).High);
        Assert.NotNull(Statistics.Percentile([.. Enumerable.Range(0, 72).Select(i => (double)i)], 0.95).High);
    }

    [Fact]
    public void Several_p_values_are_raised_so_that_they_hold_together() =>
        Assert.Equal([0.04, 0.06, 0.06, 0.5], Statistics.Holm([0.01, 0.02, 0.03, 0.5]).Select(p => Math.Round(p, 12)));

    [Fact]
    public void The_hash_is_fnv_1a()
    {
        // reference values of the FNV specification: nothing, and four zero bytes
        Assert.Equal("cbf29ce484222325", Fnv1a64.Hash([]));
        Assert.Equal("4d25767f9dce13f5", Fnv1a64.Hash([0f]));
    }

    [Fact]
    public void Prompts_are_repeatable_within_the_vocabulary_and_new_in_every_round()
    {
        int[] prompt = PromptTokens.Create(1000, 500, seed: 1, pair: 0);

        Assert.Equal(prompt, PromptTokens.Create(1000, 500, seed: 1, pair: 0));
        Assert.All(prompt, token => Assert.InRange(token, 0, 499));
        Assert.True(prompt.Distinct().Count() > 300);
        Assert.NotEqual(prompt, PromptTokens.Create(1000, 500, seed: 1, pair: 1));
        Assert.NotEqual(prompt, PromptTokens.Create(1000, 500, seed: 2, pair: 0));
    }

    /// <summary>One run's share of noise: 5 %, and now and then a run that something else disturbed.</summary>
    private static double Noise(Random random)
    {
        double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        return Math.Exp(0.05 * normal) * (random.Next(10) == 0 ? 1.3 : 1);
    }
}

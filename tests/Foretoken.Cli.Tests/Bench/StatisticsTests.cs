using Foretoken.Cli.Bench;

namespace Foretoken.Cli.Tests.Bench;

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

    [Fact]
    public void The_interval_holds_the_ratio_and_is_repeatable()
    {
        double[] baseline = [200, 210, 190, 205, 220, 195, 201];
        double[] ours = [100, 104, 97, 101, 112, 95, 100];

        (double low, double high) = Statistics.BootstrapRatioOfMedians(baseline, ours, seed: 3)!.Value;

        double ratio = Statistics.RatioOfMedians(baseline, ours);
        Assert.InRange(ratio, low, high);
        Assert.True(high - low < 0.3);
        Assert.Equal((low, high), Statistics.BootstrapRatioOfMedians(baseline, ours, seed: 3));
    }

    [Fact]
    public void Pairs_that_agree_exactly_leave_no_doubt() =>
        Assert.Equal((2.0, 2.0), Statistics.BootstrapRatioOfMedians([2, 2, 2], [1, 1, 1], seed: 1));

    [Fact]
    public void Two_pairs_give_no_interval() =>
        Assert.Null(Statistics.BootstrapRatioOfMedians([2, 2], [1, 1], seed: 1));

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
}

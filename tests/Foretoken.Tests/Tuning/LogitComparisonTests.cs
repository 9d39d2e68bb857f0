using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Tests.Tuning;

public class LogitComparisonTests
{
    [Fact]
    public void Divergence_of_two_coins_is_the_formula()
    {
        // p = (1/2, 1/2), q = (1/4, 3/4)
        double expected = (0.5 * Math.Log(0.5 / 0.25)) + (0.5 * Math.Log(0.5 / 0.75));
        Assert.Equal(
            expected,
            LogitComparison.KlDivergence([7f, 7f], [(float)Math.Log(0.25), (float)Math.Log(0.75)]),
            6
        );
    }

    [Fact]
    public void Divergence_is_not_symmetric() =>
        Assert.NotEqual(
            LogitComparison.KlDivergence([0f, 0f, 0f], [0f, 1f, 3f]),
            LogitComparison.KlDivergence([0f, 1f, 3f], [0f, 0f, 0f]),
            3
        );

    [Fact]
    public void Divergence_of_equal_logits_is_exactly_zero()
    {
        float[] logits = Random(1, 50_000);
        Assert.Equal(0, LogitComparison.KlDivergence(logits, (float[])logits.Clone()));
    }

    [Fact]
    public void Adding_a_constant_to_all_logits_changes_nothing()
    {
        float[] p = Random(1, 1000);
        float[] q = Random(2, 1000);
        double before = LogitComparison.KlDivergence(p, q);
        Assert.True(before > 0);
        Assert.Equal(before, LogitComparison.KlDivergence([.. p.Select(x => x + 64)], [.. q.Select(x => x - 128)]), 4);
    }

    [Fact]
    public void A_token_that_is_ruled_out_adds_nothing() =>
        Assert.Equal(
            LogitComparison.KlDivergence([1f, 2f], [2f, 1f]),
            LogitComparison.KlDivergence([1f, 2f, float.NegativeInfinity], [2f, 1f, float.NegativeInfinity]),
            12
        );

    [Fact]
    public void Logits_of_different_vocabularies_are_refused()
    {
        Assert.Throws<ArgumentException>(() => LogitComparison.KlDivergence([1f, 2f], [1f]));
        Assert.Throws<ArgumentException>(() => LogitComparison.KlDivergence([], []));
    }

    [Fact]
    public void The_most_likely_token_is_the_first_of_the_largest_logits()
    {
        Assert.Equal(1, LogitComparison.ArgMax([1f, 3f, 3f, 2f]));
        Assert.Equal(0, LogitComparison.ArgMax([float.NegativeInfinity]));
    }

    private static float[] Random(int seed, int count)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(10 * random.NextDouble()))];
    }
}

using Foretoken.Importance;
using Foretoken.Tuning.Prompts;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Importance;

public class TokenRankingTests
{
    private static readonly Gen<((float Importance, int Gap)[] Tokens, int Length)> Any =
        from tokens in Gen.Choose(-400, 400)
            .Select(x => x / 100f)
            .Zip(Gen.Frequency((5, Gen.Constant(1)), (1, Gen.Choose(2, 50))))
            .ArrayOf()
        from length in Gen.Choose(1, 40)
        select (tokens, length);

    [Fact]
    public void A_token_counts_as_much_as_its_own_share_and_that_of_its_span_together() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(500),
            Prop.ForAll(
                Any.ToArbitrary(),
                any =>
                {
                    int[] places = new int[any.Tokens.Length];
                    for (int i = 1; i < places.Length; i++)
                    {
                        places[i] = places[i - 1] + any.Tokens[i].Gap;
                    }

                    double[] shares =
                    [
                        .. any.Tokens.Select(
                            (token, i) => Math.Exp(token.Importance + (2 * Math.Exp(-places[i] / 48.0)))
                        ),
                    ];
                    float[] ranked = [.. any.Tokens.Select(token => token.Importance)];
                    TokenRanking.Rank(ranked, places, any.Length);
                    foreach (
                        IGrouping<int, int> span in Enumerable
                            .Range(0, ranked.Length)
                            .GroupBy(i => places[i] / any.Length)
                    )
                    {
                        double mean = span.Average(i => shares[i]);
                        Assert.All(
                            span,
                            i =>
                                Assert.Equal(
                                    any.Length == 1 ? Math.Log(shares[i]) : Math.Log((0.7 * mean) + (0.3 * shares[i])),
                                    ranked[i],
                                    1e-4
                                )
                        );
                    }
                }
            )
        );

    [Fact]
    public void Where_all_tokens_matter_the_same_the_beginning_comes_first()
    {
        float[] ranked = new float[600];
        TokenRanking.Rank(ranked, [.. Enumerable.Range(0, 600)], 1);
        Assert.Equal(ranked.OrderDescending(), ranked);
        Assert.Equal(2, ranked[0], 1e-5);
        Assert.Equal(0, ranked[^1], 0.01);
    }

    [Fact]
    public void A_token_that_stands_out_is_not_lost_in_a_poor_span()
    {
        // far behind the beginning: a span of even shares, and a poor one with one token that receives eight times as much
        float[] ranked = new float[64];
        Array.Fill(ranked, -3, 32, 32);
        ranked[40] = MathF.Log(8);
        TokenRanking.Rank(ranked, [.. Enumerable.Range(4096, 64)], 32);
        Assert.Equal(40, Array.IndexOf(ranked, ranked.Max()));
    }

    [Fact]
    public void Large_importances_do_not_overflow()
    {
        float[] importance = [1000, 1000, -1000, 0];
        TokenRanking.Rank(importance, [10_000, 10_001, 10_002, 10_003], 2);
        Assert.Equal(
            [1000, 1000, MathF.Log(0.35f), MathF.Log(0.65f)],
            importance.Select(x => x),
            (x, y) => Math.Abs(x - y) < 1e-4
        );
    }

    [Theory]
    [InlineData(500, 16)]
    [InlineData(63, 8)]
    [InlineData(64, 16)]
    [InlineData(3, 1)]
    [InlineData(-5, 1)]
    public void Spans_are_shorter_where_little_is_kept(int chosen, int expected) =>
        Assert.Equal(expected, TokenRanking.SpanLength(chosen));

    [Fact]
    public void A_span_without_tokens_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenRanking.Rank(new float[3], [0, 1, 2], 0));

    [Fact]
    public void A_token_without_a_place_is_refused() =>
        Assert.Throws<ArgumentException>(() => TokenRanking.Rank(new float[3], [0, 1], 2));
}

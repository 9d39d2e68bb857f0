using Foretoken.Profiles;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Profiles;

public class TokenSpansTests
{
    private static readonly Gen<((float Importance, int Gap)[] Tokens, int Length)> Any =
        from tokens in Gen.Choose(-400, 400)
            .Select(x => x / 100f)
            .Zip(Gen.Frequency((5, Gen.Constant(1)), (1, Gen.Choose(2, 50))))
            .ArrayOf()
        from length in Gen.Choose(1, 40)
        select (tokens, length);

    [Fact]
    public void Tokens_of_a_span_share_the_mean_of_what_their_logarithms_stand_for() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(500),
            Prop.ForAll(
                Any.ToArbitrary(),
                any =>
                {
                    int[] positions = new int[any.Tokens.Length];
                    for (int i = 1; i < positions.Length; i++)
                    {
                        positions[i] = positions[i - 1] + any.Tokens[i].Gap;
                    }

                    float[] importance = [.. any.Tokens.Select(token => token.Importance)];
                    float[] shared = [.. importance];
                    TokenSpans.Share(shared, positions, any.Length);
                    foreach (
                        IGrouping<int, int> span in Enumerable
                            .Range(0, shared.Length)
                            .GroupBy(i => positions[i] / any.Length)
                    )
                    {
                        double mean = Math.Log(span.Average(i => Math.Exp(importance[i])));
                        Assert.All(span, i => Assert.Equal(mean, shared[i], 1e-4));
                    }
                }
            )
        );

    [Fact]
    public void Large_importances_do_not_overflow()
    {
        float[] importance = [1000, 1000, -1000, 0];
        TokenSpans.Share(importance, [0, 1, 2, 3], 2);
        Assert.Equal([1000, 1000, -MathF.Log(2), -MathF.Log(2)], importance);
    }

    [Theory]
    [InlineData(32, 500, 32)]
    [InlineData(32, 127, 16)]
    [InlineData(32, 128, 32)]
    [InlineData(32, 3, 1)]
    [InlineData(32, -5, 1)]
    [InlineData(1, 500, 1)]
    public void Spans_are_shorter_where_little_is_kept(int most, int chosen, int expected) =>
        Assert.Equal(expected, TokenSpans.LengthFor(most, chosen));

    [Fact]
    public void A_span_without_tokens_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSpans.Share(new float[3], [0, 1, 2], 0));

    [Fact]
    public void A_token_without_a_position_is_refused() =>
        Assert.Throws<ArgumentException>(() => TokenSpans.Share(new float[3], [0, 1], 2));
}

using Foretoken.Profiles;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Profiles;

public class TokenSpansTests
{
    private static readonly Gen<(float[] Importance, int Length)> Any =
        from values in Gen.Choose(-400, 400).Select(x => x / 100f).ArrayOf()
        from length in Gen.Choose(1, 40)
        select (values, length);

    [Fact]
    public void Tokens_of_a_span_share_the_mean_of_what_their_logarithms_stand_for() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(500),
            Prop.ForAll(
                Any.ToArbitrary(),
                any =>
                {
                    float[] shared = [.. any.Importance];
                    TokenSpans.Share(shared, any.Length);
                    foreach (
                        (float[] before, float[] after) in any
                            .Importance.Chunk(any.Length)
                            .Zip(shared.Chunk(any.Length))
                    )
                    {
                        Assert.Single(after.Distinct());
                        Assert.Equal(before.Average(x => Math.Exp(x)), Math.Exp(after[0]), 1e-3 * Math.Exp(after[0]));
                        Assert.InRange(after[0], before.Min() - 1e-5f, before.Max() + 1e-5f);
                    }
                }
            )
        );

    [Fact]
    public void Large_importances_do_not_overflow()
    {
        float[] importance = [1000, 1000, -1000, 0];
        TokenSpans.Share(importance, 2);
        Assert.Equal([1000, 1000, -MathF.Log(2), -MathF.Log(2)], importance);
    }

    [Theory]
    [InlineData(32, 500, 32)]
    [InlineData(32, 100, 25)]
    [InlineData(32, 3, 1)]
    [InlineData(32, -5, 1)]
    [InlineData(1, 500, 1)]
    public void Spans_are_shorter_where_little_is_kept(int most, int chosen, int expected) =>
        Assert.Equal(expected, TokenSpans.LengthFor(most, chosen));

    [Fact]
    public void A_span_without_tokens_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSpans.Share(new float[3], 0));
}

using Foretoken.Profiles;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Profiles;

public class TokenSelectorTests
{
    private static readonly Gen<(float[] Importance, bool[] IsProtected, double Retention)> Any =
        from n in Gen.Choose(0, 400)
        // few values, so that ties are common
        from importance in Gen.Choose(-3, 12).Select(x => x / 4f).ArrayOf(n)
        from isProtected in Gen.Frequency((9, Gen.Constant(false)), (1, Gen.Constant(true))).ArrayOf(n)
        from retention in Gen.Choose(0, 1000).Select(x => x / 1000.0)
        select (importance, isProtected, retention);

    [Fact]
    public void Any_selection_is_that_of_the_reference() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(500),
            Prop.ForAll(
                Any.ToArbitrary(),
                any =>
                {
                    double[] importance = [.. any.Importance.Select(x => (double)x)];
                    Assert.Equal(
                        ReferenceImportance.Keep(importance, any.IsProtected, any.Retention),
                        TokenSelector.Select(any.Importance, any.IsProtected, any.Retention)
                    );
                }
            )
        );

    [Fact]
    public void The_first_four_the_last_32_and_the_protected_are_kept_whatever_is_asked()
    {
        bool[] isProtected = new bool[100];
        isProtected[50] = true;
        int[] kept = TokenSelector.Select(new float[100], isProtected, keep: 0);
        Assert.Equal([0, 1, 2, 3, 50, .. Enumerable.Range(68, 32)], kept);
    }

    [Fact]
    public void Not_a_number_counts_as_least_and_infinity_as_most()
    {
        float[] importance = new float[100];
        importance[10] = float.NaN;
        importance[11] = float.NegativeInfinity;
        importance[12] = float.PositiveInfinity;
        Assert.Contains(12, TokenSelector.Select(importance, [], keep: 37));
        Assert.DoesNotContain(10, TokenSelector.Select(importance, [], keep: 99));
        Assert.DoesNotContain(11, TokenSelector.Select(importance, [], keep: 98));
    }

    [Fact]
    public void Keeping_all_keeps_all() =>
        Assert.Equal(Enumerable.Range(0, 100), TokenSelector.Select(new float[100], [], keep: 100));

    [Fact]
    public void Arguments_that_do_not_fit_are_refused()
    {
        Assert.Throws<ArgumentException>(() => TokenSelector.Select(new float[10], new bool[9], keep: 5));
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], keep: 11));
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], keep: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            TokenSelector.Select(new float[10], [], retention: double.NaN)
        );
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], retention: 1.5));
    }
}

using Foretoken.Importance;
using Foretoken.Tests.Profiles;
using Foretoken.Tuning.Prompts;
using FsCheck;
using FsCheck.Fluent;

namespace Foretoken.Tests.Importance;

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

    private static readonly Gen<(int AtLeast, int AtMost, float Threshold)> AnyBounds =
        from a in Gen.Choose(0, 1000)
        from b in Gen.Choose(0, 1000)
        from threshold in Gen.Choose(-4, 13).Select(x => x / 4f)
        select (Math.Min(a, b), Math.Max(a, b), threshold);

    [Fact]
    public void A_threshold_keeps_what_passes_it_between_the_bounds_and_what_is_always_kept()
    {
        HashSet<SelectionBound> seen = [];
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(1000),
            Prop.ForAll(
                Any.Zip(AnyBounds).ToArbitrary(),
                both =>
                {
                    ((float[] importance, bool[] isProtected, _), (int least, int most, float threshold)) = both;
                    int n = importance.Length;
                    int atLeast = least * n / 1000;
                    int atMost = most * n / 1000;
                    int[] kept = TokenSelector.Select(
                        importance,
                        isProtected,
                        atLeast,
                        atMost,
                        threshold,
                        out SelectionBound bound
                    );

                    int[] always = [.. Enumerable.Range(0, n).Where(i => IsAlwaysKept(i, isProtected))];
                    int[] passing =
                    [
                        .. Enumerable
                            .Range(0, n)
                            .Where(i => importance[i] >= threshold || IsAlwaysKept(i, isProtected)),
                    ];
                    Assert.Superset(always.ToHashSet(), kept.ToHashSet());
                    Assert.InRange(kept.Length, atLeast, Math.Max(atMost, always.Length));
                    // the very tokens of the fixed shares at either bound
                    Assert.Superset(
                        TokenSelector.Select(importance, isProtected, atLeast).ToHashSet(),
                        kept.ToHashSet()
                    );
                    Assert.Subset(TokenSelector.Select(importance, isProtected, atMost).ToHashSet(), kept.ToHashSet());
                    if (passing.Length >= atLeast && passing.Length <= atMost)
                    {
                        Assert.Equal(passing, kept);
                    }

                    seen.Add(bound);
                    Assert.Equal(
                        kept.Length == n ? SelectionBound.AllTokens
                            : atLeast == atMost ? SelectionBound.Share
                            : passing.Length < atLeast ? SelectionBound.LowerBound
                            : passing.Length > atMost ? SelectionBound.UpperBound
                            : SelectionBound.Threshold,
                        bound
                    );
                }
            )
        );
        Assert.Equal(Enum.GetValues<SelectionBound>().ToHashSet(), seen);
    }

    [Fact]
    public void A_higher_threshold_and_tighter_bounds_keep_a_part_of_what_lower_ones_keep() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(500),
            Prop.ForAll(
                Any.Zip(AnyBounds.Two()).ToArbitrary(),
                all =>
                {
                    ((float[] importance, bool[] isProtected, _), (var a, var b)) = all;
                    HashSet<int> Kept(int least, int most, float threshold) =>
                        [
                            .. TokenSelector.Select(
                                importance,
                                isProtected,
                                least * importance.Length / 1000,
                                most * importance.Length / 1000,
                                threshold,
                                out _
                            ),
                        ];
                    HashSet<int> fewer = Kept(
                        Math.Min(a.AtLeast, b.AtLeast),
                        Math.Min(a.AtMost, b.AtMost),
                        Math.Max(a.Threshold, b.Threshold)
                    );
                    HashSet<int> more = Kept(
                        Math.Max(a.AtLeast, b.AtLeast),
                        Math.Max(a.AtMost, b.AtMost),
                        Math.Min(a.Threshold, b.Threshold)
                    );
                    Assert.Subset(more, fewer);
                }
            )
        );

    [Fact]
    public void Without_a_threshold_the_share_counts()
    {
        float[] importance = [.. Enumerable.Range(0, 100)];
        int[] kept = TokenSelector.Select(importance, [], 40, 60, threshold: null, out SelectionBound bound);
        Assert.Equal(60, kept.Length);
        Assert.Equal(SelectionBound.Share, bound);
    }

    [Fact]
    public void Not_a_number_passes_no_threshold()
    {
        float[] importance = new float[100];
        Array.Fill(importance, float.NaN);
        int[] kept = TokenSelector.Select(importance, [], 0, 100, float.NegativeInfinity, out SelectionBound bound);
        Assert.Equal(36, kept.Length);
        Assert.Equal(SelectionBound.Threshold, bound);
    }

    private static bool IsAlwaysKept(int i, bool[] isProtected) =>
        i < 4 || i >= isProtected.Length - 32 || isProtected[i];

    [Fact]
    public void Arguments_that_do_not_fit_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], 6, 5, 0f, out _));
        Assert.Throws<ArgumentException>(() => TokenSelector.Select(new float[10], new bool[9], keep: 5));
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], keep: 11));
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], keep: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            TokenSelector.Select(new float[10], [], retention: double.NaN)
        );
        Assert.Throws<ArgumentOutOfRangeException>(() => TokenSelector.Select(new float[10], [], retention: 1.5));
    }
}

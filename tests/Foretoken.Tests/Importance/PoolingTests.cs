using Foretoken.Importance;
using Foretoken.Tests.Profiles;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Importance;

public class PoolingTests
{
    [Fact]
    public void Ends_are_mirrored_with_the_outermost_value_repeated()
    {
        float[] pooled = new float[4];
        Pooling.Mean([1, 2, 3, 4], pooled, 5);
        // b a a b c | a a b c d ... : (2 + 1 + 1 + 2 + 3) / 5 first
        Assert.Equal([9 / 5f, 11 / 5f, 14 / 5f, 16 / 5f], pooled);
    }

    [Theory]
    [InlineData(1, 15)]
    [InlineData(3, 31)]
    [InlineData(7, 7)]
    [InlineData(100, 1)]
    [InlineData(100, 31)]
    [InlineData(2000, 15)]
    public void Any_width_over_any_length_is_that_of_the_reference(int length, int width)
    {
        Random random = new(length);
        float[] source = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle())];
        float[] pooled = new float[length];
        Pooling.Mean(source, pooled, width);
        double[] expected = ReferenceImportance.Pool([.. source.Select(x => (double)x)], width);
        for (int i = 0; i < length; i++)
        {
            Assert.Equal(expected[i], pooled[i], 1e-6);
        }
    }

    [Fact]
    public void Even_widths_have_no_middle_and_are_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Pooling.Mean([1, 2], new float[2], 4));

    [Fact]
    public void Nothing_pools_to_nothing() => Pooling.Mean([], [], 7);
}

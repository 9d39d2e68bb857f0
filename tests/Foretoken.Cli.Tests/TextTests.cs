using Foretoken.Planning;

namespace Foretoken.Cli.Tests;

public sealed class TextTests
{
    [Fact]
    public void A_plan_is_written_as_layer_at_retention()
    {
        PrefillPlan plan = PlanText.Parse(" 4@0.6, 8@0.35,12@0.2 ");

        Assert.Equal([new PlanBoundary(4, 0.6), new(8, 0.35), new(12, 0.2)], plan.Boundaries);
        Assert.Equal("4@0.6,8@0.35,12@0.2", PlanText.Format(plan));
    }

    [Fact]
    public void A_plan_with_a_threshold_is_written_with_both_shares()
    {
        PrefillPlan plan = PlanText.Parse("4@0.3..0.6, 8@0.2");

        Assert.Equal([new PlanBoundary(4, 0.6) { MinRetention = 0.3 }, new(8, 0.2)], plan.Boundaries);
        Assert.Equal("4@0.3..0.6,8@0.2", PlanText.Format(plan));
    }

    [Theory]
    [InlineData("")]
    [InlineData("3@0.5..0.2")]
    [InlineData("3@..0.2")]
    [InlineData("3@0.1..0.2..0.3")]
    [InlineData("3")]
    [InlineData("3@")]
    [InlineData("3@x")]
    [InlineData("x@0.5")]
    [InlineData("-3@0.5")]
    [InlineData("0@0.5")]
    [InlineData("3@0")]
    [InlineData("3@1.5")]
    [InlineData("3@NaN")]
    [InlineData("3@0.5,2@0.2")]
    [InlineData("3@0.5,4@0.6")]
    public void What_is_no_plan_is_refused_with_a_reason(string text)
    {
        string message = Assert.Throws<CliException>(() => PlanText.Parse(text)).Message;

        Assert.DoesNotContain("Parameter", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1000000", 1_000_000)]
    [InlineData("45MB", 45_000_000)]
    [InlineData("45 mb", 45_000_000)]
    [InlineData("512MiB", 512L << 20)]
    [InlineData("1.5GiB", 3L << 29)]
    [InlineData("7B", 7)]
    public void Sizes_have_units(string text, long bytes) => Assert.Equal(bytes, ByteSize.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("MB")]
    [InlineData("-5MB")]
    [InlineData("many")]
    [InlineData("1e400")]
    [InlineData("0")]
    public void What_is_no_size_is_refused(string text) => Assert.Throws<CliException>(() => ByteSize.Parse(text));
}

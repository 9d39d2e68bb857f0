using Foretoken.Cli.Console;
using Foretoken.Cli.Plan;
using Foretoken.Cli.Scale;
using Foretoken.Plans;
using Foretoken.Tuning.Prompts;

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

    [Fact]
    public void A_plan_names_the_layers_to_skip_alone_or_beside_boundaries()
    {
        PrefillPlan skips = PlanText.Parse("skip:26, 25");
        Assert.Empty(skips.Boundaries);
        Assert.Equal([new LayerSkip(25), new(26)], skips.Skips);
        Assert.Equal("skip:25,26", PlanText.Format(skips));

        PrefillPlan both = PlanText.Parse("5@0.4 + skip-ffn:3 + skip:25 + skip-attn:17,14");
        Assert.Equal([new PlanBoundary(5, 0.4)], both.Boundaries);
        Assert.Equal(
            [
                new LayerSkip(3, LayerPart.FeedForward),
                new(14, LayerPart.Attention),
                new(17, LayerPart.Attention),
                new(25),
            ],
            both.Skips
        );
        Assert.Equal("5@0.4+skip:25+skip-attn:14,17+skip-ffn:3", PlanText.Format(both));
        Assert.Null(PlanText.FormatOrNull(PrefillPlan.KeepAll));
    }

    [Theory]
    [InlineData("route:2@10", LayerPart.Block)]
    [InlineData("route-attn:2@10", LayerPart.Attention)]
    [InlineData("route-ffn:2@10", LayerPart.FeedForward)]
    public void A_plan_leaves_a_number_of_skips_to_the_prompt(string text, LayerPart part)
    {
        PrefillPlan plan = PlanText.Parse("5@0.4+" + text);

        Assert.Equal(new SkipRouting(10, 2, part), plan.Routing);
        Assert.Equal("5@0.4+" + text, PlanText.Format(plan));
    }

    [Theory]
    [InlineData("prefill-only:20")]
    [InlineData("4@0.5+prefill-only:20")]
    [InlineData("4@0.6,8@0.35+prefill-only:20+skip:25+skip-attn:14")]
    [InlineData("20@0.5+prefill-only:20+route:2@10")]
    public void Plans_say_from_where_on_pruning_is_prefill_only(string text)
    {
        PrefillPlan plan = PlanText.Parse(text);

        Assert.Equal(20, plan.PrefillOnlyFrom);
        Assert.Equal(text, PlanText.Format(plan));
        Assert.Equal(plan, PlanText.Parse(" " + text.ToUpperInvariant().Replace("+", " + ", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("+")]
    [InlineData("skip:")]
    [InlineData("skip:x")]
    [InlineData("skip:25,-1")]
    [InlineData("skip:25,25")]
    [InlineData("skip:25+skip:25")]
    [InlineData("skip:25+skip-attn:25")]
    [InlineData("skip:25+route:1@10")]
    [InlineData("route:1@10+route-attn:1@10")]
    [InlineData("route:10")]
    [InlineData("route:0@10")]
    [InlineData("route:1@0")]
    [InlineData("route:x@1")]
    [InlineData("5@0.4+skip")]
    [InlineData("prefill-only")]
    [InlineData("prefill-only:")]
    [InlineData("prefill-only:x")]
    [InlineData("prefill-only:0")]
    [InlineData("prefill-only:-3")]
    [InlineData("prefill-only:20,21")]
    [InlineData("prefill-only:20+prefill-only:20")]
    [InlineData("5@0.4,21@0.2+prefill-only:20")]
    [InlineData("route:2@21+prefill-only:20")]
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
    [InlineData("-1,5MB")]
    public void What_is_no_size_is_refused(string text) => Assert.Throws<CliException>(() => ByteSize.Parse(text));

    [Theory]
    [InlineData("1,5GB", "write 1.5GB.")]
    [InlineData("45,5 MB", "write 45.5 MB.")]
    [InlineData("1,000,000", "write 1000000.")]
    public void A_size_with_a_comma_is_refused_with_what_to_write(string text, string advice) =>
        Assert.Contains(
            advice,
            Assert.Throws<CliException>(() => ByteSize.Parse(text)).Message,
            StringComparison.Ordinal
        );

    [Theory]
    [InlineData("3@0,25")]
    [InlineData("3@0,1..0,25")]
    public void A_share_with_a_comma_is_no_plan_and_the_error_shows_a_point(string text) =>
        Assert.Contains(
            "a point: 0.25",
            Assert.Throws<CliException>(() => PlanText.Parse(text)).Message,
            StringComparison.Ordinal
        );

    [Fact]
    public void A_figure_with_a_comma_is_refused_with_what_to_write() =>
        Assert.Contains(
            "write tflops=27.5.",
            Assert.Throws<CliException>(() => Hardware.Parse("tflops=27,5,bandwidth=800,memory=192")).Message,
            StringComparison.Ordinal
        );
}

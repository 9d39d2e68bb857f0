using Foretoken.Cli.Pages;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests;

public sealed class PlotScaleTests
{
    [Fact]
    public void Ticks_are_round_and_inside()
    {
        PlotScale scale = new(0.93, 3.1, 0, 100);

        Assert.Equal([1, 1.5, 2, 2.5, 3], scale.Ticks(5));
        Assert.Equal(0, scale[0.93], 9);
        Assert.Equal(100, scale[3.1], 9);
    }

    [Fact]
    public void On_a_logarithmic_scale_equal_distances_are_equal_ratios()
    {
        PlotScale scale = new(100, 10_000, 0, 200, IsLogarithmic: true);

        Assert.Equal(scale[200] - scale[100], scale[10_000] - scale[5_000], 9);
        Assert.Equal([100, 200, 500, 1_000, 2_000, 5_000, 10_000], scale.Ticks(3).Select(tick => Math.Round(tick)));
    }
}

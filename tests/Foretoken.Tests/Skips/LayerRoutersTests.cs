using Foretoken.Plans;
using Foretoken.Skips;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Skips;

public class LayerRoutersTests
{
    private static readonly SkipRouting Two = new(4, 2, LayerPart.Attention);

    // one feature per layer: the logit of a layer is the prompt's mean of that feature
    private static readonly LayerRouters Routers = new([
        new SkipRouter(Two, [5, 7, 9], (float[])[1, 0, 0, 0, 1, 0, 0, 0, 1], (float[])[0, 0, 0]),
    ]);

    [Fact]
    public void The_lowest_logits_are_skipped()
    {
        IReadOnlyList<LayerSkip> skips = Routers.Route(Two, [0, 5, 1], 1);

        Assert.Equal([new LayerSkip(5, LayerPart.Attention), new(9, LayerPart.Attention)], skips);
    }

    [Fact]
    public void Every_token_of_the_prompt_counts_the_same_whatever_its_length_in_the_residual_stream()
    {
        // the second token is as long as 100 of the first, and its opposite: the mean is undecided, the lower layers go
        Assert.Equal([5, 7], Routers.Route(Two, [0, 1, -1, 0, -100, 100], 2).Select(skip => skip.Layer));
        // two against one
        Assert.Equal([5, 9], Routers.Route(Two, [0, 1, -1, 0, -100, 100, 0, 1, -1], 3).Select(skip => skip.Layer));
    }

    [Fact]
    public void Routers_for_the_number_asked_for_go_before_those_for_a_larger_one()
    {
        SkipRouter Only(int count, int layer) =>
            new(new SkipRouting(4, count, LayerPart.Block), [layer, layer + 1, layer + 2], new float[9], new float[3]);
        LayerRouters routers = new([Only(3, 20), Only(1, 10)]);

        Assert.Equal(10, routers.Find(new(4, 1, LayerPart.Block)).Layers[0]);
        Assert.Equal(20, routers.Find(new(4, 2, LayerPart.Block)).Layers[0]);
    }

    [Fact]
    public void Without_weights_the_biases_choose_whatever_the_prompt()
    {
        LayerRouters routers = new([new SkipRouter(Two, [5, 7, 9], default, (float[])[1, -1, -1])]);

        Assert.Equal([7, 9], routers.Route(Two, [0, 5, 1], 1).Select(skip => skip.Layer));
        Assert.Equal([7, 9], routers.Route(Two, [5, 0, 1, 2], 2).Select(skip => skip.Layer));
    }

    [Theory]
    [InlineData(5, 1, LayerPart.Attention)]
    [InlineData(4, 1, LayerPart.Block)]
    [InlineData(4, 4, LayerPart.Attention)]
    public void What_was_not_learned_is_refused_and_the_message_says_what_was(int layer, int count, LayerPart part)
    {
        string message = Assert
            .Throws<ArgumentException>(() => Routers.Route(new(layer, count, part), [0, 5, 1], 1))
            .Message;

        Assert.Contains(
            part == LayerPart.Attention && layer == 4 ? "3 layers" : $"{Two}",
            message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_residual_stream_of_another_width_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Routers.Route(Two, [0, 5, 1, 2], 1));
        Assert.Throws<ArgumentException>(() => Routers.Route(Two, [0, 5, 1], 2));
        Assert.Throws<ArgumentException>(() => new LayerRouters([]));
        Assert.Throws<ArgumentException>(() =>
            new LayerRouters([new SkipRouter(Two, [5, 7], (float[])[1, 2, 3], (float[])[0, 0])])
        );
    }
}

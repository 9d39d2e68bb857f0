using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Foretoken.Plans;

/// <summary>
/// Leaves it to the prompt which parts of layers the sequence does without (FiRST, arXiv 2410.12513): in front of a layer, the
/// routers of the model's profile choose those at or above it that this prompt needs least.
/// </summary>
/// <param name="Layer">The routers read the residual stream in front of this layer; at least 1.</param>
/// <param name="Count">How many parts they choose; at least 1.</param>
/// <param name="Part">What is left out of each of the layers.</param>
/// <remarks>Experimental: see docs/experimental/FTK0001.md.</remarks>
[Experimental("FTK0001")]
public sealed record SkipRouting(int Layer, int Count, LayerPart Part)
{
    /// <summary>For people, for example <c>4 attention sublayers from layer 8 on, chosen by the prompt</c>.</summary>
    public override string ToString()
    {
        string what = Part switch
        {
            LayerPart.Block => "block",
            LayerPart.Attention => "attention sublayer",
            _ => "feed-forward sublayer",
        };
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Count} {what}{(Count == 1 ? "" : "s")} from layer {Layer} on, chosen by the prompt"
        );
    }
}

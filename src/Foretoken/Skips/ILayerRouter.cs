using Foretoken.Plans;

namespace Foretoken.Skips;

/// <summary>
/// Chooses, for one prompt, the parts of layers that its sequence does without (FiRST, arXiv 2410.12513).
/// Implementations are thread-safe.
/// </summary>
internal interface ILayerRouter
{
    /// <summary>Chooses what the sequence does without. Called once per prompt, in the middle of its prefill.</summary>
    /// <param name="routing">Where the routers read, and how many parts of which kind are chosen.</param>
    /// <param name="residual">
    /// The residual stream in front of layer <see cref="SkipRouting.Layer"/>, [<paramref name="tokens"/>, embedding] row-major,
    /// of the new tokens that arrived there. Valid during the call only.
    /// </param>
    /// <param name="tokens">The tokens that arrived, at least 1.</param>
    /// <returns>
    /// At most <see cref="SkipRouting.Count"/> different skips of <see cref="SkipRouting.Part"/>, each of a layer at or above
    /// <see cref="SkipRouting.Layer"/> and possible in the model (<see cref="LayerSkip.IsPossible"/>).
    /// </returns>
    IReadOnlyList<LayerSkip> Route(SkipRouting routing, ReadOnlySpan<float> residual, int tokens);
}

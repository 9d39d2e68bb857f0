using Foretoken.Plans;

namespace Foretoken.Skips;

/// <summary>
/// The routers of one kind of skip: per candidate layer a linear function of the prompt whose sigmoid tells whether the prompt
/// needs the layer. Immutable.
/// </summary>
/// <param name="Routing">Where they read, how many parts they were trained to choose, and which.</param>
/// <param name="Layers">The candidate layers, ascending, at or above <see cref="SkipRouting.Layer"/>.</param>
/// <param name="Weights">[layers, embedding] row-major; empty where nothing was learned from prompts, and the biases alone choose.</param>
/// <param name="Biases">[layers].</param>
internal sealed record SkipRouter(
    SkipRouting Routing,
    IReadOnlyList<int> Layers,
    ReadOnlyMemory<float> Weights,
    ReadOnlyMemory<float> Biases
);

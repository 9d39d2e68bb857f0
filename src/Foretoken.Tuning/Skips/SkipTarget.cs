using Foretoken.Plans;

namespace Foretoken.Tuning.Skips;

/// <summary>One kind of skip to learn.</summary>
/// <param name="Part">What is left out of a layer.</param>
/// <param name="Counts">Numbers of skips for which sets and routers are made, ascending.</param>
/// <param name="Candidates">Layers to choose from at most: those that the model needs least; at least the largest count.</param>
internal sealed record SkipTarget(LayerPart Part, IReadOnlyList<int> Counts, int Candidates);

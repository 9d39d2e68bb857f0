using Foretoken.Importance;

namespace Foretoken.Tuning.Importance;

/// <summary>What was fitted for one boundary; the parts are those of <see cref="ImportancePredictor"/>.</summary>
internal sealed record ImportanceWeights(int Layer, float[] Matches, float[] Attention, float[] Residual);

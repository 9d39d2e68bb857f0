namespace Foretoken.Tuning;

/// <summary>What was fitted for one boundary; the parts are those of <see cref="Profiles.ImportancePredictor"/>.</summary>
internal sealed record ImportanceWeights(int Layer, float[] Matches, float[] Attention, float[] Residual);

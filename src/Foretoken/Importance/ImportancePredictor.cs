namespace Foretoken.Importance;

/// <summary>
/// What was learned for one boundary: the weights by which the attention that a token receives in the layers below, its
/// residual stream and what it repeats add up to its importance, and a network whose output is added. Immutable and thread-safe.
/// </summary>
/// <param name="Layer">The boundary: tokens leave in front of this layer; at least 1.</param>
/// <param name="AttentionWeights">
/// Weights of the attention features, [<paramref name="Layer"/>, sources, pools, heads] row-major, see
/// <see cref="AttentionFeatures"/>; empty when they are not read.
/// </param>
/// <param name="ResidualWeights">
/// Weights of the residual stream in front of <paramref name="Layer"/>, layer-normalised (no gain, no bias), [embedding];
/// empty when it is not read.
/// </param>
/// <param name="Threshold">
/// Importance, centred per prompt, from which a token is worth keeping (LTP, arXiv 2107.00910); null when none was learned.
/// </param>
/// <param name="Correlation">
/// Correlation of predicted and true importance within a prompt, averaged over prompts that were held out from the fit; NaN
/// when none were.
/// </param>
internal sealed record ImportancePredictor(
    int Layer,
    ReadOnlyMemory<float> AttentionWeights,
    ReadOnlyMemory<float> ResidualWeights,
    float? Threshold,
    double Correlation
)
{
    /// <summary>
    /// Reads the residual stream in front of <see cref="Layer"/>; what it gives is added to the weighted sums.
    /// <see langword="null"/> when none was learned.
    /// </summary>
    public ResidualNetwork? Network { get; init; }

    /// <summary>
    /// Weights of the tokens that occur again, [sources, pools] row-major, see <see cref="MatchFeatures"/>; empty (the default)
    /// when they are not read.
    /// </summary>
    public ReadOnlyMemory<float> MatchWeights { get; init; }
}

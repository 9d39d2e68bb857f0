using System.Numerics.Tensors;

namespace Foretoken.Importance;

/// <summary>
/// What a skim predictor (Transkimmer, arXiv 2205.07324) reads: a token's residual stream in front of the boundary, normalised
/// to mean 0 and variance 1 over its width.
/// </summary>
internal static class ResidualFeatures
{
    private const double Epsilon = 1e-5;

    /// <summary>Normalises one token's residual stream.</summary>
    /// <param name="residual">[embedding].</param>
    /// <param name="features">[embedding]; may be the same span.</param>
    internal static void Compute(ReadOnlySpan<float> residual, Span<float> features)
    {
        float mean = TensorPrimitives.Sum(residual) / residual.Length;
        TensorPrimitives.Subtract(residual, mean, features);
        double variance = TensorPrimitives.SumOfSquares(features) / (double)features.Length;
        TensorPrimitives.Multiply(features, (float)(1 / Math.Sqrt(variance + Epsilon)), features);
    }
}

using System.Numerics.Tensors;
using Foretoken.Importance;

namespace Foretoken.Skips;

/// <summary>
/// What a router reads of a prompt: the mean over its tokens of the residual stream in front of a layer, each token's normalised
/// to mean 0 and variance 1 over its width.
/// </summary>
internal static class PromptFeatures
{
    /// <summary>Computes them.</summary>
    /// <param name="residual">[<paramref name="tokens"/>, embedding] row-major.</param>
    /// <param name="tokens">The tokens, at least 1.</param>
    /// <returns>[embedding].</returns>
    /// <exception cref="ArgumentException">The residual stream is not one of as many tokens.</exception>
    internal static float[] Compute(ReadOnlySpan<float> residual, int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        int width = residual.Length / tokens;
        if (width == 0 || (long)width * tokens != residual.Length)
        {
            throw new ArgumentException(
                $"{residual.Length} numbers are no residual stream of {tokens} tokens.",
                nameof(residual)
            );
        }

        float[] token = new float[width];
        double[] sum = new double[width];
        for (int i = 0; i < tokens; i++)
        {
            ResidualFeatures.Compute(residual.Slice(i * width, width), token);
            for (int j = 0; j < width; j++)
            {
                sum[j] += token[j];
            }
        }

        float[] mean = new float[width];
        for (int j = 0; j < width; j++)
        {
            mean[j] = (float)(sum[j] / tokens);
        }

        return mean;
    }

    /// <summary>A router's logit: above 0 the sigmoid is above 0.5, and the prompt keeps the layer.</summary>
    internal static float Logit(ReadOnlySpan<float> features, ReadOnlySpan<float> weights, float bias) =>
        TensorPrimitives.Dot(features, weights) + bias;
}

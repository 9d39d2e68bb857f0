using System.Numerics.Tensors;

namespace Foretoken.Importance;

/// <summary>
/// A skim predictor (Transkimmer, arXiv 2205.07324): tells how important a token is from its residual stream in front of a
/// boundary, <c>w2 . gelu(W1 (gain * norm(x) + bias) + b1) + b2</c>, with <c>norm(x)</c> of mean 0 and variance 1 and the
/// approximation <c>gelu(z) = z * sigmoid(1.702 z)</c> (arXiv 1606.08415).
/// </summary>
/// <remarks>Immutable and thread-safe.</remarks>
internal sealed class ResidualNetwork
{
    private const float GeluScale = 1.702f;

    private readonly float[] _weights;

    // gain and bias do not depend on the token: they are part of the first layer here, W1 [hidden, embedding] and b1 [hidden]
    private readonly float[] _firstWeights;
    private readonly float[] _firstBias;

    /// <summary>A predictor with the given weights, which are copied.</summary>
    /// <param name="embeddingSize">Width of the residual stream, at least 1.</param>
    /// <param name="hiddenSize">Width of the hidden layer, at least 1.</param>
    /// <param name="weights">
    /// gain [embedding], bias [embedding], W1 [hidden, embedding] row-major, b1 [hidden], w2 [hidden], b2 [1], one behind the
    /// other: <see cref="WeightCount"/> finite numbers.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">A width is below 1.</exception>
    /// <exception cref="ArgumentException">The number of weights does not fit the widths, or a weight is not finite.</exception>
    public ResidualNetwork(int embeddingSize, int hiddenSize, ReadOnlySpan<float> weights)
    {
        int count = WeightCount(embeddingSize, hiddenSize);
        if (weights.Length != count)
        {
            throw new ArgumentException(
                $"A skim predictor of {embeddingSize} x {hiddenSize} has {count} weights, not {weights.Length}.",
                nameof(weights)
            );
        }

        if (!TensorPrimitives.IsFiniteAll(weights))
        {
            throw new ArgumentException("The weights must be finite numbers.", nameof(weights));
        }

        EmbeddingSize = embeddingSize;
        HiddenSize = hiddenSize;
        _weights = weights.ToArray();

        ReadOnlySpan<float> gain = weights[..embeddingSize];
        ReadOnlySpan<float> bias = weights.Slice(embeddingSize, embeddingSize);
        ReadOnlySpan<float> first = weights.Slice(2 * embeddingSize, hiddenSize * embeddingSize);
        ReadOnlySpan<float> firstBias = weights.Slice((2 + hiddenSize) * embeddingSize, hiddenSize);
        _firstWeights = new float[first.Length];
        _firstBias = new float[hiddenSize];
        for (int i = 0; i < hiddenSize; i++)
        {
            ReadOnlySpan<float> row = first.Slice(i * embeddingSize, embeddingSize);
            TensorPrimitives.Multiply(row, gain, _firstWeights.AsSpan(i * embeddingSize, embeddingSize));
            _firstBias[i] = firstBias[i] + TensorPrimitives.Dot(row, bias);
        }
    }

    /// <summary>Width of the residual stream.</summary>
    public int EmbeddingSize { get; }

    /// <summary>Width of the hidden layer.</summary>
    public int HiddenSize { get; }

    /// <summary>The weights, as given to the constructor.</summary>
    public ReadOnlyMemory<float> Weights => _weights;

    private ReadOnlySpan<float> SecondWeights => _weights.AsSpan(_weights.Length - HiddenSize - 1, HiddenSize);

    /// <summary>Number of weights of a predictor.</summary>
    /// <param name="embeddingSize">Width of the residual stream, at least 1.</param>
    /// <param name="hiddenSize">Width of the hidden layer, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A width is below 1.</exception>
    public static int WeightCount(int embeddingSize, int hiddenSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(embeddingSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(hiddenSize, 1);
        return checked((2 * embeddingSize) + (hiddenSize * embeddingSize) + (2 * hiddenSize) + 1);
    }

    /// <summary>A predictor whose hidden layer is as wide as its number of weights says.</summary>
    /// <exception cref="ArgumentException">The number of weights is none of a predictor of this width, or a weight is not finite.</exception>
    internal static ResidualNetwork FromWeights(int embeddingSize, ReadOnlySpan<float> weights)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(embeddingSize, 1);
        int hiddenSize = (int)((weights.Length - 1L - (2L * embeddingSize)) / (embeddingSize + 2L));
        return new ResidualNetwork(embeddingSize, Math.Max(1, hiddenSize), weights);
    }

    /// <summary>Computes the importance of tokens.</summary>
    /// <param name="residual">Their residual stream in front of the boundary, [tokens, embedding] row-major.</param>
    /// <param name="importance">Receives one number per token, [tokens].</param>
    /// <exception cref="ArgumentException">The residual stream is not one of as many tokens of this width.</exception>
    public void Evaluate(ReadOnlySpan<float> residual, Span<float> importance)
    {
        if (residual.Length != (long)importance.Length * EmbeddingSize)
        {
            throw new ArgumentException(
                $"{importance.Length} tokens of width {EmbeddingSize} have {(long)importance.Length * EmbeddingSize} numbers, not {residual.Length}.",
                nameof(residual)
            );
        }

        ReadOnlySpan<float> second = SecondWeights;
        float[] features = new float[EmbeddingSize];
        float[] hidden = new float[HiddenSize];
        float[] gate = new float[HiddenSize];
        for (int token = 0; token < importance.Length; token++)
        {
            ResidualFeatures.Compute(residual.Slice(token * EmbeddingSize, EmbeddingSize), features);
            for (int i = 0; i < hidden.Length; i++)
            {
                ReadOnlySpan<float> row = _firstWeights.AsSpan(i * EmbeddingSize, EmbeddingSize);
                hidden[i] = TensorPrimitives.Dot(row, features) + _firstBias[i];
            }

            TensorPrimitives.Multiply(hidden, GeluScale, gate);
            TensorPrimitives.Sigmoid(gate, gate);
            TensorPrimitives.Multiply(hidden, gate, hidden);
            importance[token] = TensorPrimitives.Dot(second, hidden) + _weights[^1];
        }
    }
}

using System.Runtime.CompilerServices;

namespace Foretoken.Plans;

/// <summary>The sizes of a Llama-family model that decide what a prefill costs. Immutable.</summary>
internal sealed record ModelShape
{
    private readonly int _layerCount;
    private readonly int _embeddingSize;
    private readonly int _headCount;
    private readonly int _kvHeadCount;
    private readonly int _headSize;
    private readonly int _feedForwardSize;
    private readonly int _vocabularySize;

    /// <summary>Transformer layers.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public required int LayerCount
    {
        get => _layerCount;
        init => _layerCount = Positive(value);
    }

    /// <summary>Width of the residual stream.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public required int EmbeddingSize
    {
        get => _embeddingSize;
        init => _embeddingSize = Positive(value);
    }

    /// <summary>Attention heads per layer.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public required int HeadCount
    {
        get => _headCount;
        init => _headCount = Positive(value);
    }

    /// <summary>Heads of keys and values per layer.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public required int KvHeadCount
    {
        get => _kvHeadCount;
        init => _kvHeadCount = Positive(value);
    }

    /// <summary>Width of one head. Default: <see cref="EmbeddingSize"/> / <see cref="HeadCount"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int HeadSize
    {
        get => _headSize > 0 ? _headSize : Math.Max(1, EmbeddingSize / HeadCount);
        init => _headSize = Positive(value);
    }

    /// <summary>Inner width of the (gated) feed-forward block; of a mixture of experts, summed over the active experts.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public required int FeedForwardSize
    {
        get => _feedForwardSize;
        init => _feedForwardSize = Positive(value);
    }

    /// <summary>Tokens of the vocabulary.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public required int VocabularySize
    {
        get => _vocabularySize;
        init => _vocabularySize = Positive(value);
    }

    /// <summary>Width of all queries of a layer.</summary>
    public int QuerySize => HeadCount * HeadSize;

    /// <summary>Width of all keys, and of all values, of a layer.</summary>
    public int KvSize => KvHeadCount * HeadSize;

    private static int Positive(int value, [CallerMemberName] string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value, name);
        return value;
    }
}

using Foretoken.Errors;

namespace Foretoken.Sessions;

/// <summary>How a session's context is created. All of it is fixed once the session exists.</summary>
public sealed class SessionOptions
{
    private int _contextSize;
    private int _batchSize = 2048;
    private int _ubatchSize = 512;
    private int _threads;
    private int _batchThreads;

    /// <summary>The most threads that a session computes with: as many as ggml can number.</summary>
    public const int MaxThreads = 512;

    /// <summary>The most tokens of a context, a batch or a graph; memory ends far below.</summary>
    internal const int MaxTokens = 1 << 30;

    /// <summary>
    /// Tokens that the context holds, prompt and answer together. Default 0: the smaller of the model's training context
    /// and 8,192.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or above 1,073,741,824.</exception>
    public int ContextSize
    {
        get => _contextSize;
        set => _contextSize = OptionCheck.Between(value, 0, MaxTokens);
    }

    /// <summary>Tokens per chunk of a prefill; cancellation and progress come between chunks. Default 2,048.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive, or above 1,073,741,824.</exception>
    public int BatchSize
    {
        get => _batchSize;
        set => _batchSize = OptionCheck.Between(value, 1, MaxTokens);
    }

    /// <summary>Tokens per computed graph (ubatch); at most <see cref="BatchSize"/>. Default 512.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive, or above 1,073,741,824.</exception>
    public int UBatchSize
    {
        get => _ubatchSize;
        set => _ubatchSize = OptionCheck.Between(value, 1, MaxTokens);
    }

    /// <summary>Threads that decode. Default 0: one per core.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or above <see cref="MaxThreads"/>.</exception>
    public int Threads
    {
        get => _threads;
        set => _threads = OptionCheck.Between(value, 0, MaxThreads);
    }

    /// <summary>Threads that prefill. Default 0: as many as <see cref="Threads"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, or above <see cref="MaxThreads"/>.</exception>
    public int BatchThreads
    {
        get => _batchThreads;
        set => _batchThreads = OptionCheck.Between(value, 0, MaxThreads);
    }

    /// <summary>Number format of the KV cache. Default <see cref="KvCacheType.F16"/>.</summary>
    public KvCacheType KvCacheType { get; set; }

    /// <summary>Whether attention is fused. Default <see cref="FlashAttentionMode.Auto"/>.</summary>
    public FlashAttentionMode FlashAttention { get; set; }

    /// <summary>Keep the KV cache on the GPU when layers are there. Default true.</summary>
    public bool OffloadKvCache { get; set; } = true;

    /// <summary>
    /// Whether prefill can be staged. Default null: staged where the model can be, plain where it cannot (the report then
    /// says why nothing was thinned). True: an <see cref="UnsupportedModelException"/> where it cannot. False: a stock
    /// llama.cpp context, without staging.
    /// </summary>
    public bool? Staged { get; set; }

    /// <summary>
    /// Whether a passage that upper layers dropped is brought back when the answer begins to quote it. Default true. Without it
    /// a thinned prompt cannot be quoted where it was thinned. The time to first token is not touched; a token that comes back
    /// costs about as much as one of plain prefill, at most once, so that all of them cost no more than what the thinned
    /// prefill saved.
    /// </summary>
    /// <remarks>
    /// Two tokens in a row that the answer has in common with at most eight places of the prompt are a quotation; up to eight
    /// tokens behind one or two places come back, fewer behind each of more, and others as it goes on. Where the context has no room for them, the answer goes on without.
    /// Bringing dropped tokens back while answering is what LazyLLM (arXiv 2407.14057) calls revival.
    /// </remarks>
    public bool RestoreQuotes { get; set; } = true;

    internal SessionOptions Clone() => (SessionOptions)MemberwiseClone();
}

using Foretoken.Errors;
using Foretoken.Sessions;

namespace Foretoken.Tuning.Quality;

/// <summary>Settings of a <see cref="QualityEvaluator"/>.</summary>
internal sealed record QualityEvaluatorOptions
{
    private readonly int _answerTokens = 16;
    private readonly int _summaryTokens = 24;

    /// <summary>Tokens of the full model's answer to a retrieval prompt that are forced, at most. Default 16.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int AnswerTokens
    {
        get => _answerTokens;
        init => _answerTokens = OptionCheck.Positive(value);
    }

    /// <summary>The same for summaries and continuations. Default 24.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int SummaryTokens
    {
        get => _summaryTokens;
        init => _summaryTokens = OptionCheck.Positive(value);
    }

    /// <summary>LoRA adapters that everything is computed with. Default none.</summary>
    public IReadOnlyList<ScaledAdapter> Adapters { get; init; } = [];

    /// <summary>
    /// Whether full prefill, and the answer behind it, are the model's without <see cref="Adapters"/>: what is measured is then
    /// how far the adapters make up for what was left out. Default false.
    /// </summary>
    public bool FullWithoutAdapters { get; init; }

    /// <summary>Whether quoted passages are brought back, see <see cref="SessionOptions.RestoreQuotes"/>. Default true.</summary>
    public bool RestoreQuotes { get; init; } = true;

    /// <summary>
    /// How thinned prefills are completed while the answer is forced, as a chat does it
    /// (<see cref="CompletionMode.WhileAnswering"/>); where the question comes in the next turn, before it comes. Default
    /// <see langword="null"/>: not at all.
    /// </summary>
    public CompletionOptions? Completion { get; init; }

    /// <summary>Threads that compute. Default 0: one per core.</summary>
    public int Threads { get; init; }

    /// <summary>Tokens per computed graph. Default 512.</summary>
    public int UBatchSize { get; init; } = 512;

    /// <summary>Number format of the KV cache. Default <see cref="KvCacheType.F16"/>.</summary>
    public KvCacheType KvCacheType { get; init; }

    /// <summary>Whether attention is fused. Default <see cref="FlashAttentionMode.Auto"/>.</summary>
    public FlashAttentionMode FlashAttention { get; init; }

    /// <summary>The clock of progress. Default <see cref="TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

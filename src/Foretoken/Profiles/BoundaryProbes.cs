namespace Foretoken.Profiles;

/// <summary>What the probes of one stage measured: one matrix [heads, tokens] per probe, row-major.</summary>
/// <remarks>Lives on the stack and may point into native memory: valid only until the selection at its boundary is over.</remarks>
public readonly ref struct BoundaryProbes
{
    private readonly ReadOnlySpan<AttentionProbe> _probes;
    private readonly ReadOnlySpan<int> _headCounts;
    private readonly ReadOnlySpan<nint> _pointers;
    private readonly ReadOnlySpan<ReadOnlyMemory<float>> _scores;

    /// <summary>Wraps managed matrices.</summary>
    /// <param name="tokenCount">Tokens of the stage.</param>
    /// <param name="probes">The probes, in the order in which they were asked for.</param>
    /// <param name="headCounts">Heads per probe.</param>
    /// <param name="scores">One matrix [heads, tokens] per probe.</param>
    /// <exception cref="ArgumentException">The numbers or sizes do not fit each other.</exception>
    public BoundaryProbes(
        int tokenCount,
        ReadOnlySpan<AttentionProbe> probes,
        ReadOnlySpan<int> headCounts,
        ReadOnlySpan<ReadOnlyMemory<float>> scores
    )
        : this(tokenCount, probes, headCounts)
    {
        if (scores.Length != probes.Length)
        {
            throw new ArgumentException(
                $"{probes.Length} probes need as many matrices, not {scores.Length}.",
                nameof(scores)
            );
        }

        for (int i = 0; i < scores.Length; i++)
        {
            if (scores[i].Length != (long)headCounts[i] * tokenCount)
            {
                throw new ArgumentException(
                    $"Probe {i} has {headCounts[i]} heads and {tokenCount} tokens, but {scores[i].Length} scores.",
                    nameof(scores)
                );
            }
        }

        _scores = scores;
    }

    /// <summary>Wraps matrices in native memory without copying them.</summary>
    /// <param name="tokenCount">Tokens of the stage.</param>
    /// <param name="probes">The probes, in the order in which they were asked for.</param>
    /// <param name="headCounts">Heads per probe.</param>
    /// <param name="pointers">One pointer per probe to a matrix [heads, tokens] of floats.</param>
    /// <exception cref="ArgumentException">The numbers do not fit each other, or a pointer is null.</exception>
    internal BoundaryProbes(
        int tokenCount,
        ReadOnlySpan<AttentionProbe> probes,
        ReadOnlySpan<int> headCounts,
        ReadOnlySpan<nint> pointers
    )
        : this(tokenCount, probes, headCounts)
    {
        if (pointers.Length != probes.Length || pointers.Contains(0))
        {
            throw new ArgumentException($"{probes.Length} probes need as many matrices, none null.", nameof(pointers));
        }

        _pointers = pointers;
    }

    private BoundaryProbes(int tokenCount, ReadOnlySpan<AttentionProbe> probes, ReadOnlySpan<int> headCounts)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokenCount);
        if (headCounts.Length != probes.Length)
        {
            throw new ArgumentException(
                $"{probes.Length} probes need as many head counts, not {headCounts.Length}.",
                nameof(headCounts)
            );
        }

        TokenCount = tokenCount;
        _probes = probes;
        _headCounts = headCounts;
    }

    /// <summary>Tokens of the stage: the keys of every probe.</summary>
    public int TokenCount { get; }

    /// <summary>The boundary behind the stage: tokens leave in front of this layer.</summary>
    public int Layer { get; init; }

    /// <summary>Layers of the boundaries that follow in the plan, ascending.</summary>
    public ReadOnlySpan<int> LaterBoundaries { get; init; }

    /// <summary>Residual stream of the stage's tokens in front of <see cref="Layer"/>, [tokens, embedding] row-major.</summary>
    public ReadOnlySpan<float> Residual { get; init; }

    /// <summary>What the policy remembered of these tokens at earlier boundaries; <see langword="null"/> where there is no prefill.</summary>
    public TokenMemory? Memory { get; init; }

    /// <summary>Number of probes, in the order in which the policy asked for them.</summary>
    public int Count => _probes.Length;

    /// <summary>A probe.</summary>
    /// <param name="index">From 0.</param>
    public AttentionProbe this[int index] => _probes[index];

    /// <summary>Heads of a probe.</summary>
    /// <param name="index">From 0.</param>
    public int HeadCount(int index) => _headCounts[index];

    /// <summary>All scores of a probe: [heads, tokens], row-major.</summary>
    /// <param name="index">From 0.</param>
    public ReadOnlySpan<float> Scores(int index)
    {
        if (_pointers.IsEmpty)
        {
            return _scores[index].Span;
        }

        unsafe
        {
            return new ReadOnlySpan<float>((void*)_pointers[index], checked(_headCounts[index] * TokenCount));
        }
    }

    /// <summary>Scores of one head of a probe: [tokens].</summary>
    /// <param name="index">The probe, from 0.</param>
    /// <param name="head">The head, from 0.</param>
    public ReadOnlySpan<float> Scores(int index, int head) => Scores(index).Slice(head * TokenCount, TokenCount);
}

namespace Foretoken.Importance;

/// <summary>What the probes of one stage measured: one matrix [heads, keys] per probe, row-major.</summary>
/// <remarks>Lives on the stack and may point into native memory: valid only until the selection at its boundary is over.</remarks>
internal readonly ref struct BoundaryProbes
{
    private readonly ReadOnlySpan<AttentionProbe> _probes;
    private readonly ReadOnlySpan<int> _headCounts;
    private readonly ReadOnlySpan<nint> _pointers;
    private readonly ReadOnlySpan<int> _keyCounts;
    private readonly ReadOnlySpan<nint> _keyPositions;
    private readonly ReadOnlySpan<ReadOnlyMemory<float>> _scores;

    /// <summary>Wraps managed matrices.</summary>
    /// <param name="tokenCount">Tokens of the stage.</param>
    /// <param name="probes">The probes, in the order in which they were asked for.</param>
    /// <param name="headCounts">Heads per probe.</param>
    /// <param name="scores">One matrix [heads, keys] per probe; the keys of <see cref="ProbeKeys.Stage"/> are the tokens.</param>
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
            bool fits =
                probes[i].Keys == ProbeKeys.Stage
                    ? scores[i].Length == (long)headCounts[i] * tokenCount
                    : scores[i].Length >= (long)headCounts[i] * tokenCount && scores[i].Length % headCounts[i] == 0;
            if (!fits)
            {
                throw new ArgumentException(
                    $"Probe {i} ({probes[i].Keys} keys) has {headCounts[i]} heads and {tokenCount} tokens, but {scores[i].Length} scores.",
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
    /// <param name="pointers">One pointer per probe to a matrix [heads, keys] of floats.</param>
    /// <param name="keyCounts">Keys per probe; empty where all have the tokens.</param>
    /// <param name="keyPositions">One pointer per probe to the positions [keys]; empty where they are not asked for.</param>
    /// <exception cref="ArgumentException">The numbers do not fit each other, or a pointer is null.</exception>
    internal BoundaryProbes(
        int tokenCount,
        ReadOnlySpan<AttentionProbe> probes,
        ReadOnlySpan<int> headCounts,
        ReadOnlySpan<nint> pointers,
        ReadOnlySpan<int> keyCounts = default,
        ReadOnlySpan<nint> keyPositions = default
    )
        : this(tokenCount, probes, headCounts)
    {
        if (pointers.Length != probes.Length || pointers.Contains(0))
        {
            throw new ArgumentException($"{probes.Length} probes need as many matrices, none null.", nameof(pointers));
        }

        if (!keyCounts.IsEmpty && keyCounts.Length != probes.Length)
        {
            throw new ArgumentException(
                $"{probes.Length} probes need as many key counts, not {keyCounts.Length}.",
                nameof(keyCounts)
            );
        }

        if (!keyPositions.IsEmpty && (keyPositions.Length != probes.Length || keyPositions.Contains(0)))
        {
            throw new ArgumentException(
                $"{probes.Length} probes need as many key positions, none null.",
                nameof(keyPositions)
            );
        }

        _pointers = pointers;
        _keyCounts = keyCounts;
        _keyPositions = keyPositions;
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

    /// <summary>Tokens of the stage: the keys of a probe, the last ones of a probe of <see cref="ProbeKeys.Sequence"/>.</summary>
    public int TokenCount { get; }

    /// <summary>The boundary behind the stage: tokens leave in front of this layer.</summary>
    public int Layer { get; init; }

    /// <summary>Layers of the boundaries that follow in the plan, ascending.</summary>
    public ReadOnlySpan<int> LaterBoundaries { get; init; }

    /// <summary>Residual stream of the stage's tokens in front of <see cref="Layer"/>, [tokens, embedding] row-major.</summary>
    public ReadOnlySpan<float> Residual { get; init; }

    /// <summary>The stage's tokens, as numbers of the vocabulary: [tokens]. Empty where managed matrices were wrapped without them.</summary>
    public ReadOnlySpan<int> Tokens { get; init; }

    /// <summary>What the policy remembered of these tokens at earlier boundaries; <see langword="null"/> where there is no prefill.</summary>
    public TokenMemory? Memory { get; init; }

    /// <summary>Number of probes, in the order in which the policy asked for them.</summary>
    public int Count => _probes.Length;

    /// <summary>A probe.</summary>
    /// <param name="index">From 0.</param>
    public AttentionProbe this[int index] => _probes[index];

    /// <summary>Heads of a probe: its rows.</summary>
    /// <param name="index">From 0.</param>
    public int HeadCount(int index) => _headCounts[index];

    /// <summary>Keys of a probe, ascending by position: the tokens, in front of them with <see cref="ProbeKeys.Sequence"/> the past.</summary>
    /// <param name="index">From 0.</param>
    public int KeyCount(int index) =>
        _pointers.IsEmpty ? _scores[index].Length / _headCounts[index]
        : _keyCounts.IsEmpty ? TokenCount
        : _keyCounts[index];

    /// <summary>Positions of the keys of a probe in the sequence, ascending: [keys]. Empty where managed matrices were wrapped.</summary>
    /// <param name="index">From 0.</param>
    public ReadOnlySpan<int> KeyPositions(int index)
    {
        if (_keyPositions.IsEmpty)
        {
            return [];
        }

        unsafe
        {
            return new ReadOnlySpan<int>((void*)_keyPositions[index], KeyCount(index));
        }
    }

    /// <summary>All scores of a probe: [heads, keys], row-major.</summary>
    /// <param name="index">From 0.</param>
    public ReadOnlySpan<float> Scores(int index)
    {
        if (_pointers.IsEmpty)
        {
            return _scores[index].Span;
        }

        unsafe
        {
            return new ReadOnlySpan<float>((void*)_pointers[index], checked(_headCounts[index] * KeyCount(index)));
        }
    }

    /// <summary>Scores of one head of a probe: [keys].</summary>
    /// <param name="index">The probe, from 0.</param>
    /// <param name="head">The head, from 0.</param>
    public ReadOnlySpan<float> Scores(int index, int head)
    {
        int keys = KeyCount(index);
        return Scores(index).Slice(head * keys, keys);
    }
}

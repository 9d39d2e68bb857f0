namespace Foretoken.Costs;

/// <summary>The times of one real prefill: a sample of what a machine does. Immutable.</summary>
internal sealed record PrefillRun
{
    /// <summary>When it ran, counted in prefills of its cost profile; prefills that ran together have the same number.</summary>
    internal long Sequence { get; init; }

    /// <summary>
    /// Processor time of the process over elapsed time and threads; <see langword="null"/> when unknown. Well below that of
    /// other runs, something else had the cores.
    /// </summary>
    internal double? CpuShare { get; init; }

    /// <summary>The chunks of all stages.</summary>
    internal required IReadOnlyList<ChunkSample> Chunks { get; init; }

    /// <summary>Boundaries at which tokens were chosen.</summary>
    internal int Boundaries { get; init; }

    /// <summary>The count of <see cref="CostTerm.RankedTokenLayer"/>.</summary>
    internal double RankedTokenLayers { get; init; }

    /// <summary>Time that choosing took, all boundaries together.</summary>
    internal double SelectSeconds { get; init; }

    /// <summary>Time beside chunks and choosing; 0 when unknown.</summary>
    internal double OverheadSeconds { get; init; }
}

/// <summary>The time of one chunk (ubatch) of one stage.</summary>
/// <param name="Layers">The layers it ran through.</param>
/// <param name="Tokens">Its tokens.</param>
/// <param name="PastKeys">Keys in front of it.</param>
/// <param name="HasLogits">Whether the logits were computed.</param>
/// <param name="ProbePairs">The count of <see cref="CostTerm.ProbePair"/>.</param>
/// <param name="Seconds">How long it took.</param>
internal readonly record struct ChunkSample(
    StageLayers Layers,
    int Tokens,
    int PastKeys,
    bool HasLogits,
    double ProbePairs,
    double Seconds
);

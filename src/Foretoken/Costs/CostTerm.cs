namespace Foretoken.Costs;

/// <summary>
/// The terms that the time of a prefill is made of: what is counted of it, and how often. A cost profile has the seconds of each.
/// </summary>
/// <remarks>
/// Layers on the host and layers on a device have prices of their own. A stage computes ubatch by ubatch ("chunk"): each has a
/// fixed price, reads every layer's weights once, and its queries see the keys in front of the chunk and those in it. Whether
/// a kernel computes all pairs within a chunk or only the causal half is the machine's business: these pairs have a price of
/// their own.
/// </remarks>
internal static class CostTerm
{
    /// <summary>Graphs computed.</summary>
    internal const int Chunk = 0;

    /// <summary>Logits of one token.</summary>
    internal const int Logits = 1;

    /// <summary>Pairs of a probed query and a key, per layer.</summary>
    internal const int ProbePair = 2;

    /// <summary>First of the four terms of the layers on the host.</summary>
    internal const int Host = 3;

    /// <summary>First of the four terms of the layers on a device.</summary>
    internal const int Device = 7;

    /// <summary>Layers computed for a chunk, whatever its tokens; offset to <see cref="Host"/> or <see cref="Device"/>.</summary>
    internal const int Layer = 0;

    /// <summary>Tokens times layers.</summary>
    internal const int TokenLayer = 1;

    /// <summary>Pairs of a query and a key in front of its chunk, per layer.</summary>
    internal const int PastPair = 2;

    /// <summary>Tokens of a chunk squared, per layer.</summary>
    internal const int OwnPair = 3;

    /// <summary>How many of the terms belong to chunks; the others are measured apart.</summary>
    internal const int ChunkTerms = 11;

    /// <summary>Boundaries at which tokens are chosen.</summary>
    internal const int Boundary = 11;

    /// <summary>Tokens that are ranked at a boundary, times the layers whose probes are read for it.</summary>
    internal const int RankedTokenLayer = 12;

    /// <summary>Prefills.</summary>
    internal const int Prefill = 13;

    /// <summary>How many terms there are.</summary>
    internal const int Count = 14;
}

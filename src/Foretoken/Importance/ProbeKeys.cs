namespace Foretoken.Importance;

/// <summary>The keys whose received attention a probe delivers.</summary>
internal enum ProbeKeys
{
    /// <summary>The tokens that the layer's stage runs.</summary>
    Stage = 0,

    /// <summary>
    /// First what the layer held for the sequence before the prefill, then the tokens of the stage. A layer that an earlier
    /// prefill thinned holds fewer of them: <see cref="BoundaryProbes.KeyPositions"/> tells which.
    /// </summary>
    Sequence = 1,
}

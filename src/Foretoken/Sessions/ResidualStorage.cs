namespace Foretoken.Sessions;

/// <summary>
/// How the residual stream of a thinned prompt is kept in front of the layers that lack tokens, so that
/// <see cref="ForetokenSession.Complete"/> need not run the layers below again.
/// </summary>
public enum ResidualStorage
{
    /// <summary>Not at all. A completion then runs its tokens through all layers.</summary>
    None = 0,

    /// <summary>With 32 bits: a completion can be exact. A token takes 4 bytes times the width of the model.</summary>
    Full = 1,

    /// <summary>With 16 bits: half of the memory, and small differences in what is completed.</summary>
    Half = 2,
}

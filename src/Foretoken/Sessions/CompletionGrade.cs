namespace Foretoken.Sessions;

/// <summary>How the upper layers of a thinned prompt are completed.</summary>
public enum CompletionGrade
{
    /// <summary>
    /// The tokens that upper layers lack run there, over those that are there, which stay as they are. Thinned prefill and filling
    /// together cost what one full prefill costs; what is left of the loss is small.
    /// </summary>
    Fill = 0,

    /// <summary>
    /// All tokens run again in the upper layers, in order: the caches are those of a full prefill, bit for bit where the chunks
    /// are the same and the residual stream was stored with 32 bits.
    /// </summary>
    Exact = 1,
}

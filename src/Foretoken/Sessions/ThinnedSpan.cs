namespace Foretoken.Sessions;

/// <summary>A span of the sequence of which upper layers lack tokens, or lacked them.</summary>
/// <param name="Start">Its first token.</param>
/// <param name="End">Behind its last token: the length of the prompt that it was thinned for.</param>
/// <param name="HasRestored">Whether tokens came back because an answer quoted them.</param>
/// <param name="State">What upper layers hold of it.</param>
internal readonly record struct ThinnedSpan(int Start, int End, bool HasRestored, SpanState State);

/// <summary>What upper layers hold of a span.</summary>
internal enum SpanState
{
    /// <summary>Upper layers lack tokens.</summary>
    Thinned = 0,

    /// <summary>Every layer holds all tokens; those that came later attended to those that were there.</summary>
    Filled = 1,

    /// <summary>Upper layers hold keys and values of a residual stream that stopped below them.</summary>
    Frozen = 2,
}

namespace Foretoken.Sessions;

/// <summary>A passage of a prompt that an answer has begun to quote.</summary>
/// <param name="Start">Index of the first token that the answer ends with.</param>
/// <param name="Next">Index of the token that may come next in the answer.</param>
/// <param name="End">Index behind the passage.</param>
internal readonly record struct QuotedPassage(int Start, int Next, int End);

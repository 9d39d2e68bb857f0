namespace Foretoken.Plans;

/// <summary>The tokens that every selection keeps, whatever their importance.</summary>
internal static class AlwaysKept
{
    /// <summary>The first tokens, which attention uses as sinks (StreamingLLM, arXiv 2309.17453): 4.</summary>
    public const int SinkTokens = 4;

    /// <summary>The last tokens, where the question usually stands: 32.</summary>
    public const int TailTokens = 32;

    /// <summary>Whether a token is kept because of its place.</summary>
    /// <param name="index">Index among the tokens.</param>
    /// <param name="tokens">How many tokens there are.</param>
    public static bool ByPlace(int index, int tokens) => index < SinkTokens || index >= tokens - TailTokens;

    /// <summary>How many tokens are kept because of their place.</summary>
    /// <param name="tokens">How many tokens there are.</param>
    public static int CountByPlace(int tokens) => Math.Min(tokens, SinkTokens + TailTokens);

    /// <summary>How many tokens are kept because of their place or because they are protected.</summary>
    /// <param name="isProtected">One flag per token.</param>
    public static int Count(ReadOnlySpan<bool> isProtected)
    {
        int count = 0;
        for (int i = 0; i < isProtected.Length; i++)
        {
            if (isProtected[i] || ByPlace(i, isProtected.Length))
            {
                count++;
            }
        }

        return count;
    }
}

using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>Which tokens of a prompt are kept because of what they are. Those kept because of their place are <see cref="AlwaysKept"/>.</summary>
internal static class ProtectedTokens
{
    /// <summary>A system prompt of up to this share of the prompt is kept.</summary>
    internal const double SystemShare = 0.25;

    /// <summary>One flag per token of the prompt from <paramref name="begin"/> on.</summary>
    /// <exception cref="ArgumentException">A span of the request lies outside of the prompt.</exception>
    internal static bool[] Of(PrefillRequest request, int promptLength, int begin)
    {
        bool[] keep = new bool[promptLength];
        ReadOnlySpan<TokenOrigin> origins = request.Origins.Span;
        if (!origins.IsEmpty)
        {
            bool keepSystem = origins.Count(TokenOrigin.System) <= SystemShare * promptLength;
            for (int i = 0; i < origins.Length; i++)
            {
                keep[i] = origins[i] == TokenOrigin.Template || (keepSystem && origins[i] == TokenOrigin.System);
            }
        }
        foreach (Range span in request.ProtectedSpans)
        {
            int from = span.Start.GetOffset(promptLength);
            int to = span.End.GetOffset(promptLength);
            if (from < 0 || to > promptLength || from > to)
            {
                throw new ArgumentException(
                    $"The protected span {span} lies outside of the prompt, which has {promptLength} tokens.",
                    nameof(request)
                );
            }
            keep.AsSpan(from, to - from).Fill(true);
        }
        return keep[begin..];
    }
}

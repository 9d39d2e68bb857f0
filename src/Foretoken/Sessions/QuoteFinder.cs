namespace Foretoken.Sessions;

/// <summary>
/// Finds the passages of a prompt that an answer has begun to quote: where the prompt holds the last tokens of the answer, the
/// answer may well go on as the prompt does. The lookup is that of prompt lookup decoding (Saxena, 2023), which guesses output
/// tokens with it.
/// </summary>
internal static class QuoteFinder
{
    /// <summary>Tokens behind the place where the answer is, which belong to the passage, at most.</summary>
    internal const int Ahead = 8;

    // places share this many tokens: where there are more of them, less of each may be what comes next
    private const int AheadOfAll = 16;

    // one token alone is chance more often than not
    private const int ShortestMatch = 2;

    // longer matches say no more
    private const int LongestMatch = 16;

    // what stands in more places than this is a phrase of the language, and not a quotation
    private const int MostPlaces = 8;

    /// <summary>Finds the places of the longest match, unless there are too many to tell anything.</summary>
    /// <param name="prompt">The prompt, [tokens].</param>
    /// <param name="answer">The answer so far, at least one token.</param>
    /// <returns>
    /// Passages in the prompt, ascending by start: the tokens that match, and up to <see cref="Ahead"/> more, fewer of each where
    /// there are several, as far as the prompt goes.
    /// Empty when the end of the answer is not in the prompt, or in many places.
    /// </returns>
    internal static IReadOnlyList<QuotedPassage> Find(ReadOnlySpan<int> prompt, ReadOnlySpan<int> answer)
    {
        List<int> places = [];
        int longest = ShortestMatch;
        // a match of the prompt's last token has nothing behind it
        for (int place = 0; place < prompt.Length - 1; place++)
        {
            int found = prompt[place..^1].IndexOf(answer[^1]);
            if (found < 0)
            {
                break;
            }
            place += found;
            int most = Math.Min(LongestMatch, Math.Min(answer.Length, place + 1));
            int length = 1;
            while (length < most && prompt[place - length] == answer[^(length + 1)])
            {
                length++;
            }
            if (length > longest)
            {
                longest = length;
                places.Clear();
            }
            if (length == longest)
            {
                places.Add(place + 1);
            }
        }
        if (places.Count > MostPlaces)
        {
            return [];
        }
        int ahead = Math.Min(Ahead, AheadOfAll / Math.Max(1, places.Count));
        int end = prompt.Length;
        return [.. places.Select(next => new QuotedPassage(next - longest, next, Math.Min(end, next + ahead)))];
    }
}

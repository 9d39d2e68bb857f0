namespace Foretoken.Schemas;

/// <summary>A pattern of all strings but some.</summary>
internal static class DeniedPattern
{
    private const int MaxLength = 2_000;

    private static readonly PatternRepeat Anything = new(new PatternSet(CharSet.All), 0, null);

    /// <exception cref="PatternException">The denied strings are too long.</exception>
    internal static PatternNode Create(IReadOnlyCollection<string> denied)
    {
        if (denied.Sum(text => text.Length) > MaxLength || denied.Any(text => text.Length > PatternParser.MaxDepth))
        {
            throw new PatternException(
                $"the denied values have more than {MaxLength} characters, or one has more than {PatternParser.MaxDepth}"
            );
        }
        return Except([.. denied.Select(text => text.EnumerateRunes().Select(rune => rune.Value).ToArray())], 0);
    }

    // all texts that begin like these do up to `at`, and are none of them
    private static PatternChoice Except(IReadOnlyList<int[]> texts, int at)
    {
        List<PatternNode> alternatives = [];
        if (!texts.Any(text => text.Length == at))
        {
            alternatives.Add(PatternNode.Empty);
        }
        CharSet next = CharSet.Empty;
        foreach (IGrouping<int, int[]> group in texts.Where(text => text.Length > at).GroupBy(text => text[at]))
        {
            CharSet one = CharSet.Of(group.Key);
            next = next.Union(one);
            alternatives.Add(new PatternSequence([new PatternSet(one), Except([.. group], at + 1)]));
        }
        alternatives.Add(new PatternSequence([new PatternSet(next.Complement()), Anything]));
        return new PatternChoice(alternatives);
    }
}

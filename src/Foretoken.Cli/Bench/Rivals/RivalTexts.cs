using Foretoken.Sessions;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>Prompts as text, for rivals that take nothing else: random words, as many tokens long as the other sides' prompts.</summary>
/// <param name="model">Its tokeniser counts.</param>
/// <param name="seed">Seed of the words.</param>
internal sealed class RivalTexts(ForetokenModel model, int seed)
{
    private static readonly string[] Words =
    [
        .. (
            "river stone window letter garden table morning paper bridge winter market story captain silver forest "
            + "engine kitchen mountain harbor lantern blanket village sister copper thunder meadow pocket mirror ladder "
            + "carpet orchard signal summer basket history island velvet candle northern quiet early broken heavy narrow "
            + "bright walked carried opened followed answered remembered painted gathered between under behind across"
        ).Split(' '),
    ];

    /// <summary>A text of a number of tokens.</summary>
    /// <param name="tokens">The number; beginning of sequence and chat template come on top.</param>
    /// <param name="round">Another one for each round.</param>
    internal string Create(int tokens, int round)
    {
        // every word is a token at least
        int[] drawn = PromptTokens.Create(tokens, Words.Length, seed, round + 1);
        int[] all = model.Tokenize(string.Join(' ', drawn.Select(word => Words[word])));
        return model.Detokenize(all.AsSpan(0, Math.Min(tokens, all.Length)));
    }
}

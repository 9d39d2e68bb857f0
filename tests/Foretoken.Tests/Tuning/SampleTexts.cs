using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

/// <summary>The documents that come with the samples, and a tokeniser that needs no model.</summary>
internal static class SampleTexts
{
    internal static TextCorpus Corpus { get; } =
        TextCorpus.FromFiles(
            Directory
                .EnumerateFiles(Path.Combine(Repository.Root, "samples", "documents"), "*.txt")
                .Order(StringComparer.Ordinal)
        );

    internal static PromptGenerator Generator() => new(Corpus, CountTokens);

    /// <summary>About what tokenisers make of English: four characters a token.</summary>
    internal static int CountTokens(string text) => (text.Length + 3) / 4;
}

using Foretoken.Inference;

namespace Foretoken.Tests.Inference;

public sealed class QuoteFinderTests
{
    private static readonly int[] Prompt = [.. Enumerable.Range(0, 100)];

    [Fact]
    public void Two_tokens_in_a_row_are_a_quotation_and_one_is_not()
    {
        Assert.Empty(QuoteFinder.Find(Prompt, [40]));
        Assert.Empty(QuoteFinder.Find(Prompt, [39, 41]));
        Assert.Equal([new(40, 42, 42 + QuoteFinder.Ahead)], QuoteFinder.Find(Prompt, [500, 40, 41]));
    }

    [Fact]
    public void The_longest_match_wins()
    {
        int[] prompt = [.. Prompt, 7, 41, 42, .. Enumerable.Range(200, 50)];
        Assert.Equal([new(41, 43, 51), new(101, 103, 111)], QuoteFinder.Find(prompt, [500, 41, 42]));
        Assert.Equal([new(40, 43, 51)], QuoteFinder.Find(prompt, [500, 40, 41, 42]));
        Assert.Equal([new(100, 103, 111)], QuoteFinder.Find(prompt, [500, 7, 41, 42]));
    }

    [Fact]
    public void What_stands_in_many_places_tells_nothing()
    {
        int[] prompt = [.. Prompt, 41, 42, 0, 41, 42, 0];
        Assert.Empty(QuoteFinder.Find(prompt, [41, 42]));
        Assert.Single(QuoteFinder.Find(prompt, [40, 41, 42]));
    }

    [Fact]
    public void Passages_end_with_the_prompt_and_its_last_token_has_nothing_behind_it()
    {
        Assert.Equal([new(94, 96, 100)], QuoteFinder.Find(Prompt, [94, 95]));
        Assert.Empty(QuoteFinder.Find(Prompt, [98, 99]));
        Assert.Empty(QuoteFinder.Find([], [1, 2]));
        Assert.Equal([new(0, 2, 10)], QuoteFinder.Find(Prompt, [0, 1]));
    }
}

using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

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
    public void Places_share_what_may_come_next_and_too_many_of_them_tell_nothing()
    {
        int[] more = [41, 42, 300, 301];
        int[] prompt = [.. Prompt, .. more, .. more, .. more, .. Prompt[..9]];
        Assert.Equal([2 + 4, 2 + 4, 2 + 4, 2 + 4], Lengths([500, 41, 42]));
        Assert.Equal([3 + QuoteFinder.Ahead], Lengths([40, 41, 42]));

        prompt = [.. Prompt, .. Enumerable.Repeat(more, 7).SelectMany(one => one), .. Prompt[..9]];
        Assert.Equal(8, Lengths([500, 41, 42]).Length);
        Assert.All(Lengths([500, 41, 42]), length => Assert.Equal(2 + 2, length));
        prompt = [.. prompt, .. more, .. Prompt[..9]];
        Assert.Empty(Lengths([500, 41, 42]));
        Assert.Single(Lengths([40, 41, 42]));

        int[] Lengths(int[] answer) =>
            [.. QuoteFinder.Find(prompt, answer).Select(passage => passage.End - passage.Start)];
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

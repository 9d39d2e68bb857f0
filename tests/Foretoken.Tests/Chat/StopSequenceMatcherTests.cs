using System.Text;
using Foretoken.Chat;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Chat;

public sealed class StopSequenceMatcherTests
{
    [Theory]
    [InlineData("one two STOP three", new[] { "STOP" }, "one two ", "STOP")]
    [InlineData("no stop in here", new[] { "STOP" }, "no stop in here", null)]
    [InlineData("STSTOP", new[] { "STOP" }, "ST", "STOP")]
    [InlineData("abcabd", new[] { "abd" }, "abc", "abd")]
    [InlineData("aaab", new[] { "aab" }, "a", "aab")]
    [InlineData("first\n\nsecond", new[] { "zzz", "\n\n" }, "first", "\n\n")]
    [InlineData("x<end>", new[] { "<end>", "<e" }, "x", "<e")]
    [InlineData("ends with ST", new[] { "STOP" }, "ends with ST", null)]
    [InlineData("Grüße 世界!", new[] { "世界" }, "Grüße ", "世界")]
    [InlineData("anything", new string[0], "anything", null)]
    public void Text_before_the_stop_sequence_comes_out_however_it_is_cut(
        string text,
        string[] stops,
        string expected,
        string? matched
    )
    {
        for (int size = 1; size <= text.Length; size++)
        {
            StopSequenceMatcher matcher = new(stops);
            StringBuilder result = new();
            for (int i = 0; i < text.Length; i += size)
            {
                result.Append(matcher.Append(text.Substring(i, Math.Min(size, text.Length - i))));
            }
            result.Append(matcher.Flush());
            Assert.Equal(expected, result.ToString());
            // cut into larger pieces, two stop sequences that begin at one place may be complete together
            Assert.Equal(matched is null, matcher.Matched is null);
        }
    }

    [Fact]
    public void Text_is_held_back_no_longer_than_needed()
    {
        StopSequenceMatcher matcher = new(["STOP"]);
        Assert.Equal("a", matcher.Append("aST"));
        Assert.Equal("STx", matcher.Append("x"));
        Assert.Null(matcher.Matched);
    }
}

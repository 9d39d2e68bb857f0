using Foretoken.Cli.Chat;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Chat;

public sealed class ChatInputTests
{
    [Theory]
    [InlineData("", "Nothing", "")]
    [InlineData("   ", "Nothing", "")]
    [InlineData("  What is this? ", "Question", "What is this?")]
    [InlineData("/speed 2.5", "Speed", "2.5")]
    [InlineData("/SPEED   2.5 ", "Speed", "2.5")]
    [InlineData("/speed", "Speed", "")]
    [InlineData("/file my notes.txt", "File", "my notes.txt")]
    [InlineData("/files", "Files", "")]
    [InlineData("/drop", "Drop", "")]
    [InlineData("/drop my notes.txt", "Drop", "my notes.txt")]
    [InlineData("/stats", "Stats", "")]
    [InlineData("/reset", "Reset", "")]
    [InlineData("/help", "Help", "")]
    [InlineData("/quit", "Quit", "")]
    [InlineData("/exit", "Quit", "")]
    [InlineData("/spede 2", "Unknown", "/spede")]
    public void A_line_is_a_question_or_a_command(string line, string kind, string text)
    {
        ChatInput input = ChatInput.Parse(line);

        Assert.Equal(kind, input.Kind.ToString());
        Assert.Equal(text, input.Text);
    }

    [Theory]
    [InlineData("2.5", 2.5)]
    [InlineData(" 3x ", 3)]
    [InlineData("1", 1)]
    public void A_speed_is_a_number_with_or_without_an_x(string text, double expected)
    {
        Assert.True(SpeedText.TryParse(text, out double speed, out _));
        Assert.Equal(expected, speed);
    }

    [Theory]
    [InlineData("fast")]
    [InlineData("2,5")]
    [InlineData("2,5x")]
    [InlineData("0.5")]
    [InlineData("NaN")]
    [InlineData("1e9")]
    [InlineData("-2")]
    public void A_speed_that_cannot_be_asked_for_is_explained_in_one_line(string text)
    {
        Assert.False(SpeedText.TryParse(text, out _, out string error));
        Assert.NotEmpty(error);
        Assert.DoesNotContain('\n', error);
        Assert.DoesNotContain("Parameter", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_speed_with_a_comma_is_refused_with_what_to_write()
    {
        Assert.False(SpeedText.TryParse("2,5", out _, out string error));
        Assert.Contains("write 2.5.", error, StringComparison.Ordinal);
    }
}

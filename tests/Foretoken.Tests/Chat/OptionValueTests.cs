using System.Text.Json;
using Foretoken.Chat;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Chat;

public sealed class OptionValueTests
{
    public static TheoryData<object, double> Numbers =>
        new()
        {
            { 2, 2 },
            { 2L, 2 },
            { 2.5, 2.5 },
            { 2.5f, 2.5 },
            { 2.5m, 2.5 },
            { "2.5", 2.5 },
            { JsonDocument.Parse("2.5").RootElement, 2.5 },
            { JsonDocument.Parse("\"2.5\"").RootElement, 2.5 },
        };

    [Theory]
    [MemberData(nameof(Numbers))]
    public void Numbers_come_in_any_type(object value, double expected)
    {
        Assert.Equal(expected, OptionValue.ToDouble("key", value));
    }

    [Fact]
    public void Flags_come_as_bool_text_or_json()
    {
        foreach (object value in (object[])[true, "true", "True", JsonDocument.Parse("true").RootElement])
        {
            Assert.True(OptionValue.ToBoolean("key", value));
        }
        foreach (object value in (object[])[false, "false", JsonDocument.Parse("\"false\"").RootElement])
        {
            Assert.False(OptionValue.ToBoolean("key", value));
        }
    }

    [Fact]
    public void Other_values_are_refused_by_name()
    {
        foreach (object value in (object[])["yes", 1, new object(), JsonDocument.Parse("1").RootElement])
        {
            ArgumentException error = Assert.Throws<ArgumentException>(() => OptionValue.ToBoolean("the_key", value));
            Assert.Contains("the_key", error.Message, StringComparison.Ordinal);
        }
        foreach (object value in (object[])["fast", true, new object(), JsonDocument.Parse("[]").RootElement])
        {
            ArgumentException error = Assert.Throws<ArgumentException>(() => OptionValue.ToDouble("the_key", value));
            Assert.Contains("the_key", error.Message, StringComparison.Ordinal);
        }
        Assert.Equal("acc", OptionValue.ToText("key", JsonDocument.Parse("\"acc\"").RootElement));
        Assert.Throws<ArgumentException>(() => OptionValue.ToText("key", 3));
    }
}

using System.Globalization;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Console;

public sealed class NumberTextTests
{
    [Theory]
    [InlineData("2.5", 2.5)]
    [InlineData(" 2.5 ", 2.5)]
    [InlineData("+2", 2)]
    [InlineData("-0.5", -0.5)]
    [InlineData(".5", 0.5)]
    [InlineData("5.", 5)]
    [InlineData("1e-3", 0.001)]
    public void A_number_has_its_decimals_behind_a_point(string text, double value)
    {
        Assert.True(NumberText.TryParse(text, out double read, out _));
        Assert.Equal(value, read);
    }

    [Theory]
    [InlineData("2,5", "write 2.5.")]
    [InlineData("0,7", "write 0.7.")]
    [InlineData("-0,70", "write -0.7.")]
    [InlineData("1.000,5", "write 1000.5.")]
    [InlineData("1,000.5", "write 1000.5.")]
    [InlineData("1,000,000", "write 1000000.")]
    [InlineData("1 000,5", "write 1000.5.")]
    [InlineData("2.5x", "write 2.5.")]
    [InlineData("2,5x", "write 2.5.")]
    [InlineData("10%", "write 10.")]
    [InlineData("−2.5", "write -2.5.")]
    [InlineData("２.５", "write 2.5.")]
    [InlineData("٢٫٥", "write 2.5.")]
    [InlineData("abc", "write one such as 2.5.")]
    [InlineData("1,2,3", "write one such as 2.5.")]
    [InlineData("NaN", "write one such as 2.5.")]
    [InlineData("Infinity", "write one such as 2.5.")]
    [InlineData("∞", "write one such as 2.5.")]
    [InlineData("0x10", "write one such as 2.5.")]
    [InlineData("", "write one such as 2.5.")]
    [InlineData("1e999", "too large")]
    public void What_people_write_otherwise_is_refused_with_what_to_write(string text, string advice)
    {
        Assert.False(NumberText.TryParse(text, out _, out string? error));
        Assert.Contains(advice, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("4,096", "write 4096.")]
    [InlineData("4.096", "write 4096.")]
    [InlineData("4 096", "write 4096.")]
    [InlineData("4_096", "write 4096.")]
    [InlineData("4'096", "write 4096.")]
    [InlineData("1.000.000", "write 1000000.")]
    [InlineData("4k", "write 4000.")]
    [InlineData("512 tokens", "write 512.")]
    [InlineData("1e3", "write 1000.")]
    [InlineData("2.0", "write 2.")]
    [InlineData("2.5", "write one such as 512.")]
    [InlineData("2,5", "write one such as 512.")]
    [InlineData("2 5", "write one such as 512.")]
    [InlineData("many", "write one such as 512.")]
    [InlineData("99999999999999999999", "too large")]
    public void A_whole_number_has_nothing_but_digits(string text, string advice)
    {
        Assert.False(NumberText.TryParseWhole(text, out _, out string? error));
        Assert.Contains(advice, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_number_that_dotnet_writes_is_read_and_with_a_comma_it_is_refused_with_the_same_number()
    {
        Random random = new(1);
        NumberFormatInfo comma = new() { NumberDecimalSeparator = "," };
        for (int i = 0; i < 10_000; i++)
        {
            double value = Math.Round(
                (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-3, 9)),
                random.Next(1, 6)
            );
            string text = value.ToString("0.######", CultureInfo.InvariantCulture);
            Assert.True(NumberText.TryParse(text, out double read, out _), text);
            Assert.Equal(double.Parse(text, CultureInfo.InvariantCulture), read);
            string typed = value.ToString("0.######", comma);
            if (typed.Contains(','))
            {
                Assert.False(NumberText.TryParse(typed, out _, out string? error), typed);
                string suggestion = NumberText.Suggest(typed, isWhole: false)!;
                Assert.Contains($"write {suggestion}.", error, StringComparison.Ordinal);
                Assert.True(NumberText.TryParse(suggestion, out double meant, out _));
                Assert.Equal(read, meant);
            }
        }
    }

    [Fact]
    public void No_text_of_digits_and_separators_is_read_as_another_number_than_it_says()
    {
        Random random = new(2);
        for (int i = 0; i < 20_000; i++)
        {
            string text = string.Concat(
                Enumerable.Range(0, random.Next(1, 8)).Select(_ => "0123456789,.;' _-+eEx%kٱ٢"[random.Next(24)])
            );
            if (NumberText.TryParse(text, out double value, out string? error))
            {
                Assert.Equal(double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture), value);
            }
            else
            {
                Assert.EndsWith(".", error, StringComparison.Ordinal);
                if (NumberText.Suggest(text, isWhole: false) is { } suggestion)
                {
                    Assert.True(NumberText.TryParse(suggestion, out _, out _), $"{text} -> {suggestion}");
                }
            }
            if (NumberText.Suggest(text, isWhole: true) is { } whole)
            {
                Assert.True(NumberText.TryParseWhole(whole, out _, out _), $"{text} -> {whole}");
            }
        }
    }

    [Theory]
    [InlineData("1,1.5,2", "1|1.5|2")]
    [InlineData("1, 1.5, 2", "1|1.5|2")]
    [InlineData("2", "2")]
    [InlineData("2,5", "2|5")]
    public void A_list_is_cut_at_its_commas(string text, string parts)
    {
        Assert.True(NumberList.TrySplit(text, isWhole: false, out string[] split, out _));
        Assert.Equal(parts.Split('|'), split);
    }

    [Theory]
    [InlineData("1;1,5;2", "write 1,1.5,2.")]
    [InlineData("1;1.5;2", "write 1,1.5,2.")]
    [InlineData("1, 1,5, 2", "write 1,1.5,2.")]
    [InlineData("1 1.5 2", "write 1,1.5,2.")]
    [InlineData("1 1,5 2", "write 1,1.5,2.")]
    [InlineData("0,5", "write 0.5.")]
    [InlineData("2,05", "write 2.05.")]
    [InlineData("1,1,5,2", "1 twice")]
    [InlineData("a;b", "as in 1.5,2.")]
    public void A_list_that_cannot_be_meant_as_it_reads_is_refused_with_what_to_write(string text, string advice)
    {
        Assert.False(NumberList.TrySplit(text, isWhole: false, out _, out string? error));
        Assert.Contains(advice, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1,024", "write 1024.")]
    [InlineData("512,1,024", "write 1024.")]
    [InlineData("512;1024", "write 512,1024.")]
    [InlineData("512 1024", "write 512,1024.")]
    public void A_list_of_whole_numbers_has_no_thousands(string text, string advice)
    {
        Assert.False(NumberList.TrySplit(text, isWhole: true, out _, out string? error));
        Assert.Contains(advice, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2,5", true)]
    [InlineData("1,2", true)]
    [InlineData("1,1.5", false)]
    [InlineData("1,2,3", false)]
    [InlineData("2", false)]
    public void Two_numbers_that_may_have_been_one_are_said(string text, bool isSaid) =>
        Assert.Equal(isSaid, NumberList.Note(text) is not null);
}

using System.Text.Json;
using System.Text.RegularExpressions;
using Foretoken.Schemas;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Schemas;

/// <summary>Regular expressions as .NET writes them into schemas.</summary>
public class PatternTests
{
    [Theory]
    [InlineData("^(?:A|B)-[0-9]{4}$")]
    [InlineData(@"^(?:A|B)-\d{4}$")]
    [InlineData(@"\d{4}")]
    [InlineData("A|B")]
    [InlineData("^a|b$")]
    [InlineData(@"^\w+@\w+\.[a-z]{2,3}$")]
    [InlineData(@"^[^\s""]+$")]
    [InlineData(@"^a\.?b$")]
    [InlineData("^ab?c+$")]
    [InlineData("^(a*)*$")]
    [InlineData("^(a|b?c*)+$")]
    [InlineData(@"^""\\$")]
    [InlineData("^.*$")]
    [InlineData("(?i)^yes|no$")]
    [InlineData(@"\A[A-Z]{3}\z")]
    [InlineData(@"\bfoo\b")]
    [InlineData(@"^\p{Lu}\p{Ll}*$")]
    [InlineData("^[a-z-[aeiou]]{3}$")]
    [InlineData("^(?<year>[0-9]{4})$")]
    [InlineData("^.{0,200}$")]
    [InlineData(@"^\t\n$")]
    [InlineData("^$")]
    public void What_the_grammar_allows_matches_the_whole_expression(string pattern)
    {
        AssertSamplesMatch(pattern, new Random(1), 200);
    }

    [Theory]
    [InlineData("^?x$", "nothing to repeat")]
    [InlineData("^{3}$", "nothing to repeat")]
    [InlineData("(?=a)b", "lookahead")]
    [InlineData("(?!a)b", "lookahead")]
    [InlineData("(?<=a)b", "lookbehind")]
    [InlineData(@"(a)\1", "reference")]
    [InlineData(@"(?<n>a)\k<n>", "reference")]
    [InlineData("(?>a)b", "atomic")]
    [InlineData("a^b", "cannot tell")]
    [InlineData(@"a\bb", "cannot tell")]
    [InlineData(@"\p{IsGreek}", "IsGreek")]
    [InlineData("(", "not a regular expression")]
    [InlineData("a{3,2}", "not a regular expression")]
    [InlineData("((a{1,50}){1,50}){1,50}", "ways")]
    [InlineData("((a{999}){999}){999}", "shortest")]
    [InlineData(@"[^\s\S]", "no character")]
    public void What_no_grammar_can_follow_is_refused_with_the_reason(string pattern, string reason)
    {
        PatternException error = Assert.Throws<PatternException>(() =>
            PatternWriter.Write(PatternParser.Parse(pattern))
        );
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Counts_above_the_limit_are_loosened()
    {
        (string text, _, string? loosened) = PatternWriter.Write(PatternParser.Parse("^a{3000}$"));
        Assert.Equal("^[a]{2000,}$", text);
        Assert.NotNull(loosened);
    }

    [Fact]
    public void Words_may_have_letters_beyond_ASCII()
    {
        (string text, _, _) = PatternWriter.Write(PatternParser.Parse(@"^\w+$"));
        Assert.Matches(@"\\xC0", text);
        Assert.All(
            CharClass.Word.Inner.Ranges.SelectMany(range => new[] { range.First, range.Last }),
            c => Assert.Matches(@"^\w$", char.ConvertFromUtf32(c))
        );
    }

    [Fact]
    public void Deep_groups_and_long_texts_end_in_an_exception()
    {
        string deep = new string('(', 5000) + "a" + new string(')', 4999) + ")";
        Assert.Throws<PatternException>(() => PatternParser.Parse(deep[..9_000]));
        Assert.Throws<PatternException>(() => PatternParser.Parse(new string('a', PatternParser.MaxLength + 1)));
        Assert.Throws<PatternException>(() =>
            PatternParser.Parse(
                string.Concat(Enumerable.Repeat("(", 60)) + "a" + string.Concat(Enumerable.Repeat(")", 60))
            )
        );
    }

    /// <summary>Either an exception that says why not, or a pattern of which every text matches the expression.</summary>
    [Fact]
    public void Generated_expressions_are_translated_or_refused()
    {
        int translated = 0;
        int all = 0;
        foreach (int seed in Fuzz.Seeds(1_000))
        {
            Random random = new(seed);
            string pattern = new RandomPattern(random).Next();
            all++;
            try
            {
                AssertSamplesMatch(pattern, random, 3);
                translated++;
            }
            catch (PatternException e)
            {
                Assert.NotEqual("", e.Message);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}, pattern {pattern}", e);
            }
        }
        Assert.InRange(translated, all / 4, all);
    }

    private static void AssertSamplesMatch(string pattern, Random random, int count)
    {
        (string text, _, string? loosened) = PatternWriter.Write(PatternParser.Parse(pattern));
        Regex regex = Whole(pattern);
        for (int i = 0; i < count; i++)
        {
            string json = JsonPatternSampler.Sample(text, random);
            string value = JsonSerializer.Deserialize<string>(json)!;
            if (loosened is null)
            {
                Assert.True(regex.IsMatch(value), $"{json} does not match {pattern}, which became {text}");
            }
        }
    }

    private static Regex Whole(string pattern)
    {
        string whole = $@"\A(?:{pattern})\z";
        TimeSpan time = TimeSpan.FromSeconds(10);
        try
        {
            return new Regex(whole, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, time);
        }
        catch (NotSupportedException)
        {
            // too large an automaton for .NET
            return new Regex(whole, RegexOptions.CultureInvariant, time);
        }
    }
}

using System.Globalization;

namespace Foretoken.Tuning.Prompts;

/// <summary>A kind of fact that can be planted: what it is about, what it can say, and how.</summary>
internal sealed class FactKind
{
    internal required string Name { get; init; }

    internal required FactForm Form { get; init; }

    internal required IReadOnlyList<string> Subjects { get; init; }

    /// <summary>The values of a kind of words; empty for digits.</summary>
    internal IReadOnlyList<FactValue> Values { get; init; } = [];

    /// <summary>The numbers of a kind of digits, from the first to below the second.</summary>
    internal (int From, int To) Numbers { get; init; }

    internal required IReadOnlyList<FactWording> Wordings { get; init; }

    /// <summary>Plants nothing yet: chooses what would be said.</summary>
    internal Fact Draw(PromptRandom random)
    {
        FactWording wording = random.Choose(Wordings);
        string subject = random.Choose(Subjects);
        FactValue value = Value(random);
        FactValue x = Other(random, value);
        FactValue y = Other(random, value, x);
        return new Fact(
            this,
            Fill(wording.Statement),
            Fill(wording.Question),
            Fill(wording.AnswerStart),
            subject,
            value.Accepted
        );

        string Fill(string text) =>
            text.Replace("{s}", subject, StringComparison.Ordinal)
                .Replace("{S}", Capital(subject), StringComparison.Ordinal)
                .Replace("{v}", value.Text, StringComparison.Ordinal)
                .Replace("{V}", Capital(value.Text), StringComparison.Ordinal)
                .Replace("{x}", x.Text, StringComparison.Ordinal)
                .Replace("{y}", y.Text, StringComparison.Ordinal);
    }

    private FactValue Value(PromptRandom random)
    {
        if (Values.Count > 0)
        {
            return random.Choose(Values);
        }

        string digits = (Numbers.From + random.Next(Numbers.To - Numbers.From)).ToString(CultureInfo.InvariantCulture);
        return new FactValue(digits, [digits]);
    }

    private FactValue Other(PromptRandom random, params ReadOnlySpan<FactValue> taken)
    {
        while (true)
        {
            FactValue other = Value(random);
            bool isTaken = false;
            foreach (FactValue one in taken)
            {
                isTaken |= one.Text == other.Text;
            }

            if (!isTaken)
            {
                return other;
            }
        }
    }

    private static string Capital(string text) => char.ToUpperInvariant(text[0]) + text[1..];
}

/// <summary>What a fact would say, ask and expect.</summary>
internal sealed record Fact(
    FactKind Kind,
    string Statement,
    string Question,
    string AnswerStart,
    string Subject,
    IReadOnlyList<string> Accepted
);

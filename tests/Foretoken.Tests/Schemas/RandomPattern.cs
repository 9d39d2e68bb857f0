using System.Globalization;
using System.Text;

namespace Foretoken.Tests.Schemas;

/// <summary>Regular expressions at random: most of them as people write them, some beyond what is possible, some broken.</summary>
internal sealed class RandomPattern(Random random)
{
    private static readonly string[] Atoms =
    [
        "a",
        "B",
        "7",
        " ",
        "-",
        "_",
        "@",
        "/",
        "\"",
        "\\\\",
        "\\.",
        "\\-",
        "é",
        "日",
        "\\d",
        "\\D",
        "\\w",
        "\\W",
        "\\s",
        "\\S",
        ".",
        "[a-z]",
        "[^a-z]",
        "[A-Za-z0-9_]",
        "[\\w.+-]",
        "[^\\s@]",
        "[^\"\\\\]",
        "[a-z-[aeiou]]",
        "[]x]",
        "\\p{L}",
        "\\p{Lu}",
        "\\P{L}",
        "\\x41",
        "\\u00e9",
        "\\t",
        "\\n",
        "\\e",
        "[\\x00-\\x1f]",
        "\\/",
        "{",
        "}",
        "]",
        "{,3}",
        "#",
    ];

    private static readonly string[] Strange =
    [
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "\\1",
        "\\k<n>",
        "\\b",
        "\\B",
        "^",
        "$",
        "\\A",
        "\\z",
        "\\Z",
        "\\G",
        "?",
        "*",
        "{3}",
        "{5,2}",
        "(",
        ")",
        "[",
        "\\",
        "(?x) a",
        "(?i)",
        "(?s)",
        "(?#comment)",
        "\\p{IsGreek}",
        "\\p{Nope}",
        "\\ud83d\\ude00",
        "😀",
        "\ud83d",
        "[^\\s\\S]",
        "a{99999}",
        "(a*)*",
        "(a|b?)*",
        "((a{1,50}){1,50}){1,50}",
        "(?<n>a)",
        "(?'n'a)",
        "(?:)",
        "()",
        "|",
        "[[:alpha:]]",
        "\\cA",
        "\\07",
    ];

    private static readonly string[] Quantifiers = ["*", "+", "?", "{2}", "{0,3}", "{1,}", "{0}", "*?", "+?", "{2,4}?"];

    public string Next()
    {
        StringBuilder text = new();
        string[] starts = ["^", "\\A", "^", "", "", "(?i)", "^?"];
        string[] ends = ["$", "\\z", "$", "", "", "\\Z"];
        text.Append(starts[random.Next(starts.Length - (random.Next(10) == 0 ? 0 : 1))]);
        Append(text, depth: 0);
        return text.Append(ends[random.Next(ends.Length)]).ToString();
    }

    private void Append(StringBuilder text, int depth)
    {
        int alternatives = random.Next(4) == 0 ? random.Next(1, 4) : 1;
        for (int i = 0; i < alternatives; i++)
        {
            text.Append(i > 0 ? "|" : "");
            for (int n = random.Next(0, 5); n > 0; n--)
            {
                if (random.Next(40) == 0)
                {
                    text.Append(Strange[random.Next(Strange.Length)]);
                    continue;
                }
                if (depth < 5 && random.Next(4) == 0)
                {
                    text.Append(random.Next(2) == 0 ? "(?:" : "(");
                    Append(text, depth + 1);
                    text.Append(')');
                }
                else
                {
                    text.Append(Atoms[random.Next(Atoms.Length)]);
                }
                if (random.Next(3) == 0)
                {
                    text.Append(
                        random.Next(20) == 0
                            ? string.Create(
                                CultureInfo.InvariantCulture,
                                $"{{{random.Next(5000)},{random.Next(5000)}}}"
                            )
                            : Quantifiers[random.Next(Quantifiers.Length)]
                    );
                }
            }
        }
    }
}

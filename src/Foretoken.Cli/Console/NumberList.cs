using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Foretoken.Cli.Console;

/// <summary>
/// Several numbers, separated by commas. A comma that was meant for decimals or thousands is recognised where the list cannot
/// be meant as it reads, and said where it can.
/// </summary>
internal static class NumberList
{
    /// <summary>Splits a list into numbers, which are still text.</summary>
    /// <param name="text">What was typed.</param>
    /// <param name="isWhole">Whether whole numbers are wanted.</param>
    /// <param name="parts">The numbers.</param>
    /// <param name="error">A sentence that says what is wrong and what to write.</param>
    internal static bool TrySplit(string text, bool isWhole, out string[] parts, [NotNullWhen(false)] out string? error)
    {
        parts = text.Split(',', StringSplitOptions.TrimEntries);
        error =
            // where commas are for decimals, lists have semicolons; or a space behind every comma that separates
            text.Contains(';', StringComparison.Ordinal)
                ? Rewrite(text, text.Split(';'), isWhole)
            : text.Contains(", ", StringComparison.Ordinal)
            && text.Replace(", ", "", StringComparison.Ordinal).Contains(',', StringComparison.Ordinal)
                ? Rewrite(text, text.Split(", "), isWhole)
            : Array.Exists(parts, part => part.Any(char.IsWhiteSpace))
                ? Rewrite(text, text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries), isWhole)
            : isWhole ? FindThousands(text, parts)
            : FindDecimals(text, parts);
        return error is null;
    }

    /// <summary>How a list was read that may have been meant as one number; null where it cannot.</summary>
    internal static string? Note(string text) =>
        text.Split(',', StringSplitOptions.TrimEntries) is [var first, var second]
        && first.All(char.IsAsciiDigit)
        && second.All(char.IsAsciiDigit)
            ? $"{text} is read as {first} and {second}; the number between is written {first}.{second}."
            : null;

    // nobody writes 05, nor asks for the same number twice, but 1,05 and 1,5 are written so in many countries
    private static string? FindDecimals(string text, string[] parts)
    {
        for (int i = 1; i < parts.Length; i++)
        {
            if (IsDigits(parts[i - 1]) && IsDigits(parts[i]) && (parts[i - 1] == "0" || HasLeadingZero(parts[i])))
            {
                return $"'{parts[i - 1]},{parts[i]}' reads as two numbers, because commas separate: write {parts[i - 1]}.{parts[i]}.";
            }
        }
        return parts.GroupBy(part => part, StringComparer.Ordinal).FirstOrDefault(same => same.Count() > 1) is { } twice
            ? $"'{text}' has {twice.Key} twice. Commas separate, and decimals have a point: write 1.5 for 1,5."
            : null;
    }

    private static string? FindThousands(string text, string[] parts)
    {
        for (int i = 1; i < parts.Length; i++)
        {
            if (IsDigits(parts[i - 1]) && HasLeadingZero(parts[i]))
            {
                return $"'{parts[i - 1]},{parts[i]}' in '{text}' reads as two numbers, because commas separate: write {parts[i - 1]}{parts[i]}.";
            }
        }
        return null;
    }

    private static string Rewrite(string text, string[] numbers, bool isWhole)
    {
        List<string> meant = [];
        foreach (string number in numbers)
        {
            string typed = number.Trim().TrimEnd(',').Trim();
            bool isNumber = isWhole
                ? NumberText.TryParseWhole(typed, out _, out _)
                : NumberText.TryParse(typed, out _, out _);
            if ((isNumber ? typed : NumberText.Suggest(typed, isWhole)) is not { } one)
            {
                string example = isWhole ? "512,1024" : "1.5,2";
                return $"'{text}' is not a list of numbers: separate them by commas, as in {example}.";
            }
            meant.Add(one);
        }
        return $"'{text}' is not a list of numbers separated by commas: write {string.Join(',', meant)}.";
    }

    private static bool IsDigits(string part) => part.Length > 0 && part.All(char.IsAsciiDigit);

    private static bool HasLeadingZero(string part) => part.Length > 1 && part[0] == '0' && IsDigits(part);

    /// <summary>For example <c>1,1.5,2</c>.</summary>
    internal static string Format(IEnumerable<double> numbers) =>
        string.Join(',', numbers.Select(number => number.ToString(CultureInfo.InvariantCulture)));
}

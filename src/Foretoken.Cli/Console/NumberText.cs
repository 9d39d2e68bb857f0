using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Foretoken.Cli.Console;

/// <summary>
/// Numbers as people type them: decimals behind a point, nothing between thousands. What people write otherwise is never
/// guessed; the error says how to write what they may have meant.
/// </summary>
internal static partial class NumberText
{
    /// <summary>Reads a number such as 2.5, 1e-3 or -4.</summary>
    /// <param name="text">What was typed.</param>
    /// <param name="value">The number; finite.</param>
    /// <param name="error">A sentence that says what is wrong and what to write.</param>
    internal static bool TryParse(string text, out double value, [NotNullWhen(false)] out string? error)
    {
        string typed = text.Trim();
        value = 0;
        if (Decimal().IsMatch(typed))
        {
            value = double.Parse(typed, NumberStyles.Float, CultureInfo.InvariantCulture);
            error = double.IsFinite(value) ? null : $"'{typed}' is too large a number.";
            return error is null;
        }
        error = Explain(typed, isWhole: false);
        return false;
    }

    /// <summary>Reads a whole number such as 4096 or -1.</summary>
    /// <inheritdoc cref="TryParse"/>
    internal static bool TryParseWhole(string text, out long value, [NotNullWhen(false)] out string? error)
    {
        string typed = text.Trim();
        value = 0;
        if (Whole().IsMatch(typed))
        {
            error = long.TryParse(typed, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value)
                ? null
                : $"'{typed}' is too large a number.";
            return error is null;
        }
        error = Explain(typed, isWhole: true);
        return false;
    }

    /// <summary>How the number would be written that somebody may have meant; null when nothing suggests itself.</summary>
    internal static string? Suggest(string text, bool isWhole)
    {
        Match match = Meant().Match(Plain(text.Trim()));
        if (!match.Success)
        {
            return null;
        }
        string sign = match.Groups["sign"].Value == "-" ? "-" : "";
        string digits = match.Groups["digits"].Value;
        int comma = digits.LastIndexOf(',');
        int point = digits.LastIndexOf('.');
        string number =
            comma >= 0 && point >= 0
                // the later one of two kinds is the sign of decimals, everywhere
                ? digits.Replace(comma > point ? "." : ",", "", StringComparison.Ordinal).Replace(',', '.')
            : comma >= 0
                ? IsGrouped(digits, ',') && (isWhole || digits.IndexOf(',', StringComparison.Ordinal) < comma)
                        ? digits.Replace(",", "", StringComparison.Ordinal)
                    : digits.Replace(',', '.')
            : IsGrouped(digits, '.') && (isWhole || digits.IndexOf('.', StringComparison.Ordinal) < point)
                ? digits.Replace(".", "", StringComparison.Ordinal)
            : digits;
        if (
            !decimal.TryParse(
                number,
                NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent,
                CultureInfo.InvariantCulture,
                out decimal value
            )
        )
        {
            return null;
        }
        if (match.Groups["unit"].Value is "k" or "K")
        {
            return value <= long.MaxValue / 2048 && value * 1000 == decimal.Truncate(value * 1000)
                ? Text(sign, value * 1000)
                : null;
        }
        return isWhole && (value != decimal.Truncate(value) || value > long.MaxValue) ? null : Text(sign, value);

        static string Text(string sign, decimal value) =>
            // the number of zeros behind the point is part of a decimal
            sign + (value / 1.0000000000000000000000000000m).ToString(CultureInfo.InvariantCulture);
    }

    private static string Explain(string text, bool isWhole)
    {
        string what = isWhole ? "a whole number" : "a number";
        string example = isWhole ? "512" : "2.5";
        return text.Length == 0 ? $"There is nothing where {what} belongs: write one such as {example}."
            : Suggest(text, isWhole) is { } meant
                ? text.Contains(',', StringComparison.Ordinal)
                        ? $"'{text}' is not {what}, because of its comma: write {meant}."
                    : $"'{text}' is not {what}: write {meant}."
            : $"'{text}' is not {what}: write one such as {example}.";
    }

    /// <summary>The same with ASCII's digits and signs, without what stands between thousands.</summary>
    private static string Plain(string text)
    {
        StringBuilder plain = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if ((char.IsWhiteSpace(c) || c is '_' or '\'' or '’') && IsBetweenThousands(text, i))
            {
                continue;
            }
            plain.Append(
                char.IsDigit(c) ? (char)('0' + (int)char.GetNumericValue(c))
                : c is '−' or '–' ? '-'
                : c is '٫' or '，' ? ','
                : c
            );
        }
        return plain.ToString();
    }

    private static bool IsBetweenThousands(string text, int at) =>
        at > 0
        && char.IsDigit(text[at - 1])
        && at + 3 < text.Length
        && text.AsSpan(at + 1, 3).IndexOfAnyExceptInRange('0', '9') < 0
        && (at + 4 == text.Length || !char.IsDigit(text[at + 4]));

    private static bool IsGrouped(string digits, char separator)
    {
        string[] groups = digits.Split(separator);
        return groups.Length > 1
            && groups[0].Length is >= 1 and <= 3
            && groups[0][0] != '0'
            && groups.Skip(1).All(group => group.Length == 3);
    }

    [GeneratedRegex(@"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")]
    private static partial Regex Decimal();

    [GeneratedRegex("^[+-]?[0-9]+$")]
    private static partial Regex Whole();

    // a number, perhaps with a unit behind it: 2,5 or 2.5x or 10 % or 4k or 512 tokens
    [GeneratedRegex(@"^(?<sign>[+-]?)(?<digits>[0-9][0-9.,]*([eE][+-]?[0-9]{1,2})?)\s*(?<unit>[\p{L}%×°]*)$")]
    private static partial Regex Meant();
}

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Foretoken.Cli.Console;

/// <summary>
/// Options whose values are numbers. Every one of every command reads its value here, through <see cref="NumberText"/>, so
/// that a number is written alike everywhere and an error speaks of the option and not of a type.
/// </summary>
internal static class NumberOptions
{
    /// <summary>Makes an option one for whole numbers within bounds.</summary>
    /// <returns><paramref name="option"/>.</returns>
    internal static Option<int> Whole(this Option<int> option, int least = int.MinValue, int most = int.MaxValue)
    {
        option.CustomParser = result => (int)(ReadWhole(option, result, least, most) ?? 0);
        return option;
    }

    /// <inheritdoc cref="Whole(Option{int}, int, int)"/>
    internal static Option<int?> Whole(this Option<int?> option, int least = int.MinValue, int most = int.MaxValue)
    {
        option.CustomParser = result => (int?)ReadWhole(option, result, least, most);
        return option;
    }

    /// <inheritdoc cref="Whole(Option{int}, int, int)"/>
    internal static Option<long?> Whole(this Option<long?> option)
    {
        option.CustomParser = result => ReadWhole(option, result, long.MinValue, long.MaxValue);
        return option;
    }

    /// <summary>Makes an option one for numbers.</summary>
    /// <param name="option">The option; changed in place.</param>
    /// <param name="explain">Why a number cannot be asked for, as a sentence; null when it can.</param>
    /// <returns><paramref name="option"/>.</returns>
    internal static Option<double> Number(this Option<double> option, Func<double, string?>? explain = null)
    {
        option.CustomParser = result => ReadNumber(option, result, explain) ?? 0;
        return option;
    }

    /// <inheritdoc cref="Number(Option{double}, Func{double, string})"/>
    internal static Option<double?> Number(this Option<double?> option, Func<double, string?>? explain = null)
    {
        option.CustomParser = result => ReadNumber(option, result, explain);
        return option;
    }

    /// <inheritdoc cref="Number(Option{double}, Func{double, string})"/>
    internal static Option<float?> Number(this Option<float?> option, Func<double, string?>? explain = null)
    {
        option.CustomParser = result => (float?)ReadNumber(option, result, explain);
        return option;
    }

    /// <summary>For <see cref="Number(Option{double}, Func{double, string})"/>: refuses what is not within bounds.</summary>
    internal static Func<double, string?> Between(double least, double most) =>
        value =>
            value >= least && value <= most
                ? null
                : string.Create(CultureInfo.InvariantCulture, $"{value} is not between {least} and {most}.");

    /// <summary>For <see cref="Number(Option{double}, Func{double, string})"/>: refuses 0 and what is below.</summary>
    internal static string? Positive(double value) =>
        value > 0 ? null : string.Create(CultureInfo.InvariantCulture, $"{value} is not above 0.");

    /// <summary>For <see cref="Number(Option{double}, Func{double, string})"/>: refuses what is below 0.</summary>
    internal static string? NotNegative(double value) =>
        value >= 0 ? null : string.Create(CultureInfo.InvariantCulture, $"{value} is below 0.");

    private static long? ReadWhole(Option option, ArgumentResult result, long least, long most)
    {
        string text = Typed(result);
        if (!NumberText.TryParseWhole(text, out long value, out string? error))
        {
            result.AddError($"{option.Name}: {error}");
            return null;
        }
        if (value >= least && value <= most)
        {
            return value;
        }
        result.AddError(
            value < least && most >= int.MaxValue
                ? string.Create(CultureInfo.InvariantCulture, $"{option.Name} is at least {least}, not {value}.")
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"{option.Name} is between {least} and {most}, not {value}."
                )
        );
        return null;
    }

    private static double? ReadNumber(Option option, ArgumentResult result, Func<double, string?>? explain)
    {
        if (!NumberText.TryParse(Typed(result), out double value, out string? error))
        {
            result.AddError($"{option.Name}: {error}");
            return null;
        }
        if (explain?.Invoke(value) is { } refused)
        {
            result.AddError($"{option.Name}: {refused}");
            return null;
        }
        return value;
    }

    private static string Typed(ArgumentResult result) => result.Tokens.Count > 0 ? result.Tokens[^1].Value : "";
}

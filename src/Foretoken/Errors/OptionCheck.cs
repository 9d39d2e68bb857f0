using System.Globalization;
using System.Runtime.CompilerServices;

namespace Foretoken.Errors;

/// <summary>What the setters of options refuse.</summary>
internal static class OptionCheck
{
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    internal static int NotNegative(int value, [CallerMemberName] string option = "") => AtLeast(value, 0, option);

    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    internal static int Positive(int value, [CallerMemberName] string option = "") => AtLeast(value, 1, option);

    /// <exception cref="ArgumentOutOfRangeException">Less than <paramref name="least"/>.</exception>
    internal static int AtLeast(int value, int least, [CallerMemberName] string option = "")
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, least, option);
        return value;
    }

    /// <exception cref="ArgumentOutOfRangeException">Not between <paramref name="least"/> and <paramref name="most"/>.</exception>
    internal static int Between(int value, int least, int most, [CallerMemberName] string option = "") =>
        (int)InRange((double)value, least, most, option);

    /// <exception cref="ArgumentOutOfRangeException">Not between <paramref name="least"/> and <paramref name="most"/>, or not a number.</exception>
    internal static float? InRange(float? value, float least, float most, [CallerMemberName] string option = "") =>
        value is { } number ? (float)InRange((double)number, least, most, option) : null;

    /// <exception cref="ArgumentOutOfRangeException">Not between <paramref name="least"/> and <paramref name="most"/>, or not a number.</exception>
    internal static double InRange(double value, double least, double most, [CallerMemberName] string option = "") =>
        // the comparison is false for NaN
        value >= least
        && value <= most
            ? value
            : throw new ArgumentOutOfRangeException(
                option,
                value,
                string.Create(CultureInfo.InvariantCulture, $"{option} is between {least} and {most}, not {value:G7}.")
            );

    /// <exception cref="ArgumentOutOfRangeException">No member of the enumeration has this value.</exception>
    internal static T Defined<T>(T value, [CallerMemberName] string option = "")
        where T : struct, Enum =>
        Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(
                option,
                value,
                $"{option} is one of {string.Join(", ", Enum.GetNames<T>())}."
            );

    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 1.</exception>
    internal static double Share(double value, [CallerMemberName] string option = "") =>
        value > 0 && value < 1
            ? value
            : throw new ArgumentOutOfRangeException(option, value, "A share between 0 and 1 is needed.");

    /// <summary>The path from the root, so that it means the same when the working folder changes; null for null.</summary>
    internal static string? FullPath(string? path) => string.IsNullOrEmpty(path) ? path : Path.GetFullPath(path);

    /// <exception cref="ArgumentException">A name is null or empty.</exception>
    internal static IReadOnlyList<string>? Names(
        IReadOnlyList<string>? values,
        [CallerMemberName] string option = ""
    ) =>
        values is null || values.All(name => !string.IsNullOrWhiteSpace(name))
            ? values
            : throw new ArgumentException($"{option} has a name that is null or empty.", option);

    /// <exception cref="ArgumentException">Empty.</exception>
    internal static string? NotEmpty(string? value, [CallerMemberName] string option = "")
    {
        if (value is not null)
        {
            ArgumentException.ThrowIfNullOrEmpty(value, option);
        }
        return value;
    }
}

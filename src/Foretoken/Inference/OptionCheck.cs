using System.Runtime.CompilerServices;

namespace Foretoken.Inference;

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

    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 1.</exception>
    internal static double Share(double value, [CallerMemberName] string option = "") =>
        value > 0 && value < 1
            ? value
            : throw new ArgumentOutOfRangeException(option, value, "A share between 0 and 1 is needed.");

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

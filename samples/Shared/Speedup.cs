using System.Globalization;

namespace Foretoken.Samples;

/// <summary>A speedup on the command line of a sample.</summary>
internal static class Speedup
{
    /// <summary>Reads a number such as 2.5; where none is given, it is 2.</summary>
    /// <remarks>Whatever the culture, and without thousands: 2,5 is no number here, rather than 25.</remarks>
    internal static bool TryParse(string? text, out double speedup) =>
        double.TryParse(text ?? "2", NumberStyles.Float, CultureInfo.InvariantCulture, out speedup)
        && double.IsFinite(speedup);
}

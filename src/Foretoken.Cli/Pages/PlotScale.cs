namespace Foretoken.Cli.Pages;

/// <summary>Values on a line of a plot.</summary>
/// <param name="Low">Value at <paramref name="From"/>.</param>
/// <param name="High">Value at <paramref name="To"/>.</param>
/// <param name="From">Coordinate of the low end.</param>
/// <param name="To">Coordinate of the high end.</param>
/// <param name="IsLogarithmic">Whether equal distances are equal ratios; values are positive then.</param>
internal readonly record struct PlotScale(double Low, double High, double From, double To, bool IsLogarithmic = false)
{
    /// <summary>The coordinate of a value.</summary>
    internal double this[double value] =>
        From
        + (IsLogarithmic ? Math.Log(value / Low) / Math.Log(High / Low) : (value - Low) / (High - Low)) * (To - From);

    /// <summary>About so many round values; on a logarithmic scale 1, 2 and 5 times the powers of ten, however many.</summary>
    internal IEnumerable<double> Ticks(int about) => IsLogarithmic ? LogarithmicTicks() : LinearTicks(about);

    private IEnumerable<double> LinearTicks(int about)
    {
        double raw = (High - Low) / about;
        double power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        double step = (raw / power) switch
        {
            <= 1 => power,
            <= 2 => 2 * power,
            <= 5 => 5 * power,
            _ => 10 * power,
        };
        for (double n = Math.Ceiling(Low / step); n * step <= High + (step * 1e-9); n++)
        {
            yield return n * step;
        }
    }

    private IEnumerable<double> LogarithmicTicks()
    {
        for (double power = Math.Pow(10, Math.Floor(Math.Log10(Low))); power <= High; power *= 10)
        {
            foreach (double factor in (double[])[1, 2, 5])
            {
                if (factor * power >= Low * (1 - 1e-9) && factor * power <= High * (1 + 1e-9))
                {
                    yield return factor * power;
                }
            }
        }
    }
}

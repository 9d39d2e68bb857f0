namespace Foretoken.Cli.Pages;

/// <summary>One point of a line.</summary>
/// <param name="X">Value on the horizontal axis.</param>
/// <param name="Y">Value on the vertical axis.</param>
/// <param name="Hover">What is said when a pointer rests on it.</param>
/// <param name="Interval">Interval of <paramref name="Y"/>, drawn as a whisker; null for none.</param>
internal sealed record PlotPoint(double X, double Y, string Hover, (double Low, double High)? Interval = null);

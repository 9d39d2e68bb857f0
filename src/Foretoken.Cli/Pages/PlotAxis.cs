namespace Foretoken.Cli.Pages;

/// <summary>One axis of a panel.</summary>
/// <param name="Scale">Where values are.</param>
/// <param name="Title">What is shown, with its unit; empty for none.</param>
/// <param name="Ticks">The values that have a grid line and a label.</param>
/// <param name="Label">Spells a value.</param>
internal sealed record PlotAxis(PlotScale Scale, string Title, IReadOnlyList<double> Ticks, Func<double, string> Label);

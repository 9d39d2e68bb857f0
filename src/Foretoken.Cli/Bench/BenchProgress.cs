namespace Foretoken.Cli.Bench;

/// <summary>How far a benchmark is.</summary>
/// <param name="Text">What runs, for people.</param>
/// <param name="Fraction">Share of the time that is over, 0 to 1.</param>
/// <param name="Remaining">Time that is left; null before anything is known.</param>
internal sealed record BenchProgress(string Text, double Fraction, TimeSpan? Remaining);

namespace Foretoken.Cli.Bench;

/// <summary>What one round knows about a ratio.</summary>
/// <param name="Numerators">Values above the line; of a speedup, the baseline's times.</param>
/// <param name="Denominators">Values below it: our times.</param>
internal sealed record RatioRound(IReadOnlyList<double> Numerators, IReadOnlyList<double> Denominators);

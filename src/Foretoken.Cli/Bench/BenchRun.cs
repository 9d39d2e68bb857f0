using Foretoken.Costs;

namespace Foretoken.Cli.Bench;

/// <summary>What a <see cref="BenchRunner"/> runs.</summary>
internal sealed record BenchRun
{
    public required IReadOnlyList<BenchCase> Cases { get; init; }
    public required int Rounds { get; init; }
    public required int Seed { get; init; }
    public required int DecodeTokens { get; init; }

    /// <summary>Prompts are drawn from it.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Operations of prompts of this model, for the estimate of the duration.</summary>
    public required CountedPrefillCost Costs { get; init; }

    /// <summary>Cores of the machine.</summary>
    public required int Cores { get; init; }

    public int Rivals { get; init; }

    /// <summary>Text of a number of tokens for rivals that take text; another one for each round.</summary>
    public Func<int, int, string> RivalText { get; init; } = (_, _) => "";

    /// <summary>No round is begun that would not end within it; the first one always is. Null for no limit.</summary>
    public TimeSpan? MaxDuration { get; init; }
}

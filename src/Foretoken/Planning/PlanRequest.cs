namespace Foretoken.Planning;

/// <summary>What a <see cref="PrefillPlanner"/> is asked for.</summary>
public readonly record struct PlanRequest
{
    /// <summary>By what factor the time to first token shall shrink, from 1 (keep all) to <see cref="PrefillPlanner.MaxTargetSpeedup"/>.</summary>
    public required double TargetSpeedup { get; init; }

    /// <summary>Tokens of the prompt that must be computed. Only these can be dropped.</summary>
    public required int NewTokens { get; init; }

    /// <summary>Tokens that the sequence holds already (a reused prefix). Default 0.</summary>
    public int PastTokens { get; init; }

    /// <summary>
    /// New tokens that are always kept, those kept by their place (<see cref="AlwaysKept"/>) included; these are counted at
    /// least. Default 0.
    /// </summary>
    public int AlwaysKept { get; init; }

    /// <summary>Whether a target that cannot be reached is an exception. Default <see langword="false"/>: the best possible is used.</summary>
    /// <remarks>A prompt that is too short to be thinned is prefilled plainly also when asked strictly.</remarks>
    public bool IsStrict { get; init; }

    /// <summary>Name of the importance to put into the plan; <see langword="null"/> for the default one.</summary>
    public string? Importance { get; init; }
}

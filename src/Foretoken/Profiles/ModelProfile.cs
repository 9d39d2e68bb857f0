using Foretoken.Planning;

namespace Foretoken.Profiles;

/// <summary>
/// What <c>foretoken tune</c> learned about one model: importance predictors, and plans with their measured quality. Immutable
/// and thread-safe.
/// </summary>
public sealed record ModelProfile
{
    /// <summary>Identifies the weights that it was learned from.</summary>
    public required string Fingerprint { get; init; }

    /// <summary>Name of the model, for people.</summary>
    public required string ModelName { get; init; }

    /// <summary>Layers of the model.</summary>
    public required int LayerCount { get; init; }

    /// <summary>Attention heads per layer of the model.</summary>
    public required int HeadCount { get; init; }

    /// <summary>Width of the model's residual stream.</summary>
    public required int EmbeddingSize { get; init; }

    /// <summary>What it was learned from.</summary>
    public required ProfileOrigin Origin { get; init; }

    /// <summary>The importance predictors, one per boundary.</summary>
    public required IReadOnlyList<ImportancePredictor> Predictors { get; init; }

    /// <summary>Families of plans with the loss that was measured along each; empty when none was measured.</summary>
    public IReadOnlyList<PrefillSchedule> Schedules { get; init; } = [];

    /// <summary>Settings of a planner for prefills that rank tokens by <see cref="Predictors"/>: the losses were measured with them.</summary>
    public PrefillPlannerOptions PlannerOptions => Schedules.Count == 0 ? new() : new() { Schedules = Schedules };

    /// <summary>What was measured, plan by plan.</summary>
    public IReadOnlyList<ProfileQuality> Quality { get; init; } = [];
}

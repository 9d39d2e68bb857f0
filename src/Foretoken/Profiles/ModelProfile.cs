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

    /// <summary>The routers, one entry per kind and number of skips; empty when none were learned.</summary>
    public IReadOnlyList<SkipRouter> Routers { get; init; } = [];

    /// <summary>What doing without parts of layers costs, static sets and routed ones; empty when it was not measured.</summary>
    public IReadOnlyList<ProfileSkipQuality> SkipQuality { get; init; } = [];

    /// <summary>
    /// Settings of a planner for prefills that rank tokens by <see cref="Predictors"/>: the losses were measured with them.
    /// </summary>
    public PrefillPlannerOptions PlannerOptions
    {
        get
        {
            PrefillPlannerOptions options = new() { Skips = [.. SkipQuality.Select(Option)] };
            return Schedules.Count == 0 ? options : options with { Schedules = Schedules };
        }
    }

    /// <summary>What chooses the skips of a routed plan; <see langword="null"/> when the profile has no routers.</summary>
    public ILayerRouter? CreateRouter() => Routers.Count == 0 ? null : new LayerRouters(Routers);

    private SkipOption Option(ProfileSkipQuality quality) =>
        quality.Routing is { } routing
            ? new SkipOption(routing, new LayerRouters(Routers).Find(routing).Layers, quality.KlDivergence)
            : new SkipOption(quality.Skips, quality.KlDivergence);

    /// <summary>What was measured, plan by plan.</summary>
    public IReadOnlyList<ProfileQuality> Quality { get; init; } = [];
}

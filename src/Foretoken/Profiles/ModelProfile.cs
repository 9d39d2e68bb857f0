using System.Globalization;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Profiles;

/// <summary>
/// What <c>foretoken tune</c> learned about one model: importance predictors, and plans with their measured quality. Immutable
/// and thread-safe.
/// </summary>
internal sealed record ModelProfile
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
    /// The LoRA adapters that <see cref="Routers"/> and <see cref="SkipQuality"/> were learned with; empty when with the model
    /// alone. What skips lose with some adapters says nothing of the model with others, so they are used with exactly these.
    /// </summary>
    public IReadOnlyList<ProfileAdapter> SkipAdapters { get; init; } = [];

    /// <summary>
    /// Settings of a planner for prefills without LoRA adapters that rank tokens by <see cref="Predictors"/>: the losses were
    /// measured with them.
    /// </summary>
    public PrefillPlannerOptions PlannerOptions => GetPlannerOptions([]);

    /// <summary>
    /// Settings of a planner for prefills with LoRA adapters that rank tokens by <see cref="Predictors"/>. Skips are among them
    /// only with the adapters that they were learned with; what dropped tokens lose was measured without adapters.
    /// </summary>
    /// <param name="adapters">The adapters, in any order.</param>
    public PrefillPlannerOptions GetPlannerOptions(IReadOnlyList<ProfileAdapter> adapters)
    {
        PrefillPlannerOptions options = new()
        {
            Skips = FindSkipMismatch(adapters) is null ? [.. SkipQuality.Select(Option)] : [],
        };
        return Schedules.Count == 0 ? options : options with { Schedules = Schedules };
    }

    /// <summary>Why <see cref="Routers"/> and <see cref="SkipQuality"/> are not for prefills with some LoRA adapters, and what to do, for people.</summary>
    /// <param name="adapters">The adapters, in any order.</param>
    /// <returns>Half a sentence; <see langword="null"/> when they are for them, or when there are none.</returns>
    public string? FindSkipMismatch(IReadOnlyList<ProfileAdapter> adapters)
    {
        ArgumentNullException.ThrowIfNull(adapters);
        bool isForThem = Identities(adapters).SequenceEqual(Identities(SkipAdapters));
        return isForThem || (Routers.Count == 0 && SkipQuality.Count == 0)
            ? null
            : $"it was learned with {Describe(SkipAdapters)}, and this prefill computes with {Describe(adapters)}. Compute with what it was learned with, or learn it anew: 'foretoken tune --skips --keep-importance', with '--lora FILE=SCALE' for each adapter";
    }

    /// <summary>What chooses the skips of a routed plan; <see langword="null"/> when the profile has no routers.</summary>
    public ILayerRouter? CreateRouter() => Routers.Count == 0 ? null : new LayerRouters(Routers);

    private SkipOption Option(ProfileSkipQuality quality) =>
        quality.Routing is { } routing
            ? new SkipOption(routing, new LayerRouters(Routers).Find(routing).Layers, quality.KlDivergence)
            : new SkipOption(quality.Skips, quality.KlDivergence);

    private static IEnumerable<(string, float)> Identities(IReadOnlyList<ProfileAdapter> adapters) =>
        adapters.Select(adapter => (adapter.Fingerprint, adapter.Scale)).Order();

    private static string Describe(IReadOnlyList<ProfileAdapter> adapters) =>
        adapters.Count == 0
            ? "no LoRA adapter"
            : string.Join(
                " and ",
                adapters.Select(adapter =>
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"'{adapter.FileName}' (SHA-256 {adapter.Fingerprint[..12]}) at scale {adapter.Scale}"
                    )
                )
            );

    /// <summary>What was measured, plan by plan.</summary>
    public IReadOnlyList<ProfileQuality> Quality { get; init; } = [];
}

using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Planning;

/// <summary>What a <see cref="PrefillPlanner"/> is asked for.</summary>
internal readonly record struct PlanRequest
{
    /// <summary>
    /// By what factor the time to first token shall shrink, from 1 (keep all) to <see cref="PrefillPlanner.MaxTargetSpeedup"/>.
    /// Default <see langword="null"/>: as fast as <see cref="MaxQualityLoss"/> allows; without that, 1.
    /// </summary>
    public double? TargetSpeedup { get; init; }

    /// <summary>
    /// By what factor the time of an output token shall shrink, from 1 to <see cref="PrefillPlanner.MaxTargetSpeedup"/>, beside
    /// <see cref="TargetSpeedup"/>; counted as in <see cref="DecodeCost"/>. Default <see langword="null"/>: not asked for.
    /// </summary>
    public double? TargetDecodeSpeedup { get; init; }

    /// <summary>
    /// Quality that may be lost, as KL divergence from full prefill in nats, above 0: no plan of a larger expected loss is
    /// taken, whatever the target. Default <see langword="null"/>: any.
    /// </summary>
    /// <remarks>Needs schedules with <see cref="PrefillSchedule.Losses"/>. Without them the prefill is plain, and the reason says so.</remarks>
    public double? MaxQualityLoss { get; init; }

    /// <summary>
    /// Whether fewer tokens than planned may go on where their importance does not pass the threshold of the policy: between
    /// <see cref="PrefillPlannerOptions.ThresholdFloor"/> times the retention and the retention. The promise holds either way.
    /// Default <see langword="false"/>: fixed shares.
    /// </summary>
    /// <remarks>With <see cref="MaxQualityLoss"/> the shares stay fixed: losses are measured with fixed shares.</remarks>
    public bool UseThresholds { get; init; }

    /// <summary>Tokens of the prompt that must be computed. Only these can be dropped.</summary>
    public required int NewTokens { get; init; }

    /// <summary>Tokens that the sequence holds already (a reused prefix). Default 0.</summary>
    public int PastTokens { get; init; }

    /// <summary>
    /// New tokens that are always kept, those kept by their place (<see cref="AlwaysKept"/>) included; these are counted at
    /// least. Default 0.
    /// </summary>
    public int AlwaysKept { get; init; }

    /// <summary>
    /// Whether a target that cannot be reached is an exception, and a quality budget where no loss is known. Default
    /// <see langword="false"/>: the best possible is used.
    /// </summary>
    /// <remarks>A prompt that is too short to be thinned is prefilled plainly also when asked strictly.</remarks>
    public bool IsStrict { get; init; }

    /// <summary>The probes of the importance that chooses tokens. Default: none. Matters to measured costs only.</summary>
    public ProbeLoad Probes { get; init; }

    /// <summary>Name of the importance to put into the plan; <see langword="null"/> for the default one.</summary>
    public string? Importance { get; init; }
}

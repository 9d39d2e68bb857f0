using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Plans;

namespace Foretoken.Planning;

/// <summary>
/// What a caller asks of speed and quality. The same record is the default of a client, the override of one request and a part of
/// what a session's prefill is asked for. Immutable, so it can be shared between threads.
/// </summary>
/// <remarks>
/// <see langword="null"/> means: not said here. In a request it leaves the choice to the client, in a client to the defaults below.
/// </remarks>
public sealed record SpeedOptions
{
    /// <summary>
    /// By what factor the time to first token shall shrink, 1 to 1,000; 1.5 to 3 are
    /// useful values. Default <see langword="null"/>: 1, so nothing is left out, unless <see cref="MaxQualityLoss"/> is set; that
    /// alone asks for as much speed as it allows.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above the maximum, or not a number.</exception>
    public double? TargetTtftSpeedup
    {
        get;
        init =>
            field = value is { } target ? PrefillPlanner.EnsureValidTarget(target, nameof(TargetTtftSpeedup)) : null;
    }

    /// <summary>
    /// By what factor the time of every output token shall shrink, 1 to 1,000, beside that
    /// to the first; 1.05 to 1.3 are useful values. For the whole answer the sequence does without layers that the profile knows
    /// to matter least (<c>foretoken tune --skips</c>), or with fewer tokens in the upper ones, whichever is expected to lose
    /// less. Default <see langword="null"/>: not asked for.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above the maximum, or not a number.</exception>
    public double? TargetDecodeSpeedup
    {
        get;
        init =>
            field = value is { } target
                ? PrefillPlanner.EnsureValidDecodeTarget(target, nameof(TargetDecodeSpeedup))
                : null;
    }

    /// <summary>
    /// Quality that may be lost, as KL divergence from full prefill in nats, above 0; 0.05 to 0.5 are useful values. The fastest
    /// plan within it is used; with a target beside it, whichever is more careful decides. Default <see langword="null"/>: no budget.
    /// </summary>
    /// <remarks>
    /// What plans lose is measured when a model is tuned; without a tuned profile, or with another importance than the learned
    /// one, the prefill is plain and the report says why. It counts the tokens that this prefill computes: a thinned prefix that
    /// is reused stays as it is.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">Not a finite number above 0.</exception>
    public double? MaxQualityLoss
    {
        get;
        init => field = value is { } loss ? PrefillPlanner.EnsureValidQualityLoss(loss, nameof(MaxQualityLoss)) : null;
    }

    /// <summary>
    /// Let fewer tokens go on than planned where their importance does not pass the policy's threshold (LTP, arXiv 2107.00910),
    /// so that a prompt with little in it is faster than promised. Default <see langword="null"/>: fixed shares, as with an
    /// importance that has no threshold, and with <see cref="MaxQualityLoss"/>, whose losses are measured with fixed shares.
    /// </summary>
    public bool? UseThresholds { get; init; }

    /// <summary>
    /// Name of the importance that ranks tokens: <c>learned</c> (needs a profile), <c>head-normalized-window</c>,
    /// <c>recent-window</c>, <c>attention-context-contribution</c>, <c>most-recent</c>, or <c>random</c>, to compare with. Default
    /// <see langword="null"/>: <c>learned</c> where the model has a profile, otherwise <c>head-normalized-window</c>.
    /// </summary>
    /// <exception cref="ArgumentException">There is no such importance.</exception>
    public string? Importance
    {
        get;
        init
        {
            ImportancePolicies.EnsureKnown(value);
            field = value;
        }
    }

    /// <summary>
    /// Throw <see cref="PlanUnreachableException"/> when a speedup is out of reach, instead of coming as close as possible, and
    /// <see cref="QualityLossUnknownException"/> when a quality budget is given and no loss was measured. Default
    /// <see langword="null"/>: do not throw.
    /// </summary>
    public bool? Strict { get; init; }

    /// <summary>
    /// A plan to run as it is, instead of one that is made for the targets and the quality above, which are then ignored. Default
    /// <see langword="null"/>: the planner makes one.
    /// </summary>
    public PrefillPlan? Plan { get; init; }

    /// <summary>The target with its default.</summary>
    internal double Target => TargetTtftSpeedup ?? 1;

    /// <summary>Whether nothing may be left out, unless a <see cref="Plan"/> says so.</summary>
    internal bool KeepsAll =>
        Target == 1 && !(TargetDecodeSpeedup > 1) && (TargetTtftSpeedup is not null || MaxQualityLoss is null);

    /// <summary>These options, with what they do not say taken from others.</summary>
    internal SpeedOptions Over(SpeedOptions defaults) =>
        new()
        {
            TargetTtftSpeedup = TargetTtftSpeedup ?? defaults.TargetTtftSpeedup,
            TargetDecodeSpeedup = TargetDecodeSpeedup ?? defaults.TargetDecodeSpeedup,
            MaxQualityLoss = MaxQualityLoss ?? defaults.MaxQualityLoss,
            UseThresholds = UseThresholds ?? defaults.UseThresholds,
            Importance = Importance ?? defaults.Importance,
            Strict = Strict ?? defaults.Strict,
            Plan = Plan ?? defaults.Plan,
        };
}

using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Sessions;

/// <summary>What a prefill is asked for.</summary>
public sealed class PrefillRequest
{
    private double? _maxQualityLoss;
    private double? _targetDecodeSpeedup;

    /// <summary>
    /// By what factor the time to first token shall shrink, 1 to <see cref="PrefillPlanner.MaxTargetSpeedup"/>.
    /// Default 1: nothing is left out, unless <see cref="MaxQualityLoss"/> is set; that alone asks for as much speed as it allows.
    /// Ignored when <see cref="Plan"/> is set.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above the maximum, or not a number.</exception>
    public double TargetTtftSpeedup
    {
        get => AskedSpeedup ?? 1;
        set => AskedSpeedup = PrefillPlanner.EnsureValidTarget(value, nameof(TargetTtftSpeedup));
    }

    /// <summary>
    /// By what factor the time of an output token shall shrink, 1 to <see cref="PrefillPlanner.MaxTargetSpeedup"/>, beside
    /// <see cref="TargetTtftSpeedup"/>: for the whole answer the sequence does without layers that the profile knows to matter
    /// least, or with fewer tokens in the upper ones, whichever is expected to lose less. Default null: not asked for. Ignored
    /// when <see cref="Plan"/> is set.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above the maximum, or not a number.</exception>
    public double? TargetDecodeSpeedup
    {
        get => _targetDecodeSpeedup;
        set =>
            _targetDecodeSpeedup = value is { } target
                ? PrefillPlanner.EnsureValidDecodeTarget(target, nameof(TargetDecodeSpeedup))
                : null;
    }

    /// <summary>
    /// Quality that may be lost, as KL divergence from full prefill in nats, above 0. The fastest plan within it is used; with a
    /// target beside it, whichever is more careful decides. Default null: no budget. Ignored when <see cref="Plan"/> is set.
    /// </summary>
    /// <remarks>
    /// What plans lose is measured when a model is tuned; without a tuned profile, or with another importance than the learned
    /// one, the prefill is plain and the report says why. It counts the tokens that this prefill computes: a thinned prefix that
    /// is reused stays as it is.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">Not a finite number above 0.</exception>
    public double? MaxQualityLoss
    {
        get => _maxQualityLoss;
        set =>
            _maxQualityLoss = value is { } loss
                ? PrefillPlanner.EnsureValidQualityLoss(loss, nameof(MaxQualityLoss))
                : null;
    }

    /// <summary>
    /// Let fewer tokens go on than planned where their importance does not pass the policy's threshold (LTP, arXiv 2107.00910).
    /// The promised speedup holds either way. Default false: fixed shares, as with an importance that has no threshold, and with
    /// <see cref="MaxQualityLoss"/>, whose losses are measured with fixed shares. A <see cref="Plan"/> says itself, by
    /// <see cref="PlanBoundary.MinRetention"/>.
    /// </summary>
    public bool UseThresholds { get; set; }

    /// <summary>How tokens are ranked. Default null: the plan's, or that of <see cref="ImportancePolicies.Get"/> without a name.</summary>
    /// <remarks>
    /// Learned importance knows the boundaries of the model's profile. Where it is only the default and cannot rank the tokens
    /// of a plan, <see cref="ImportancePolicies.Default"/> does, and the report says so; where it is asked for, that is an
    /// <see cref="ArgumentException"/>.
    /// </remarks>
    internal IImportancePolicy? Importance { get; set; }

    /// <summary>A plan to run as it is, instead of one made for <see cref="TargetTtftSpeedup"/>.</summary>
    public PrefillPlan? Plan { get; set; }

    /// <summary>
    /// Chooses what the sequence does without where the plan leaves it to the prompt (<see cref="PrefillPlan.Routing"/>).
    /// Default null: the routers of the model's profile.
    /// </summary>
    internal ILayerRouter? Router { get; set; }

    /// <summary>
    /// The LoRA adapters to compute with, in prefill and in what is decoded behind it, until a prefill asks for others. Default
    /// none. A prefix that was computed with others, or with other scales, is not reused.
    /// </summary>
    public IReadOnlyList<ScaledAdapter> Adapters { get; set; } = [];

    /// <summary>
    /// Throw when the target is out of reach, instead of coming as close as possible, or when a quality budget is given and no
    /// loss is known. Default false.
    /// </summary>
    public bool Strict { get; set; }

    /// <summary>
    /// Where each token of the prompt comes from, as long as the prompt; empty when unknown. Tokens of the template are always
    /// kept, those of system messages when they are at most a quarter of the prompt.
    /// </summary>
    public ReadOnlyMemory<TokenOrigin> Origins { get; set; }

    /// <summary>Spans of the prompt, in tokens, that must be kept.</summary>
    public IReadOnlyList<Range> ProtectedSpans { get; set; } = [];

    /// <summary>
    /// Whether the residual stream of a thinned prompt is kept in host memory, for <see cref="ForetokenSession.Complete"/>. It lasts
    /// until the tokens are completed exactly or removed. Default <see cref="ResidualStorage.None"/>.
    /// </summary>
    public ResidualStorage ResidualStorage { get; set; }

    /// <summary>The speedup if one was set; null leaves it to <see cref="MaxQualityLoss"/>.</summary>
    internal double? AskedSpeedup { get; set; }

    /// <summary>Whether nothing may be left out, unless a <see cref="Plan"/> says so.</summary>
    internal bool KeepsAll =>
        TargetTtftSpeedup == 1 && !(TargetDecodeSpeedup > 1) && (AskedSpeedup is not null || MaxQualityLoss is null);
}

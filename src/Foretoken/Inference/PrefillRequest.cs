using Foretoken.Planning;
using Foretoken.Profiles;

namespace Foretoken.Inference;

/// <summary>What a prefill is asked for.</summary>
public sealed class PrefillRequest
{
    private double _targetTtftSpeedup = 1;

    /// <summary>
    /// By what factor the time to first token shall shrink, 1 to <see cref="PrefillPlanner.MaxTargetSpeedup"/>.
    /// Default 1: nothing is left out.
    /// Ignored when <see cref="Plan"/> is set.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above the maximum, or not a number.</exception>
    public double TargetTtftSpeedup
    {
        get => _targetTtftSpeedup;
        set => _targetTtftSpeedup = PrefillPlanner.EnsureValidTarget(value, nameof(TargetTtftSpeedup));
    }

    /// <summary>How tokens are ranked. Default null: the plan's, or <see cref="ImportancePolicies.Default"/>.</summary>
    public IImportancePolicy? Importance { get; set; }

    /// <summary>A plan to run as it is, instead of one made for <see cref="TargetTtftSpeedup"/>.</summary>
    public PrefillPlan? Plan { get; set; }

    /// <summary>Throw when the target is out of reach, instead of coming as close as possible. Default false.</summary>
    public bool Strict { get; set; }

    /// <summary>
    /// Where each token of the prompt comes from, as long as the prompt; empty when unknown. Tokens of the template are always
    /// kept, those of system messages when they are at most a quarter of the prompt.
    /// </summary>
    public ReadOnlyMemory<TokenOrigin> Origins { get; set; }

    /// <summary>Spans of the prompt, in tokens, that must be kept.</summary>
    public IReadOnlyList<Range> ProtectedSpans { get; set; } = [];
}

using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Sessions;

/// <summary>What a prefill is asked for.</summary>
public sealed class PrefillRequest
{
    /// <summary>The speed and quality that are asked for. Default: nothing is left out.</summary>
    public SpeedOptions Speed
    {
        get;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            field = value;
        }
    } = new();

    /// <summary>Short for <see cref="SpeedOptions.TargetTtftSpeedup"/> of <see cref="Speed"/>, 1 where that is not set.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1, above the maximum, or not a number.</exception>
    public double TargetTtftSpeedup
    {
        get => Speed.Target;
        set => Speed = Speed with { TargetTtftSpeedup = value };
    }

    /// <inheritdoc cref="SpeedOptions.TargetDecodeSpeedup"/>
    public double? TargetDecodeSpeedup
    {
        get => Speed.TargetDecodeSpeedup;
        set => Speed = Speed with { TargetDecodeSpeedup = value };
    }

    /// <inheritdoc cref="SpeedOptions.MaxQualityLoss"/>
    public double? MaxQualityLoss
    {
        get => Speed.MaxQualityLoss;
        set => Speed = Speed with { MaxQualityLoss = value };
    }

    /// <inheritdoc cref="SpeedOptions.UseThresholds"/>
    public bool UseThresholds
    {
        get => Speed.UseThresholds == true;
        set => Speed = Speed with { UseThresholds = value };
    }

    /// <inheritdoc cref="SpeedOptions.Strict"/>
    public bool Strict
    {
        get => Speed.Strict == true;
        set => Speed = Speed with { Strict = value };
    }

    /// <inheritdoc cref="SpeedOptions.Plan"/>
    public PrefillPlan? Plan
    {
        get => Speed.Plan;
        set => Speed = Speed with { Plan = value };
    }

    /// <summary>How tokens are ranked. Default null: the one that <see cref="Speed"/> or its plan names, or that of <see cref="ImportancePolicies.Get"/> without a name.</summary>
    /// <remarks>
    /// Learned importance knows the boundaries of the model's profile. Where it is only the default and cannot rank the tokens
    /// of a plan, <see cref="ImportancePolicies.Default"/> does, and the report says so; where it is asked for, that is an
    /// <see cref="ArgumentException"/>.
    /// </remarks>
    internal IImportancePolicy? Importance { get; set; }

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
}

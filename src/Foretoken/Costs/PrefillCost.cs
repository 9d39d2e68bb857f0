using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>
/// What prefills cost: counted from the model's sizes (<see cref="CountedPrefillCost"/>) or measured on a machine
/// (<see cref="MeasuredPrefillCost"/>). Immutable and thread-safe.
/// </summary>
/// <remarks>
/// A cost never falls when a stage runs more tokens; the planner's search rests on that. The unit is the model's own, so only
/// costs of the same object can be compared.
/// </remarks>
internal abstract class PrefillCost
{
    private protected PrefillCost(ModelShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        Shape = shape;
    }

    /// <summary>The model's sizes.</summary>
    public ModelShape Shape { get; }

    /// <summary>Whether the cost is time that was measured on this machine; otherwise operations are counted.</summary>
    public abstract bool IsMeasured { get; }

    /// <summary>Cost of a prefill.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="pastTokens">Tokens that the sequence holds already; all of them are seen in every layer.</param>
    /// <param name="alwaysKept">Tokens that are always kept; those kept by their place are counted at least.</param>
    /// <param name="probes">The probes of the importance that chooses tokens.</param>
    /// <returns>Floating-point operations or seconds, see <see cref="IsMeasured"/>.</returns>
    /// <exception cref="ArgumentException">The plan names layers that the model lacks.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number of tokens is negative.</exception>
    public double Cost(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    )
    {
        EnsureValid(plan, newTokens, pastTokens, alwaysKept);
        return CostOf(
            plan.BoundarySpan,
            plan.CountedSkips(Shape.LayerCount),
            plan.Routing?.Layer,
            plan.PrefillOnlyFrom,
            newTokens,
            pastTokens,
            alwaysKept,
            probes
        );
    }

    /// <summary>By what factor a plan shortens a prefill: the cost of keeping all over the cost of the plan.</summary>
    /// <inheritdoc cref="Cost" path="/param"/>
    /// <inheritdoc cref="Cost" path="/exception"/>
    public double Speedup(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    ) =>
        Cost(PrefillPlan.KeepAll, newTokens, pastTokens, alwaysKept)
        / Cost(plan, newTokens, pastTokens, alwaysKept, probes);

    /// <summary>How long a prefill is expected to take; <see langword="null"/> when nothing was measured.</summary>
    /// <inheritdoc cref="Cost" path="/param"/>
    /// <inheritdoc cref="Cost" path="/exception"/>
    public virtual PrefillTimeEstimate? EstimateTime(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    ) => null;

    /// <summary>
    /// Standard error of <see cref="Speedup"/> as a share of it; <see langword="null"/> when nothing was measured. A machine that
    /// is slower or faster as a whole changes both sides of the ratio, so that this is less than what the times are unsure by.
    /// </summary>
    /// <inheritdoc cref="Cost" path="/param"/>
    /// <inheritdoc cref="Cost" path="/exception"/>
    public virtual double? SpeedupStandardError(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    ) => null;

    /// <summary>
    /// Cost of boundaries and skips that fit the model, without a plan to hold them; where routers read, and no boundary is, the
    /// stage is interrupted. From a layer on, if one is given, all tokens but the last only write keys and values.
    /// </summary>
    internal abstract double CostOf(
        ReadOnlySpan<PlanBoundary> boundaries,
        ReadOnlySpan<LayerSkip> skips,
        int? routingLayer,
        int? prefillOnlyFrom,
        int newTokens,
        int pastTokens,
        int alwaysKept,
        ProbeLoad probes
    );

    private protected void EnsureValid(PrefillPlan plan, int newTokens, int pastTokens, int alwaysKept)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentOutOfRangeException.ThrowIfNegative(newTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(pastTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(alwaysKept);
        plan.EnsureFits(Shape.LayerCount);
    }
}

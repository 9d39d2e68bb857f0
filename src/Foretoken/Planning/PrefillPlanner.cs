using System.Globalization;

namespace Foretoken.Planning;

/// <summary>Turns a target speedup, a quality budget or both into a plan. Immutable and thread-safe; a plan takes microseconds.</summary>
/// <remarks>
/// <para>
/// Along each <see cref="PrefillSchedule"/>, the first plan whose estimated speedup meets the target is found by bisection; of
/// these, one per schedule, the one of least expected loss is taken. A quality budget (<see cref="PlanRequest.MaxQualityLoss"/>)
/// becomes a target: the largest speedup that a plan within the budget has. With a target beside it the smaller of the two
/// counts, so that whichever is more careful decides.
/// </para>
/// <para>
/// For one prompt: target 1 keeps everything; the promise is the cost model's own estimate of the plan, and is at least the
/// target when that is reachable; a larger target never costs more by the cost model, and never expects a smaller loss; a
/// larger budget is never slower. Along one schedule a larger target keeps no more tokens in any layer. Where it changes to
/// another schedule, with other boundaries, that holds for the cost alone.
/// </para>
/// </remarks>
public sealed class PrefillPlanner
{
    /// <summary>The largest speedup that can be asked for: 1000.</summary>
    public const double MaxTargetSpeedup = 1000;

    // halving the way between two waypoints this often resolves single tokens of prompts of any length that fits a context
    private const int Bisections = 40;

    // below this it is not worth it to leave tokens out
    private const double LeastUsefulSpeedup = 1.1;

    // in a shorter prompt hardly anything stands outside the places that are always kept
    private const int LeastMultipleOfKept = 4;

    private readonly int _mostBoundaries;

    /// <summary>Creates a planner for a model.</summary>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    public PrefillPlanner(ModelShape shape, PrefillPlannerOptions? options = null)
        : this(new PrefillCostModel(shape), options) { }

    /// <summary>Creates a planner that estimates with a given cost model.</summary>
    /// <param name="costModel">The cost model: counted, or measured on this machine.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    public PrefillPlanner(PrefillCost costModel, PrefillPlannerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(costModel);
        CostModel = costModel;
        Options = options ?? new PrefillPlannerOptions();
        _mostBoundaries = Options.Schedules.Max(schedule => schedule.Depths.Count);
    }

    /// <summary>The cost model that promises rest on.</summary>
    public PrefillCost CostModel { get; }

    /// <summary>The settings.</summary>
    public PrefillPlannerOptions Options { get; }

    /// <summary>Checks a target speedup.</summary>
    /// <param name="targetSpeedup">The speedup that is asked for.</param>
    /// <param name="parameterName">Name for the exception.</param>
    /// <returns><paramref name="targetSpeedup"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not a number from 1 to <see cref="MaxTargetSpeedup"/>.</exception>
    public static double EnsureValidTarget(double targetSpeedup, string? parameterName = null)
    {
        // written so that NaN fails
        if (!(targetSpeedup >= 1 && targetSpeedup <= MaxTargetSpeedup))
        {
            throw new ArgumentOutOfRangeException(
                parameterName ?? nameof(targetSpeedup),
                targetSpeedup,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"A speedup of the time to first token is a number from 1 (keep every token) to {MaxTargetSpeedup}; 1.5 to 3 are useful values."
                )
            );
        }

        return targetSpeedup;
    }

    /// <summary>Checks a quality budget.</summary>
    /// <param name="maxQualityLoss">KL divergence from full prefill that is allowed, in nats.</param>
    /// <param name="parameterName">Name for the exception.</param>
    /// <returns><paramref name="maxQualityLoss"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not a finite number above 0.</exception>
    public static double EnsureValidQualityLoss(double maxQualityLoss, string? parameterName = null)
    {
        if (!(maxQualityLoss > 0 && double.IsFinite(maxQualityLoss)))
        {
            throw new ArgumentOutOfRangeException(
                parameterName ?? nameof(maxQualityLoss),
                maxQualityLoss,
                "A quality loss is a KL divergence in nats, a number above 0; 0.05 to 0.5 are useful values. To lose nothing, ask for a speedup of 1."
            );
        }

        return maxQualityLoss;
    }

    /// <summary>Makes the plan for a prompt.</summary>
    /// <param name="request">What is asked for.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// The target is not a number from 1 to <see cref="MaxTargetSpeedup"/>, the quality budget not one above 0, or a number of
    /// tokens is negative.
    /// </exception>
    /// <exception cref="PlanUnreachableException">The target is asked for strictly and no plan reaches it within the budget.</exception>
    /// <exception cref="QualityLossUnknownException">A quality budget is given strictly, and no schedule has losses.</exception>
    public PlannedPrefill Plan(in PlanRequest request)
    {
        double? target = request.TargetSpeedup is { } asked ? EnsureValidTarget(asked, nameof(request)) : null;
        double? budget = request.MaxQualityLoss is { } loss ? EnsureValidQualityLoss(loss, nameof(request)) : null;
        int newTokens = request.NewTokens;
        ArgumentOutOfRangeException.ThrowIfNegative(newTokens, nameof(request));
        ArgumentOutOfRangeException.ThrowIfNegative(request.PastTokens, nameof(request));
        ArgumentOutOfRangeException.ThrowIfNegative(request.AlwaysKept, nameof(request));

        if (CostModel.Shape.LayerCount < 2)
        {
            return Plain(
                request,
                target,
                1,
                "The model has one layer, so there is no boundary at which tokens could leave."
            );
        }

        if (TooShort(request) is { } tooShort)
        {
            return Plain(request, target, 1, tooShort);
        }

        if (budget is not null && target != 1 && Options.Schedules.All(schedule => schedule.Losses is null))
        {
            if (request.IsStrict)
            {
                throw new QualityLossUnknownException(budget.Value);
            }

            return Plain(
                request,
                target,
                1,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"What a plan loses was not measured for this model and importance, so none is known to lose at most {budget:0.###} nats: plain prefill."
                )
            );
        }

        double plainCost = PlainCost(request);
        double reachable = Math.Max(1, Fastest(request, plainCost, budget ?? double.PositiveInfinity));
        if (target == 1 || (target is null && budget is null))
        {
            return Plain(request, 1, reachable, "A speedup of 1 keeps every token.");
        }

        string prefix = "";
        if (target > reachable)
        {
            string limit = Limit(request, plainCost, reachable);
            if (request.IsStrict)
            {
                throw new PlanUnreachableException(target.Value, reachable, newTokens, limit);
            }

            prefix = string.Create(
                CultureInfo.InvariantCulture,
                $"A speedup of {target:0.##} is out of reach, {reachable:0.00} is the best possible: {limit} "
            );
        }

        if (reachable == 1)
        {
            return Plain(
                request,
                target,
                1,
                prefix.Length > 0 ? prefix.TrimEnd() : Limit(request, plainCost, reachable)
            );
        }

        return LeastLoss(request, plainCost, Math.Min(target ?? reachable, reachable), reachable, prefix);
    }

    /// <summary>Estimates a plan that the caller gives.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="newTokens">Tokens of the prompt that must be computed.</param>
    /// <param name="pastTokens">Tokens that the sequence holds already.</param>
    /// <param name="alwaysKept">New tokens that are always kept; those kept by their place are counted at least.</param>
    /// <param name="probes">The probes of the importance that chooses tokens.</param>
    /// <returns>The plan with its estimate as target and promise.</returns>
    /// <exception cref="ArgumentException">The plan names layers that the model lacks.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number of tokens is negative.</exception>
    public PlannedPrefill Estimate(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    )
    {
        ArgumentNullException.ThrowIfNull(plan);
        double speedup = CostModel.Speedup(plan, newTokens, pastTokens, alwaysKept, probes);
        return new PlannedPrefill
        {
            Plan = plan,
            TargetSpeedup = speedup,
            PromisedSpeedup = speedup,
            ReachableSpeedup = speedup,
            IsTargetReached = true,
            ExpectedLoss = plan.IsKeepAll ? 0 : null,
            ExpectedTime = CostModel.EstimateTime(plan, newTokens, pastTokens, alwaysKept, probes),
            ExpectedPlainTime = CostModel.EstimateTime(PrefillPlan.KeepAll, newTokens, pastTokens, alwaysKept),
            PromiseStandardError = CostModel.SpeedupStandardError(plan, newTokens, pastTokens, alwaysKept, probes),
            Reason = $"The plan that was given: {plan}.",
        };
    }

    /// <summary>
    /// The fewest new tokens of which any are left out: with a measured cost, where the fastest plan begins to be at least a
    /// tenth faster than plain prefill; otherwise <see cref="PrefillPlannerOptions.MinNewTokens"/>.
    /// </summary>
    /// <param name="request">The prompt; its number of new tokens and what is asked for do not matter.</param>
    /// <param name="mostTokens">Where to stop looking.</param>
    /// <returns>Tokens; <see langword="null"/> when there are none up to <paramref name="mostTokens"/>.</returns>
    public int? FindShortestPrompt(in PlanRequest request, int mostTokens)
    {
        // lengths between chunks of the same size are alike: no need to look at each
        for (int tokens = 1; tokens <= mostTokens; tokens += Math.Max(1, tokens / 64))
        {
            if (CostModel.Shape.LayerCount > 1 && TooShort(request with { NewTokens = tokens }) is null)
            {
                return tokens;
            }
        }

        return null;
    }

    /// <summary>Why a prompt is too short to leave tokens out; <see langword="null"/> when it is not.</summary>
    private string? TooShort(in PlanRequest request)
    {
        int floor =
            Options.MinNewTokens
            ?? (
                CostModel.IsMeasured
                    ? LeastMultipleOfKept * (AlwaysKept.SinkTokens + AlwaysKept.TailTokens)
                    : PrefillPlannerOptions.CountedMinNewTokens
            );
        if (request.NewTokens < floor)
        {
            return string.Create(
                CultureInfo.InvariantCulture,
                $"{request.NewTokens} new tokens are too few to leave any out (from {floor} on): plain prefill."
            );
        }

        if (!CostModel.IsMeasured)
        {
            return null;
        }

        // tokens that somebody protects are another matter: they do not make a prompt short
        PlanRequest unprotected = request with
        {
            AlwaysKept = 0,
        };
        double fastest = Fastest(unprotected, PlainCost(unprotected), double.PositiveInfinity);
        return fastest >= LeastUsefulSpeedup
            ? null
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{request.NewTokens} new tokens are too few to leave any out: by what was measured on this machine, the fastest plan has a speedup of {fastest:0.00}. Plain prefill."
            );
    }

    private double PlainCost(in PlanRequest request) =>
        CostModel.Cost(PrefillPlan.KeepAll, request.NewTokens, request.PastTokens, request.AlwaysKept);

    /// <summary>
    /// The largest speedup of any plan whose expected loss is within a budget; 0 when there is none. Between two waypoints a
    /// speedup never falls, but where a further boundary appears, its overhead may cost more than it saves: so every waypoint
    /// counts, not only the last.
    /// </summary>
    private double Fastest(in PlanRequest request, double plainCost, double budget)
    {
        double fastest = 0;
        foreach (PrefillSchedule schedule in Options.Schedules)
        {
            for (int waypoint = 1; waypoint <= schedule.Length; waypoint++)
            {
                double end = waypoint;
                bool isOver = schedule.LossAt(end) > budget;
                if (isOver)
                {
                    // LossAt is infinite where nothing was measured: there it bisects down to the beginning
                    end = LastWithin(schedule, waypoint - 1, budget);
                }

                if (end > waypoint - 1)
                {
                    fastest = Math.Max(fastest, SpeedupAt(schedule, end, request, plainCost));
                }

                if (isOver)
                {
                    break;
                }
            }
        }

        return fastest;
    }

    private static double LastWithin(PrefillSchedule schedule, int from, double budget)
    {
        double within = 0;
        double over = 1;
        for (int i = 0; i < Bisections; i++)
        {
            double middle = (within + over) / 2;
            if (schedule.LossAt(from + middle) <= budget)
            {
                within = middle;
            }
            else
            {
                over = middle;
            }
        }

        return from + within;
    }

    /// <summary>Of the first plans that reach a speedup, one per schedule, the one of least expected loss; of equal ones the earlier.</summary>
    /// <remarks>
    /// Each is the first of its schedule exactly (on the grid of the bisection), which is what makes both cost and loss monotone:
    /// a plan that serves a target serves every larger one up to its own speedup.
    /// </remarks>
    private PlannedPrefill LeastLoss(
        in PlanRequest request,
        double plainCost,
        double speedup,
        double reachable,
        string prefix
    )
    {
        PrefillSchedule? best = null;
        double position = 0;
        double loss = double.PositiveInfinity;
        foreach (PrefillSchedule schedule in Options.Schedules)
        {
            if (
                FirstAt(schedule, speedup, request, plainCost) is { } first
                && (best is null || schedule.LossAt(first) < loss)
            )
            {
                best = schedule;
                position = first;
                loss = schedule.LossAt(first);
            }
        }

        // some plan has the largest speedup, and none is asked for beyond it
        PrefillPlan plan = PlanAt(best!, position, request);
        PlannedPrefill estimate = Estimate(
            plan,
            request.NewTokens,
            request.PastTokens,
            request.AlwaysKept,
            request.Probes
        );
        double promised = estimate.PromisedSpeedup;
        double? expected = double.IsFinite(loss) ? loss : null;
        string losing = expected is null
            ? ""
            : string.Create(CultureInfo.InvariantCulture, $" The expected loss is {expected:0.000} nats.");
        return estimate with
        {
            TargetSpeedup = request.TargetSpeedup ?? promised,
            ReachableSpeedup = reachable,
            IsTargetReached = promised >= (request.TargetSpeedup ?? promised),
            ExpectedLoss = expected,
            Reason = $"{prefix}Of {request.NewTokens} new tokens go on: {plan}.{losing}{Times(estimate)}",
        };
    }

    private double? FirstAt(PrefillSchedule schedule, double speedup, in PlanRequest request, double plainCost)
    {
        for (int from = 0; from < schedule.Length; from++)
        {
            if (SpeedupAt(schedule, from + 1, request, plainCost) < speedup)
            {
                continue;
            }

            double tooLittle = 0;
            double enough = 1;
            for (int i = 0; i < Bisections; i++)
            {
                double middle = (tooLittle + enough) / 2;
                if (SpeedupAt(schedule, from + middle, request, plainCost) >= speedup)
                {
                    enough = middle;
                }
                else
                {
                    tooLittle = middle;
                }
            }

            return from + enough;
        }

        return null;
    }

    private double SpeedupAt(PrefillSchedule schedule, double position, in PlanRequest request, double plainCost)
    {
        Span<PlanBoundary> boundaries = stackalloc PlanBoundary[_mostBoundaries];
        int count = schedule.BoundariesAt(position, CostModel.Shape.LayerCount, boundaries);
        return plainCost
            / CostModel.CostOf(
                boundaries[..count],
                [],
                request.NewTokens,
                request.PastTokens,
                request.AlwaysKept,
                request.Probes
            );
    }

    private PrefillPlan PlanAt(PrefillSchedule schedule, double position, in PlanRequest request)
    {
        PlanBoundary[] boundaries = new PlanBoundary[schedule.Depths.Count];
        int count = schedule.BoundariesAt(position, CostModel.Shape.LayerCount, boundaries);
        if (request.UseThresholds && request.MaxQualityLoss is null)
        {
            for (int i = 0; i < count; i++)
            {
                boundaries[i] = boundaries[i] with { MinRetention = Options.ThresholdFloor * boundaries[i].Retention };
            }
        }

        return PrefillPlan.FromBoundaries(boundaries.AsSpan(0, count).ToArray(), request.Importance);
    }

    /// <summary>Why no more is possible.</summary>
    private string Limit(in PlanRequest request, double plainCost, double reachable)
    {
        int kept = Math.Max(request.AlwaysKept, AlwaysKept.CountByPlace(request.NewTokens));
        if (request.MaxQualityLoss is { } budget && Fastest(request, plainCost, double.PositiveInfinity) > reachable)
        {
            return string.Create(
                CultureInfo.InvariantCulture,
                $"No faster plan is expected to lose at most {budget:0.###} nats."
            );
        }

        return kept * 2 >= request.NewTokens
            ? $"{kept} of the {request.NewTokens} new tokens are always kept."
            : "The schedule of boundaries and retentions ends there.";
    }

    private static string Times(PlannedPrefill planned) =>
        planned is { ExpectedTime: { } time, ExpectedPlainTime: { } plain }
            ? string.Create(
                CultureInfo.InvariantCulture,
                $" Expected on this machine: {time.Time.TotalMilliseconds:#,0} ms (± {100 * time.RelativeStandardError ?? 0:0} %) instead of {plain.Time.TotalMilliseconds:#,0} ms."
            )
            : "";

    private PlannedPrefill Plain(in PlanRequest request, double? target, double reachable, string reason) =>
        new()
        {
            Plan = PrefillPlan.KeepAll,
            TargetSpeedup = target ?? 1,
            PromisedSpeedup = 1,
            ReachableSpeedup = reachable,
            IsTargetReached = target is null or 1,
            ExpectedLoss = 0,
            ExpectedTime = PlainTime(request),
            ExpectedPlainTime = PlainTime(request),
            PromiseStandardError = CostModel.IsMeasured ? 0 : null,
            Reason = reason,
        };

    private PrefillTimeEstimate? PlainTime(in PlanRequest request) =>
        CostModel.EstimateTime(PrefillPlan.KeepAll, request.NewTokens, request.PastTokens, request.AlwaysKept);
}

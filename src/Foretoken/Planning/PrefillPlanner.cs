using System.Globalization;

namespace Foretoken.Planning;

/// <summary>Turns a target speedup into a plan. Immutable and thread-safe; a plan takes microseconds.</summary>
/// <remarks>
/// The plan is the first one along the <see cref="PrefillSchedule"/> whose estimated speedup meets the target, found by
/// bisection. For one prompt, a larger target never keeps more tokens in any layer; target 1 keeps everything; the promise is
/// the cost model's own estimate of the plan.
/// </remarks>
public sealed class PrefillPlanner
{
    /// <summary>The largest speedup that can be asked for: 1000.</summary>
    public const double MaxTargetSpeedup = 1000;

    // halving the path this often resolves single tokens of prompts of any length that fits a context
    private const int Bisections = 40;

    private readonly PrefillPlannerOptions _options;

    /// <summary>Creates a planner for a model.</summary>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    public PrefillPlanner(ModelShape shape, PrefillPlannerOptions? options = null)
        : this(new PrefillCostModel(shape), options) { }

    /// <summary>Creates a planner that estimates with a given cost model.</summary>
    /// <param name="costModel">The cost model.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    public PrefillPlanner(PrefillCostModel costModel, PrefillPlannerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(costModel);
        CostModel = costModel;
        _options = options ?? new PrefillPlannerOptions();
    }

    /// <summary>The cost model that promises rest on.</summary>
    public PrefillCostModel CostModel { get; }

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

    /// <summary>Makes the plan for a prompt.</summary>
    /// <param name="request">What is asked for.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// The target is not a number from 1 to <see cref="MaxTargetSpeedup"/>, or a number of tokens is negative.
    /// </exception>
    /// <exception cref="PlanUnreachableException">The target is asked for strictly and no plan reaches it.</exception>
    public PlannedPrefill Plan(in PlanRequest request)
    {
        double target = EnsureValidTarget(request.TargetSpeedup, nameof(request));
        int newTokens = request.NewTokens;
        ArgumentOutOfRangeException.ThrowIfNegative(newTokens, nameof(request));
        ArgumentOutOfRangeException.ThrowIfNegative(request.PastTokens, nameof(request));
        ArgumentOutOfRangeException.ThrowIfNegative(request.AlwaysKept, nameof(request));

        int layers = CostModel.Shape.LayerCount;
        if (layers < 2)
        {
            return Plain(target, 1, "The model has one layer, so there is no boundary at which tokens could leave.");
        }

        if (newTokens < _options.MinNewTokens)
        {
            return Plain(
                target,
                1,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{newTokens} new tokens are too few to leave any out (from {_options.MinNewTokens} on): plain prefill."
                )
            );
        }

        (double position, double reachable) = Furthest(request);
        if (target == 1)
        {
            return Plain(target, reachable, "A speedup of 1 keeps every token.");
        }

        if (target > reachable)
        {
            return Unreachable(request, position, reachable);
        }

        double tooLittle = 0;
        for (int i = 0; i < Bisections; i++)
        {
            double middle = (tooLittle + position) / 2;
            if (SpeedupAt(middle, request) >= target)
            {
                position = middle;
            }
            else
            {
                tooLittle = middle;
            }
        }

        return At(position, request, reachable, "");
    }

    /// <summary>Estimates a plan that the caller gives.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="newTokens">Tokens of the prompt that must be computed.</param>
    /// <param name="pastTokens">Tokens that the sequence holds already.</param>
    /// <param name="alwaysKept">New tokens that are always kept; those kept by their place are counted at least.</param>
    /// <returns>The plan with its estimate as target and promise.</returns>
    /// <exception cref="ArgumentException">The plan names layers that the model lacks.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number of tokens is negative.</exception>
    public PlannedPrefill Estimate(PrefillPlan plan, int newTokens, int pastTokens = 0, int alwaysKept = 0)
    {
        ArgumentNullException.ThrowIfNull(plan);
        double speedup = CostModel.Speedup(plan, newTokens, pastTokens, alwaysKept);
        return new PlannedPrefill
        {
            Plan = plan,
            TargetSpeedup = speedup,
            PromisedSpeedup = speedup,
            ReachableSpeedup = speedup,
            IsTargetReached = true,
            Reason = $"The plan that was given: {plan}.",
        };
    }

    // the end of the schedule, unless less is faster: a boundary that drops nothing only costs
    private (double Position, double Speedup) Furthest(in PlanRequest request)
    {
        double speedup = SpeedupAt(1, request);
        return speedup > 1 ? (1, speedup) : (0, 1);
    }

    private double SpeedupAt(double position, in PlanRequest request) =>
        CostModel.Speedup(PlanAt(position, request), request.NewTokens, request.PastTokens, request.AlwaysKept);

    private PrefillPlan PlanAt(double position, in PlanRequest request) =>
        PrefillPlan.FromBoundaries(
            _options.Schedule.BoundariesAt(position, CostModel.Shape.LayerCount),
            request.Importance
        );

    private PlannedPrefill Unreachable(in PlanRequest request, double position, double reachable)
    {
        int kept = Math.Max(request.AlwaysKept, AlwaysKept.CountByPlace(request.NewTokens));
        string limit =
            kept * 2 >= request.NewTokens
                ? $"{kept} of the {request.NewTokens} new tokens are always kept."
                : "The schedule of boundaries and retentions ends there.";
        if (request.IsStrict)
        {
            throw new PlanUnreachableException(request.TargetSpeedup, reachable, request.NewTokens, limit);
        }

        string reason = string.Create(
            CultureInfo.InvariantCulture,
            $"A speedup of {request.TargetSpeedup:0.##} is out of reach, {reachable:0.00} is the best possible: {limit} "
        );
        return reachable > 1
            ? At(position, request, reachable, reason)
            : Plain(request.TargetSpeedup, 1, reason.TrimEnd());
    }

    private PlannedPrefill At(double position, in PlanRequest request, double reachable, string prefix)
    {
        PrefillPlan plan = PlanAt(position, request);
        double promised = CostModel.Speedup(plan, request.NewTokens, request.PastTokens, request.AlwaysKept);
        return new PlannedPrefill
        {
            Plan = plan,
            TargetSpeedup = request.TargetSpeedup,
            PromisedSpeedup = promised,
            ReachableSpeedup = reachable,
            IsTargetReached = promised >= request.TargetSpeedup,
            Reason = prefix + $"Of {request.NewTokens} new tokens go on: {plan}.",
        };
    }

    private static PlannedPrefill Plain(double target, double reachable, string reason) =>
        new()
        {
            Plan = PrefillPlan.KeepAll,
            TargetSpeedup = target,
            PromisedSpeedup = 1,
            ReachableSpeedup = reachable,
            IsTargetReached = target == 1,
            Reason = reason,
        };
}

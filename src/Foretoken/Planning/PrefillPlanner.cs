using System.Globalization;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Planning;

/// <summary>
/// Turns target speedups, a quality budget or both into a plan. Immutable and thread-safe; a plan takes microseconds, with a dozen
/// things to skip up to a millisecond.
/// </summary>
/// <remarks>
/// <para>
/// Along each <see cref="PrefillSchedule"/>, the first plan whose estimated speedup meets the target is found by bisection; of
/// these, one per schedule, the one of least expected loss is taken. A quality budget (<see cref="PlanRequest.MaxQualityLoss"/>)
/// becomes a target: the largest speedup that a plan within the budget has. With a target beside it the smaller of the two
/// counts, so that whichever is more careful decides.
/// </para>
/// <para>
/// What layers the sequence may do without (<see cref="PrefillPlannerOptions.Skips"/>) comes out of the same budget: every option,
/// and none, is weighed alone and with every schedule whose boundaries lie below it. The expected losses are added. Each was
/// measured alone, so that is an approximation: of two small disturbances that have nothing to do with each other the divergences
/// add up, and where they point the same way more is lost than that.
/// </para>
/// <para>
/// For one prompt: target 1 keeps everything; the promise is the cost model's own estimate of the plan, and is at least the
/// target when that is reachable; a larger target never costs more by the cost model, and never expects a smaller loss; a
/// larger budget is never slower. Along one schedule a larger target keeps no more tokens in any layer. Where it changes to
/// another schedule, with other boundaries, that holds for the cost alone.
/// </para>
/// </remarks>
internal sealed class PrefillPlanner
{
    /// <summary>The largest speedup that can be asked for: 1000.</summary>
    public const double MaxTargetSpeedup = 1000;

    // below this it is not worth it to leave tokens out
    private const double LeastUsefulSpeedup = 1.1;

    // in a shorter prompt hardly anything stands outside the places that are always kept
    private const int LeastMultipleOfKept = 4;

    private readonly PlanFamily[] _families;

    /// <summary>Creates a planner for a model.</summary>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    public PrefillPlanner(ModelShape shape, PrefillPlannerOptions? options = null)
        : this(new CountedPrefillCost(shape), options) { }

    /// <summary>Creates a planner that estimates with a given cost model.</summary>
    /// <param name="costModel">The cost model: counted, or measured on this machine.</param>
    /// <param name="options">Settings; <see langword="null"/> for the defaults.</param>
    /// <param name="decodeCost">What an output token costs; <see langword="null"/> for the model's sizes in half precision.</param>
    /// <exception cref="ArgumentException">The model cannot do without what the options would skip.</exception>
    public PrefillPlanner(PrefillCost costModel, PrefillPlannerOptions? options = null, DecodeCost? decodeCost = null)
    {
        ArgumentNullException.ThrowIfNull(costModel);
        CostModel = costModel;
        DecodeCost = decodeCost ?? new DecodeCost(costModel.Shape);
        Options = options ?? new PrefillPlannerOptions();
        MostBoundaries = Options.Schedules.Max(schedule => schedule.Depths.Count);
        _families = [.. MakeFamilies(Options, costModel.Shape.LayerCount)];
    }

    /// <summary>The cost model that promises rest on.</summary>
    public PrefillCost CostModel { get; }

    /// <summary>The cost model that promises for output tokens rest on.</summary>
    public DecodeCost DecodeCost { get; }

    /// <summary>What plans can be made of. Without skips first: of equal losses the earlier counts.</summary>
    internal IReadOnlyList<PlanFamily> Families => _families;

    /// <summary>Boundaries that a plan has at most.</summary>
    internal int MostBoundaries { get; }

    /// <summary>The settings.</summary>
    public PrefillPlannerOptions Options { get; }

    /// <summary>Checks a target speedup.</summary>
    /// <param name="targetSpeedup">The speedup that is asked for.</param>
    /// <param name="parameterName">Name for the exception.</param>
    /// <returns><paramref name="targetSpeedup"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not a number from 1 to <see cref="MaxTargetSpeedup"/>.</exception>
    public static double EnsureValidTarget(double targetSpeedup, string? parameterName = null) =>
        EnsureValid(
            targetSpeedup,
            parameterName ?? nameof(targetSpeedup),
            "the time to first token",
            "keep every token",
            "1.5 to 3"
        );

    /// <summary>Checks a target speedup of output tokens.</summary>
    /// <param name="targetSpeedup">The speedup that is asked for.</param>
    /// <param name="parameterName">Name for the exception.</param>
    /// <returns><paramref name="targetSpeedup"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not a number from 1 to <see cref="MaxTargetSpeedup"/>.</exception>
    public static double EnsureValidDecodeTarget(double targetSpeedup, string? parameterName = null) =>
        EnsureValid(
            targetSpeedup,
            parameterName ?? nameof(targetSpeedup),
            "output tokens",
            "as the full model",
            "1.05 to 1.3"
        );

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
    /// A target is not a number from 1 to <see cref="MaxTargetSpeedup"/>, the quality budget not one above 0, or a number of tokens
    /// is negative.
    /// </exception>
    /// <exception cref="PlanUnreachableException">A target is asked for strictly and no plan reaches it within the budget.</exception>
    /// <exception cref="QualityLossUnknownException">A quality budget is given strictly, and no schedule has losses.</exception>
    public PlannedPrefill Plan(in PlanRequest request)
    {
        double? target = request.TargetSpeedup is { } asked ? EnsureValidTarget(asked, nameof(request)) : null;
        double? decodeTarget = request.TargetDecodeSpeedup is { } output
            ? EnsureValidDecodeTarget(output, nameof(request))
            : null;
        double? budget = request.MaxQualityLoss is { } loss ? EnsureValidQualityLoss(loss, nameof(request)) : null;
        bool asksForDecode = decodeTarget > 1;
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

        string? tooShort = TooShort(request);
        if (tooShort is not null && !(asksForDecode && Options.Skips.Count > 0))
        {
            return Plain(request, target, 1, tooShort);
        }

        if (
            budget is not null
            && (target != 1 || asksForDecode)
            && Options.Skips.Count == 0
            && Options.Schedules.All(schedule => schedule.Losses is null)
        )
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

        PlanSearch search = new(this, request, canThin: tooShort is null, budget ?? double.PositiveInfinity);
        double reachable = Math.Max(1, search.Fastest());
        if (!asksForDecode && (target == 1 || (target is null && budget is null)))
        {
            return Plain(request, 1, reachable, "A speedup of 1 keeps every token.");
        }

        string prefix = "";
        if (target > reachable)
        {
            string limit = tooShort ?? Limit(request, search, reachable);
            if (request.IsStrict)
            {
                throw new PlanUnreachableException(target.Value, reachable, newTokens, limit);
            }

            prefix = string.Create(
                CultureInfo.InvariantCulture,
                $"A speedup of {target:0.##} is out of reach, {reachable:0.00} is the best possible: {limit} "
            );
        }

        // the time to first token comes first: what is promised for output tokens is what can be had beside it
        double wanted = Math.Min(target ?? 1, reachable);
        if (asksForDecode)
        {
            double best = Math.Max(1, search.FastestDecode(wanted));
            if (decodeTarget > best)
            {
                string limit =
                    Options.Skips.Count == 0
                        ? "No profile says what layers could be skipped, and leaving out tokens alone saves no more."
                        : "Nothing that was measured saves more within what is asked for.";
                if (request.IsStrict)
                {
                    throw new PlanUnreachableException(decodeTarget.Value, best, newTokens, limit, isDecode: true);
                }

                prefix += string.Create(
                    CultureInfo.InvariantCulture,
                    $"A speedup of {decodeTarget:0.##} per output token is out of reach, {best:0.00} is the best possible: {limit} "
                );
                decodeTarget = best;
            }
        }
        else
        {
            decodeTarget = null;
        }

        if (target is null && budget is not null)
        {
            wanted = Math.Max(1, search.Fastest(decodeTarget));
        }

        if (wanted == 1 && decodeTarget is null or 1)
        {
            return Plain(request, target, reachable, prefix.Length > 0 ? prefix.TrimEnd() : Limit(request, search, 1));
        }

        return LeastLoss(request, search, wanted, decodeTarget, reachable, prefix);
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
        PlannedPrefill estimate = new()
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
            PromisedDecodeSpeedup = DecodeCost.Speedup(plan, newTokens, pastTokens, alwaysKept),
            PrefillOnlySaving = plan.PrefillOnlyFrom is null
                ? null
                : 1
                    - (
                        CostModel.Cost(plan, newTokens, pastTokens, alwaysKept, probes)
                        / CostModel.Cost(plan.WithoutPrefillOnly(), newTokens, pastTokens, alwaysKept, probes)
                    ),
            Reason = "",
        };
        return estimate with { Reason = $"The plan that was given: {plan}.{estimate.DescribePrefillOnly()}" };
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

    // written so that NaN fails
    private static double EnsureValid(double speedup, string parameterName, string what, string least, string useful) =>
        speedup >= 1 && speedup <= MaxTargetSpeedup
            ? speedup
            : throw new ArgumentOutOfRangeException(
                parameterName,
                speedup,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"A speedup of {what} is a number from 1 ({least}) to {MaxTargetSpeedup}; {useful} are useful values."
                )
            );

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
        double fastest = new PlanSearch(
            this,
            unprotected,
            canThin: true,
            double.PositiveInfinity,
            canSkip: false
        ).Fastest();
        return fastest >= LeastUsefulSpeedup
            ? null
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{request.NewTokens} new tokens are too few to leave any out: by what was measured on this machine, the fastest plan has a speedup of {fastest:0.00}. Plain prefill."
            );
    }

    /// <summary>All families of plans: every schedule alone; then every option to skip, alone and with every schedule below it.</summary>
    private static IEnumerable<PlanFamily> MakeFamilies(PrefillPlannerOptions options, int layerCount)
    {
        foreach (PrefillSchedule schedule in options.Schedules)
        {
            yield return new PlanFamily(schedule, null, []);
        }

        foreach (SkipOption skip in options.Skips)
        {
            PrefillPlan plan = PrefillPlan.FromBoundaries([], skips: skip.Skips, routing: skip.Routing);
            plan.EnsureFits(layerCount);
            LayerSkip[] counted = plan.CountedSkips(layerCount);
            yield return new PlanFamily(null, skip, counted);
            foreach (PrefillSchedule schedule in options.Schedules)
            {
                if (schedule.DeepestLayer(layerCount) <= skip.LowestLayer)
                {
                    yield return new PlanFamily(schedule, skip, counted);
                }
            }
        }
    }

    /// <summary>Of the first plans that reach the speedups, one per family, the one of least expected loss; of equal ones the earlier.</summary>
    /// <remarks>
    /// Each is the first of its family exactly (on the grid of the bisection), which is what makes both cost and loss monotone: a
    /// plan that serves a target serves every larger one up to its own speedup.
    /// </remarks>
    private PlannedPrefill LeastLoss(
        in PlanRequest request,
        in PlanSearch search,
        double speedup,
        double? decodeSpeedup,
        double reachable,
        string prefix
    )
    {
        PlanFamily? best = null;
        double position = 0;
        double loss = double.PositiveInfinity;
        foreach (PlanFamily family in search.Families)
        {
            // nothing of this family is better than doing without its layers alone
            if (best is not null && family.LossAt(0) >= loss)
            {
                continue;
            }

            if (
                search.FirstAt(family, speedup, decodeSpeedup) is { } first
                && (best is null || family.LossAt(first) < loss)
            )
            {
                best = family;
                position = first;
                loss = family.LossAt(first);
            }
        }

        // some plan has the largest speedup, and none is asked for beyond it
        PrefillPlan plan = PlanAt(best!.Value, position, request);
        PlannedPrefill estimate = Estimate(
            plan,
            request.NewTokens,
            request.PastTokens,
            request.AlwaysKept,
            request.Probes
        );
        double promised = estimate.PromisedSpeedup;
        double? expected = double.IsFinite(loss) ? loss : null;
        string tokens =
            plan.Boundaries.Count > 0 ? $"Of {request.NewTokens} new tokens go on: {plan.WithSkips([])}." : "";
        string[] sentences =
        [
            prefix.TrimEnd(),
            tokens,
            Skipped(plan, best.Value.Skip, request),
            Losing(expected, best.Value.Skip),
            Times(estimate),
        ];
        return estimate with
        {
            TargetSpeedup = request.TargetSpeedup ?? promised,
            ReachableSpeedup = reachable,
            IsTargetReached = promised >= (request.TargetSpeedup ?? promised),
            TargetDecodeSpeedup = request.TargetDecodeSpeedup,
            ExpectedLoss = expected,
            Reason = string.Join(' ', sentences.Where(sentence => sentence.Length > 0)),
        };
    }

    /// <summary>What is skipped and what that alone is expected to save, for people.</summary>
    private string Skipped(PrefillPlan plan, SkipOption? skip, in PlanRequest request)
    {
        if (skip is null)
        {
            return "";
        }

        PrefillPlan whole = plan.WithSkips([]);
        (int tokens, int past, int kept) = (request.NewTokens, request.PastTokens, request.AlwaysKept);
        double prefill =
            CostModel.Cost(plan, tokens, past, kept, request.Probes)
            / CostModel.Cost(whole, tokens, past, kept, request.Probes);
        double decode = DecodeCost.Cost(plan, tokens, past, kept) / DecodeCost.Cost(whole, tokens, past, kept);
        string what = skip.Routing is { } routing ? $"{routing}" : LayerSkip.Describe(skip.Skips);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"The sequence does without {what}, which is expected to save {100 * (1 - prefill):0.#} % of the prefill and {100 * (1 - decode):0.#} % of every output token."
        );
    }

    private static string Losing(double? expected, SkipOption? skip) =>
        expected is null ? ""
        : skip is null ? string.Create(CultureInfo.InvariantCulture, $"The expected loss is {expected:0.000} nats.")
        : string.Create(
            CultureInfo.InvariantCulture,
            $"The expected loss is {expected:0.000} nats, {skip.Loss:0.000} of them for the layers."
        );

    private PrefillPlan PlanAt(in PlanFamily family, double position, in PlanRequest request)
    {
        PlanBoundary[] boundaries = new PlanBoundary[MostBoundaries];
        int count = family.Schedule?.BoundariesAt(position, CostModel.Shape.LayerCount, boundaries) ?? 0;
        if (request.UseThresholds && request.MaxQualityLoss is null)
        {
            for (int i = 0; i < count; i++)
            {
                boundaries[i] = boundaries[i] with { MinRetention = Options.ThresholdFloor * boundaries[i].Retention };
            }
        }

        return PrefillPlan.FromBoundaries(
            boundaries.AsSpan(0, count).ToArray(),
            request.Importance,
            family.Skip?.Skips,
            family.Skip?.Routing
        );
    }

    /// <summary>Why no more is possible.</summary>
    private static string Limit(in PlanRequest request, in PlanSearch search, double reachable)
    {
        int kept = Math.Max(request.AlwaysKept, AlwaysKept.CountByPlace(request.NewTokens));
        if (
            request.MaxQualityLoss is { } budget
            && (search with { Budget = double.PositiveInfinity }).Fastest() > reachable
        )
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
                $"Expected on this machine: {time.Time.TotalMilliseconds:#,0} ms (± {100 * time.RelativeStandardError ?? 0:0} %) instead of {plain.Time.TotalMilliseconds:#,0} ms."
            )
            : "";

    private PlannedPrefill Plain(in PlanRequest request, double? target, double reachable, string reason) =>
        new()
        {
            Plan = PrefillPlan.KeepAll,
            TargetSpeedup = target ?? 1,
            TargetDecodeSpeedup = request.TargetDecodeSpeedup,
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

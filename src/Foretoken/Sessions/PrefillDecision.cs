using System.Globalization;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Skips;

namespace Foretoken.Sessions;

/// <summary>How one prefill is done: the plan, what it promises, and what ranks the tokens.</summary>
internal sealed record PrefillDecision
{
    internal required PrefillPlan Plan { get; init; }

    internal required double Target { get; init; }

    internal required double PromisedSpeedup { get; init; }

    /// <summary>The speedup of an output token that is counted for the plan.</summary>
    internal required double PromisedDecodeSpeedup { get; init; }

    /// <summary>Expected loss in nats; null when it was not measured.</summary>
    internal required double? ExpectedLoss { get; init; }

    /// <summary>As <see cref="PlannedPrefill.PrefillOnlySaving"/>.</summary>
    internal double? PrefillOnlySaving { get; init; }

    internal required string Reason { get; init; }

    /// <summary>What the importance has probed.</summary>
    internal required ProbeLoad Probes { get; init; }

    /// <summary>How long the plan is expected to take; null when nothing was measured.</summary>
    internal PrefillTimeEstimate? ExpectedTime { get; init; }

    /// <summary>Standard error of the promise as a share of it; null when nothing was measured.</summary>
    internal double? PromiseStandardError { get; init; }

    internal required IImportancePolicy Importance { get; init; }

    /// <summary>What chooses the skips that the plan leaves to the prompt; null where it leaves none.</summary>
    internal ILayerRouter? Router { get; init; }

    /// <summary>One flag per new token: whether it is kept because of what it is.</summary>
    internal required bool[] Protected { get; init; }

    /// <exception cref="PlanUnreachableException">The target is out of reach, and the request is strict.</exception>
    /// <exception cref="QualityLossUnknownException">A quality budget was given, no loss was measured, and the request is strict.</exception>
    /// <exception cref="ArgumentException">The plan of the request does not fit the model or the importance.</exception>
    /// <exception cref="ModelProfileException">
    /// The plan of the request names an importance, or needs routers, that need a profile, or routers that are not for its adapters.
    /// </exception>
    /// <param name="planner">Plans for importances that need no profile.</param>
    /// <param name="learnedPlanner">Plans for learned importance: it knows what they lose.</param>
    /// <param name="profile">The model's profile; null when it has none.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="notStagedReason">Why prefill cannot be staged; null when it can.</param>
    /// <param name="promptLength">Tokens of the prompt.</param>
    /// <param name="reused">Leading tokens of it that the cache holds.</param>
    /// <param name="sequenceSkips">What the sequence with the reused tokens does without; null where nothing is reused.</param>
    /// <param name="skipMismatch">Why the profile's skips are not for the request's adapters; null when they are.</param>
    internal static PrefillDecision Make(
        PrefillPlanner planner,
        PrefillPlanner learnedPlanner,
        ModelProfile? profile,
        PrefillRequest request,
        string? notStagedReason,
        int promptLength,
        int reused,
        IReadOnlyList<LayerSkip>? sequenceSkips = null,
        string? skipMismatch = null
    )
    {
        IImportancePolicy importance =
            request.Importance
            ?? ImportancePolicies.Get(request.Speed.Importance ?? request.Speed.Plan?.Importance, profile?.Predictors);
        bool isNamed =
            request.Importance is not null
            || request.Speed.Importance is not null
            || request.Speed.Plan?.Importance is not null;
        PrefillPlanner ownPlanner = importance is LearnedImportance ? learnedPlanner : planner;
        PrefillDecision decision = Choose(
            ownPlanner,
            importance,
            request,
            notStagedReason,
            promptLength,
            reused,
            sequenceSkips
        );
        if (decision.FindUnlearnedBoundary() is not { } problem)
        {
            bool isWithoutSkips =
                skipMismatch is not null
                && ownPlanner == learnedPlanner
                && notStagedReason is null
                && request.Speed.Plan is null
                && !request.Speed.KeepsAll;
            return decision.WithRouter(request, profile, skipMismatch) with
            {
                Reason = isWithoutSkips
                    ? $"{decision.Reason} What the profile knows of skips is left aside: {skipMismatch}."
                    : decision.Reason,
            };
        }
        if (isNamed)
        {
            throw new ArgumentException(
                $"The importance '{importance.Name}' cannot rank the tokens of this plan: {problem}. Use a plan with later boundaries, another importance, or 'foretoken tune' for a new profile."
            );
        }

        // what was learned about losses holds for learned importance only, so the other one has plans of its own
        decision = Choose(
            planner,
            ImportancePolicies.Default,
            request,
            notStagedReason,
            promptLength,
            reused,
            sequenceSkips
        );
        return decision.WithRouter(request, profile, skipMismatch) with
        {
            Reason =
                $"{decision.Reason} The importance '{importance.Name}' could not be used: {problem}; '{decision.Importance.Name}' is used instead.",
        };
    }

    private static PrefillDecision Choose(
        PrefillPlanner planner,
        IImportancePolicy importance,
        PrefillRequest request,
        string? notStagedReason,
        int promptLength,
        int reused,
        IReadOnlyList<LayerSkip>? sequenceSkips
    )
    {
        int newTokens = promptLength - reused;
        bool[] isProtected = ProtectedTokens.Of(request, promptLength, reused);
        int alwaysKept = AlwaysKept.Count(isProtected);
        ProbeLoad probes = ImportancePolicies.GetProbeLoad(importance, planner.CostModel.Shape.LayerCount);

        if (request.Speed.Plan is { } plan)
        {
            plan.EnsureFits(planner.CostModel.Shape.LayerCount);
            if (notStagedReason is not null && !plan.IsKeepAll)
            {
                throw new UnsupportedModelException($"The plan '{plan}' cannot run: {notStagedReason}.");
            }
            PlannedPrefill estimate = planner.Estimate(plan, newTokens, reused, alwaysKept, probes);
            return From(
                estimate with
                {
                    Reason = $"The request brought its own plan: {plan}.{estimate.DescribePrefillOnly()}",
                }
            );
        }

        if (notStagedReason is not null && !request.Speed.KeepsAll)
        {
            if (request.Speed.Strict == true && request.Speed.Target > 1)
            {
                throw new PlanUnreachableException(request.Speed.Target, 1, newTokens, $"{notStagedReason}.");
            }
            return new PrefillDecision
            {
                Plan = PrefillPlan.KeepAll,
                Target = request.Speed.Target,
                PromisedSpeedup = 1,
                PromisedDecodeSpeedup = 1,
                ExpectedLoss = 0,
                Reason = $"Prefill cannot be staged: {notStagedReason}.",
                Importance = importance,
                Protected = isProtected,
                Probes = probes,
            };
        }

        return From(
            planner.Plan(
                new PlanRequest
                {
                    TargetSpeedup = request.Speed.TargetTtftSpeedup,
                    TargetDecodeSpeedup = request.Speed.TargetDecodeSpeedup,
                    MaxQualityLoss = request.Speed.MaxQualityLoss,
                    UseThresholds = request.Speed.UseThresholds == true,
                    NewTokens = newTokens,
                    PastTokens = reused,
                    AlwaysKept = alwaysKept,
                    IsStrict = request.Speed.Strict == true,
                    Importance = importance.Name,
                    Probes = probes,
                }
            )
        );

        PrefillDecision From(PlannedPrefill planned)
        {
            if (
                sequenceSkips is not null
                && (planned.Plan.Routing is not null || !planned.Plan.Skips.SequenceEqual(sequenceSkips))
            )
            {
                // the cache of the reused prefix has no keys and values of what was skipped, and a part that was not is needed
                PlannedPrefill kept = planner.Estimate(
                    planned.Plan.WithSkips(sequenceSkips),
                    newTokens,
                    reused,
                    alwaysKept,
                    probes
                );
                string how =
                    sequenceSkips.Count == 0
                        ? "with all parts of its layers"
                        : $"without {LayerSkip.Describe(sequenceSkips)}";
                planned = kept with
                {
                    TargetSpeedup = planned.TargetSpeedup,
                    ExpectedLoss = null,
                    Reason = $"{planned.Reason} The sequence goes on {how}, as its reused prefix was computed.",
                };
            }
            return new()
            {
                Plan = planned.Plan,
                Target = planned.TargetSpeedup,
                PromisedSpeedup = planned.PromisedSpeedup,
                PromisedDecodeSpeedup = planned.PromisedDecodeSpeedup,
                PromiseStandardError = planned.PromiseStandardError,
                PrefillOnlySaving = planned.PrefillOnlySaving,
                ExpectedLoss = planned.ExpectedLoss,
                ExpectedTime = planned.ExpectedTime,
                Reason = planned.Reason,
                Importance = importance,
                Protected = isProtected,
                Probes = probes,
            };
        }
    }

    private PrefillDecision WithRouter(PrefillRequest request, ModelProfile? profile, string? skipMismatch)
    {
        if (Plan.Routing is not { } routing)
        {
            return this;
        }
        if (request.Router is null && skipMismatch is not null)
        {
            throw new ModelProfileException(
                $"The plan is without {routing}, and the profile's router for it cannot be used: {skipMismatch}; or use a plan that names what is skipped."
            );
        }
        ILayerRouter router =
            request.Router
            ?? profile?.CreateRouter()
            ?? throw new ModelProfileException(
                $"The plan is without {routing}, and the model's profile has no routers. Learn them with 'foretoken tune', set {nameof(PrefillRequest)}.{nameof(PrefillRequest.Router)}, or use a plan that names what is skipped."
            );
        return this with { Router = router };
    }

    /// <summary>What learned importance lacks for this plan, for people: below its lowest boundary nothing was learned. Null when nothing.</summary>
    private string? FindUnlearnedBoundary() =>
        Importance is LearnedImportance { Predictors: [{ Layer: var lowest }, ..] }
        && Plan.Boundaries is [{ Layer: var first }, ..]
        && first < lowest
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"the profile knows boundaries from layer {lowest} on, the plan has one at layer {first}"
            )
            : null;
}

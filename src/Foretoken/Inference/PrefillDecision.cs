using Foretoken.Planning;
using Foretoken.Profiles;

namespace Foretoken.Inference;

/// <summary>How one prefill is done: the plan, what it promises, and what ranks the tokens.</summary>
internal sealed record PrefillDecision
{
    internal required PrefillPlan Plan { get; init; }

    internal required double Target { get; init; }

    internal required double PromisedSpeedup { get; init; }

    /// <summary>Expected loss in nats; null when it was not measured.</summary>
    internal required double? ExpectedLoss { get; init; }

    internal required string Reason { get; init; }

    internal required IImportancePolicy Importance { get; init; }

    /// <summary>One flag per new token: whether it is kept because of what it is.</summary>
    internal required bool[] Protected { get; init; }

    /// <exception cref="PlanUnreachableException">The target is out of reach, and the request is strict.</exception>
    /// <exception cref="QualityLossUnknownException">A quality budget was given, no loss was measured, and the request is strict.</exception>
    /// <exception cref="ArgumentException">The plan of the request does not fit the model.</exception>
    internal static PrefillDecision Make(
        PrefillPlanner planner,
        PrefillRequest request,
        string? notStagedReason,
        int promptLength,
        int reused
    )
    {
        int newTokens = promptLength - reused;
        bool[] isProtected = ProtectedTokens.Of(request, promptLength, reused);
        int alwaysKept = AlwaysKept.Count(isProtected);
        IImportancePolicy importance = request.Importance ?? ImportancePolicies.Default;

        if (request.Plan is { } plan)
        {
            plan.EnsureFits(planner.CostModel.Shape.LayerCount);
            if (notStagedReason is not null && !plan.IsKeepAll)
            {
                throw new UnsupportedModelException($"The plan '{plan}' cannot run: {notStagedReason}.");
            }
            double speedup = planner.CostModel.Speedup(plan, newTokens, reused, alwaysKept);
            return new PrefillDecision
            {
                Plan = plan,
                Target = speedup,
                PromisedSpeedup = speedup,
                ExpectedLoss = plan.IsKeepAll ? 0 : null,
                Reason = $"The request brought its own plan: {plan}.",
                Importance =
                    request.Importance is null && plan.Importance is not null
                        ? ImportancePolicies.Get(plan.Importance)
                        : importance,
                Protected = isProtected,
            };
        }

        if (notStagedReason is not null && !request.KeepsAll)
        {
            if (request.Strict && request.TargetTtftSpeedup > 1)
            {
                throw new PlanUnreachableException(request.TargetTtftSpeedup, 1, newTokens, $"{notStagedReason}.");
            }
            return new PrefillDecision
            {
                Plan = PrefillPlan.KeepAll,
                Target = request.TargetTtftSpeedup,
                PromisedSpeedup = 1,
                ExpectedLoss = 0,
                Reason = $"Prefill cannot be staged: {notStagedReason}.",
                Importance = importance,
                Protected = isProtected,
            };
        }

        PlannedPrefill planned = planner.Plan(
            new PlanRequest
            {
                TargetSpeedup = request.AskedSpeedup,
                MaxQualityLoss = request.MaxQualityLoss,
                UseThresholds = request.UseThresholds,
                NewTokens = newTokens,
                PastTokens = reused,
                AlwaysKept = alwaysKept,
                IsStrict = request.Strict,
                Importance = importance.Name,
            }
        );
        return new PrefillDecision
        {
            Plan = planned.Plan,
            Target = planned.TargetSpeedup,
            PromisedSpeedup = planned.PromisedSpeedup,
            ExpectedLoss = planned.ExpectedLoss,
            Reason = planned.Reason,
            Importance = importance,
            Protected = isProtected,
        };
    }
}

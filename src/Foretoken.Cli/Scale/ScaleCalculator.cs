using Foretoken.Cli.Plan;
using Foretoken.Costs;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Scale;

/// <summary>What the cost model says of models and devices that are not here.</summary>
/// <remarks>
/// <para>
/// Prefill is taken to be bound by arithmetic: its operations (<see cref="CountedPrefillCost"/>) over the share of the peak that
/// is assumed to be reached, with a share of its own for attention. With chunks of 512 tokens that holds on every device of the
/// table: reading the weights once per chunk takes a fraction of computing with them. No time is below that of reading all
/// weights once.
/// </para>
/// <para>
/// Where a model needs several devices, its layers are spread over them and the devices take turns, as llama.cpp's layer split
/// does it, so the time is that of one. What the residual stream takes from device to device is not counted.
/// </para>
/// </remarks>
internal static class ScaleCalculator
{
    // f16 keys and values
    private const int KvNumberBytes = 2;

    // the rest is for buffers and the system
    private const double UsableMemory = 0.9;

    internal static ScaleReport Calculate(
        IReadOnlyList<SyntheticModelSpec> models,
        IReadOnlyList<Hardware> hardware,
        IReadOnlyList<int> lengths,
        IReadOnlyList<double> targets,
        double boundarySeconds,
        int alwaysKept
    ) =>
        new()
        {
            Hardware = hardware,
            BoundarySeconds = boundarySeconds,
            AlwaysKept = alwaysKept,
            Rows =
            [
                .. from device in hardware
                from model in models
                from length in lengths
                select Row(device, model, length, targets, boundarySeconds, alwaysKept),
            ],
        };

    private static ScaleRow Row(
        Hardware device,
        SyntheticModelSpec model,
        int length,
        IReadOnlyList<double> targets,
        double boundarySeconds,
        int alwaysKept
    )
    {
        double rate = device.PeakTflops * 1e12 * device.MatrixEfficiency;
        CountedPrefillCost cost = new(model.Shape)
        {
            AttentionWeight = device.MatrixEfficiency / device.AttentionEfficiency,
            BoundaryOverhead = boundarySeconds * rate,
        };
        PrefillPlanner planner = new(cost);
        long weights = SyntheticModel.GetFileLength(model);
        double reading = weights / (device.BandwidthGBps * 1e9);
        double Seconds(PrefillPlan plan) => Math.Max(reading, cost.Cost(plan, length, 0, alwaysKept) / rate);

        PlannedPrefill Plan(double target) =>
            planner.Plan(
                new PlanRequest
                {
                    NewTokens = length,
                    TargetSpeedup = target,
                    AlwaysKept = alwaysKept,
                }
            );

        double plain = Seconds(PrefillPlan.KeepAll);
        PlannedPrefill fastest = Plan(Math.Min(PrefillPlanner.MaxTargetSpeedup, Plan(1).ReachableSpeedup));
        long kv = KvBytes(model.Shape, PrefillPlan.KeepAll, length, alwaysKept);
        return new ScaleRow
        {
            Hardware = device.Name,
            Model = model.Name,
            PromptTokens = length,
            WeightBytes = weights,
            KvBytes = kv,
            Devices = (int)Math.Ceiling((weights + kv) / (UsableMemory * device.MemoryGB * 1e9)),
            PlainTtftSeconds = plain,
            AttentionShare = AttentionShare(cost, length),
            ReachableSpeedup = plain / Seconds(fastest.Plan),
            Bound = Bound(cost, fastest.Plan, length, alwaysKept, rate * reading),
            Plans =
            [
                .. targets.Select(target =>
                {
                    PlannedPrefill planned = Plan(target);
                    double seconds = Seconds(planned.Plan);
                    return new ScalePlan
                    {
                        Target = target,
                        IsTargetReached = plain / seconds >= target,
                        PromisedSpeedup = plain / seconds,
                        TtftSeconds = seconds,
                        Plan = planned.Plan.IsKeepAll ? null : PlanText.Format(planned.Plan),
                        KvBytes = KvBytes(model.Shape, planned.Plan, length, alwaysKept),
                    };
                }),
            ],
        };
    }

    private static ScaleBound Bound(
        CountedPrefillCost cost,
        PrefillPlan plan,
        int length,
        int alwaysKept,
        double reading
    )
    {
        double whole = cost.Cost(plan, length, 0, alwaysKept);
        // the logits, and no layer
        double logits = 2.0 * cost.Shape.EmbeddingSize * cost.Shape.VocabularySize;
        int below = plan.Boundaries.Count > 0 ? plan.Boundaries[0].Layer : cost.Shape.LayerCount;
        int[] tokens = plan.TokensPerStage(length, alwaysKept);
        return new ScaleBound
        {
            Limit =
                whole <= reading ? "memory-bandwidth"
                : plan.Boundaries.Count == 0 ? "too-short"
                : tokens[^1] > Math.Round(plan.Boundaries[^1].Retention * length) ? "always-kept"
                : "schedule",
            BelowFirstBoundary = plan.Boundaries.Count > 0 ? below * LayerCost(cost, length) / whole : 1,
            Overheads = (logits + (plan.Boundaries.Count * cost.BoundaryOverhead)) / whole,
        };
    }

    /// <summary>One layer with every token: what a model of one more layer costs more.</summary>
    private static double LayerCost(CountedPrefillCost cost, int length)
    {
        CountedPrefillCost deeper = new(cost.Shape with { LayerCount = cost.Shape.LayerCount + 1 })
        {
            AttentionWeight = cost.AttentionWeight,
            BoundaryOverhead = cost.BoundaryOverhead,
        };
        return deeper.Cost(PrefillPlan.KeepAll, length) - cost.Cost(PrefillPlan.KeepAll, length);
    }

    /// <summary>The cost is linear in the weight of attention: half the weight leaves out half of it.</summary>
    private static double AttentionShare(CountedPrefillCost cost, int length)
    {
        CountedPrefillCost lighter = new(cost.Shape)
        {
            AttentionWeight = cost.AttentionWeight / 2,
            BoundaryOverhead = cost.BoundaryOverhead,
        };
        double whole = cost.Cost(PrefillPlan.KeepAll, length);
        return 2 * (whole - lighter.Cost(PrefillPlan.KeepAll, length)) / whole;
    }

    private static long KvBytes(ModelShape shape, PrefillPlan plan, int length, int alwaysKept)
    {
        int[] tokens = plan.TokensPerStage(length, alwaysKept);
        long bytes = 0;
        int begin = 0;
        for (int stage = 0; stage < tokens.Length; stage++)
        {
            int end = stage < plan.Boundaries.Count ? plan.Boundaries[stage].Layer : shape.LayerCount;
            bytes += 2L * KvNumberBytes * shape.KvSize * tokens[stage] * (end - begin);
            begin = end;
        }
        return bytes;
    }
}

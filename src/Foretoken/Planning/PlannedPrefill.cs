using System.Globalization;
using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Planning;

/// <summary>A plan, what it promises, and why it was chosen. Immutable.</summary>
internal sealed record PlannedPrefill
{
    /// <summary>The plan to run.</summary>
    public required PrefillPlan Plan { get; init; }

    /// <summary>The speedup that was asked for; <see cref="PromisedSpeedup"/> when only a quality budget was given.</summary>
    public required double TargetSpeedup { get; init; }

    /// <summary>The speedup that the cost model estimates for <see cref="Plan"/>; 1 when everything is kept.</summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>
    /// The largest speedup that could have been asked for with this prompt and quality budget. The smallest is always 1.
    /// </summary>
    public required double ReachableSpeedup { get; init; }

    /// <summary>Whether <see cref="PromisedSpeedup"/> is at least <see cref="TargetSpeedup"/>.</summary>
    public required bool IsTargetReached { get; init; }

    /// <summary>The speedup of an output token that was asked for; <see langword="null"/> when none was.</summary>
    public double? TargetDecodeSpeedup { get; init; }

    /// <summary>
    /// The speedup of an output token that is counted for <see cref="Plan"/> (<see cref="DecodeCost"/>): fewer weights are
    /// read where layers are skipped, and fewer keys and values where tokens were left out. 1 when everything is kept.
    /// </summary>
    public double PromisedDecodeSpeedup { get; init; } = 1;

    /// <summary>
    /// Quality that <see cref="Plan"/> is expected to lose at its retentions, KL divergence from full prefill in nats; 0 when
    /// everything is kept, <see langword="null"/> when it was not measured.
    /// </summary>
    public double? ExpectedLoss { get; init; }

    /// <summary>How long <see cref="Plan"/> is expected to take; <see langword="null"/> when nothing was measured on this machine.</summary>
    public PrefillTimeEstimate? ExpectedTime { get; init; }

    /// <summary>How long plain prefill is expected to take; <see langword="null"/> when nothing was measured on this machine.</summary>
    public PrefillTimeEstimate? ExpectedPlainTime { get; init; }

    /// <summary>
    /// Standard error of <see cref="PromisedSpeedup"/> as a share of it, 0 when everything is kept; <see langword="null"/> when
    /// nothing was measured on this machine.
    /// </summary>
    public double? PromiseStandardError { get; init; }

    /// <summary>
    /// Share of the prefill that prefill-only pruning (<see cref="PrefillPlan.PrefillOnlyFrom"/>) is expected to save, beside what
    /// the rest of <see cref="Plan"/> saves; negative where it costs more than it saves, <see langword="null"/> where there is
    /// none. Of an output token it saves nothing.
    /// </summary>
    public double? PrefillOnlySaving { get; init; }

    /// <summary>Why this plan, in a sentence or two, for people.</summary>
    public required string Reason { get; init; }

    /// <summary>A sentence about prefill-only pruning to go behind another one; empty where there is none.</summary>
    internal string DescribePrefillOnly() =>
        Plan.PrefillOnlyFrom is { } from
            ? string.Create(
                CultureInfo.InvariantCulture,
                $" From layer {from} on all tokens but the last only write keys and values, which is expected to save {100 * PrefillOnlySaving:0.#} % of the prefill and nothing of an output token."
            )
            : "";
}

using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>What prefills of a session cost: what was learned from their times, and counted operations until enough is known.</summary>
/// <param name="model">The model.</param>
/// <param name="measured">What learns the times without LoRA adapters; null when plans rest on counting alone.</param>
internal sealed class SessionCosts(ForetokenModel model, CostTracker? measured)
{
    private readonly CountedPrefillCost _counted = new(model.Shape);

    // by the adapters that were computed with
    private readonly Dictionary<string, CostTracker> _withAdapters = new(StringComparer.Ordinal);

    /// <summary>What learns the times without LoRA adapters; null when plans rest on counting alone.</summary>
    internal CostTracker? Measured => measured;

    /// <summary>What plans without LoRA adapters rest on.</summary>
    internal PrefillCost Current => measured?.Cost ?? _counted;

    /// <summary>Receives the times of prefills instead of the trackers, while a calibration runs; null otherwise.</summary>
    internal List<PrefillRun>? Calibration { get; set; }

    /// <summary>What plans with some adapters rest on.</summary>
    internal PrefillCost With(ScaledAdapter[] adapters) => TrackerOf(adapters)?.Profile ?? Current;

    /// <summary>What went wrong with the cached times since the last call, for people; null when nothing did.</summary>
    internal string? TakeProblem() =>
        _withAdapters
            .Values.Prepend(measured)
            .Select(costs => costs?.TakeProblem())
            .FirstOrDefault(problem => problem is not null);

    /// <summary>Writes what was learned to disk.</summary>
    internal void Flush()
    {
        measured?.Flush();
        foreach (CostTracker costs in _withAdapters.Values)
        {
            costs.Flush();
        }
    }

    /// <summary>Learns from the times of a prefill.</summary>
    /// <returns>An estimate of what plain prefill would have taken; null where nothing was left out.</returns>
    internal PrefillTimeEstimate? Learn(PrefillMeasurement prefill)
    {
        PrefillDecision decision = prefill.Decision;
        bool isPlain = decision.Plan.IsKeepAll;
        if (TrackerOf(prefill.Adapters) is not { } costs)
        {
            return isPlain ? null : CountPlainTime(prefill);
        }
        PrefillRun run = PrefillTimes.Sample(
            prefill.Native,
            costs.Layout,
            [.. prefill.Native.Skips],
            prefill.Reused,
            // nothing is probed where no tokens are chosen
            decision.Plan.Boundaries.Count > 0
                ? decision.Probes
                : default,
            prefill.Elapsed,
            // a device computes while the processor waits
            costs.Layout.FirstDeviceLayer == costs.Layout.LayerCount
                ? prefill.CpuShare
                : null
        );
        PrefillTimeEstimate? plain =
            isPlain ? null
            : (costs.Profile ?? measured!.Profile) is { } profile
                ? profile.EstimatePlainTime(
                    [.. run.Chunks.Take(prefill.Native.Stages[0].NChunks)],
                    prefill.Computed,
                    prefill.Reused
                )
            : CountPlainTime(prefill);
        if (Calibration is not null)
        {
            Calibration.Add(run);
        }
        else if (run.Chunks.All(chunk => chunk.Layers.IsWhole))
        {
            costs.Observe(run);
        }
        return plain;
    }

    /// <summary>Without measured times: the time of the first stage, which ran every token, in proportion to the operations counted.</summary>
    private PrefillTimeEstimate CountPlainTime(PrefillMeasurement prefill)
    {
        NativeStageReport first = prefill.Native.Stages[0];
        double share = _counted.CostOfStage(
            first.LayerBegin,
            first.LayerEnd,
            [.. prefill.Native.Skips],
            prefill.Computed,
            prefill.Reused
        );
        double all = _counted.Cost(PrefillPlan.KeepAll, prefill.Computed, prefill.Reused);
        return new PrefillTimeEstimate(TimeSpan.FromMicroseconds(first.Us * all / share), null);
    }

    private CostTracker? TrackerOf(ScaledAdapter[] adapters)
    {
        if (measured is null || adapters.Length == 0)
        {
            return measured;
        }
        string key = string.Join(
            ' ',
            adapters.Select(adapter => Convert.ToHexStringLower(adapter.Adapter.Fingerprint))
        );
        if (!_withAdapters.TryGetValue(key, out CostTracker? costs))
        {
            costs = model.GetCosts(measured, key);
            _withAdapters.Add(key, costs);
        }
        return costs;
    }
}

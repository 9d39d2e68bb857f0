using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>Turns what the native library reports about a prefill into a sample for the cost profile.</summary>
internal static class PrefillTimes
{
    /// <summary>The sample.</summary>
    /// <param name="native">What the native library reports.</param>
    /// <param name="layout">How layers are computed.</param>
    /// <param name="skips">What was not computed.</param>
    /// <param name="pastTokens">Tokens in front of the prefill.</param>
    /// <param name="probes">The probes of the importance.</param>
    /// <param name="elapsed">How long the prefill took.</param>
    /// <param name="cpuShare">As <see cref="PrefillRun.CpuShare"/>.</param>
    internal static PrefillRun Sample(
        NativePrefillReport native,
        in PrefillLayout layout,
        ReadOnlySpan<LayerSkip> skips,
        int pastTokens,
        in ProbeLoad probes,
        TimeSpan elapsed,
        double? cpuShare
    )
    {
        List<ChunkSample> chunks = [];
        double ranked = 0;
        double seconds = 0;
        for (int s = 0; s < native.Stages.Count; s++)
        {
            NativeStageReport stage = native.Stages[s];
            bool isLast = s == native.Stages.Count - 1;
            StageLayers layers = StageLayers.Of(layout, stage.LayerBegin, stage.LayerEnd, skips) with
            {
                KeysAndValuesOnly = stage.KvOnly,
            };
            int begin = 0;
            foreach (long us in stage.ChunkUs)
            {
                int end = Math.Min(stage.NTokens, begin + layout.UBatchSize);
                chunks.Add(
                    new ChunkSample(
                        layers,
                        end - begin,
                        pastTokens + begin,
                        isLast && end == stage.NTokens,
                        isLast ? 0 : PrefillWork.ProbePairs(layers, probes, stage.NTokens, pastTokens, begin, end),
                        Math.Max(1, us) / 1e6
                    )
                );
                seconds += us / 1e6;
                begin = end;
            }
            ranked += isLast ? 0 : (double)stage.NTokens * layers.Probed(probes);
        }
        double selectSeconds = native.SelectUs / 1e6;
        return new PrefillRun
        {
            CpuShare = cpuShare,
            Chunks = chunks,
            Boundaries = native.Stages.Count - 1,
            RankedTokenLayers = ranked,
            SelectSeconds = selectSeconds,
            OverheadSeconds = Math.Max(0, elapsed.TotalSeconds - seconds - selectSeconds),
        };
    }
}

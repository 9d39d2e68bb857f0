namespace Foretoken.Planning;

/// <summary>How a model's layers are computed, as far as the time of a prefill depends on it. Immutable.</summary>
/// <param name="LayerCount">Layers of the model.</param>
/// <param name="FirstDeviceLayer">First layer on a device; <paramref name="LayerCount"/> when all are on the host.</param>
/// <param name="UBatchSize">Tokens per chunk at most.</param>
/// <param name="LastLayerSaving">
/// Share of a token's work in the last layer that is done only for the token of the logits (<see cref="PrefillCostModel"/>).
/// </param>
internal readonly record struct PrefillLayout(
    int LayerCount,
    int FirstDeviceLayer,
    int UBatchSize,
    double LastLayerSaving
)
{
    internal static PrefillLayout Of(ModelShape shape, int firstDeviceLayer, int uBatchSize) =>
        new(
            shape.LayerCount,
            Math.Clamp(firstDeviceLayer, 0, shape.LayerCount),
            uBatchSize,
            new PrefillCostModel(shape).FeedForwardShare
        );
}

/// <summary>Counts the <see cref="CostTerm"/>s of prefills, of stages and of single chunks by the same rules.</summary>
internal static class PrefillWork
{
    /// <summary>Counts a whole prefill.</summary>
    /// <param name="layout">How the layers are computed.</param>
    /// <param name="boundaries">Boundaries that fit the model.</param>
    /// <param name="skips">What is not computed.</param>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="pastTokens">Tokens in front of them.</param>
    /// <param name="alwaysKept">Tokens that are always kept; those kept by their place are counted at least.</param>
    /// <param name="probes">The probes of the importance.</param>
    /// <param name="terms">Receives the counts, [<see cref="CostTerm.Count"/>].</param>
    internal static void CountPrefill(
        in PrefillLayout layout,
        ReadOnlySpan<PlanBoundary> boundaries,
        ReadOnlySpan<LayerSkip> skips,
        int newTokens,
        int pastTokens,
        int alwaysKept,
        in ProbeLoad probes,
        Span<double> terms
    )
    {
        terms.Clear();
        terms[CostTerm.Prefill] = 1;
        alwaysKept = Math.Max(alwaysKept, AlwaysKept.CountByPlace(newTokens));
        int begin = 0;
        int tokens = newTokens;
        for (int stage = 0; stage <= boundaries.Length; stage++)
        {
            bool isLast = stage == boundaries.Length;
            int end = isLast ? layout.LayerCount : boundaries[stage].Layer;
            StageLayers layers = StageLayers.Of(layout, begin, end, skips);
            AddStage(layout, layers, tokens, pastTokens, isLast ? default : probes, terms);
            if (isLast)
            {
                terms[CostTerm.Logits]++;
            }
            else
            {
                AddSelection(layers, tokens, probes, terms);
                tokens = PrefillPlan.CountKept(boundaries[stage].Retention, newTokens, alwaysKept);
            }

            begin = end;
        }
    }

    /// <summary>Counts all chunks of a stage, in closed form: plans are compared by the thousand.</summary>
    internal static void AddStage(
        in PrefillLayout layout,
        in StageLayers layers,
        int tokens,
        int pastTokens,
        in ProbeLoad probes,
        Span<double> terms
    )
    {
        double u = layout.UBatchSize;
        int whole = tokens / layout.UBatchSize;
        double rest = tokens % layout.UBatchSize;
        double chunks = whole + (rest > 0 ? 1 : 0);
        double past = ((double)tokens * pastTokens) + (u * u * ((double)whole * (whole - 1) / 2)) + (rest * whole * u);
        double own = (whole * u * u) + (rest * rest);
        terms[CostTerm.Chunk] += chunks;
        // rounding in the stage's window: its queries are taken to see all keys
        terms[CostTerm.ProbePair] +=
            layers.Probed(probes)
            * (
                (Math.Min(probes.LastQueries, tokens) * ((double)pastTokens + tokens))
                + (probes.QueryShare * (past + own))
            );
        double saved = layers.HasLast ? layout.LastLayerSaving * Math.Max(0, tokens - 1) : 0;
        AddLayers(terms[CostTerm.Host..], layers.Host, chunks, tokens, layers.IsLastOnDevice ? 0 : saved, past, own);
        AddLayers(
            terms[CostTerm.Device..],
            layers.Device,
            chunks,
            tokens,
            layers.IsLastOnDevice ? saved : 0,
            past,
            own
        );
    }

    /// <summary>Counts one chunk.</summary>
    /// <param name="layout">How the layers are computed.</param>
    /// <param name="chunk">The chunk.</param>
    /// <param name="terms">Receives the counts of the first <see cref="CostTerm.ChunkTerms"/> terms.</param>
    internal static void CountChunk(in PrefillLayout layout, in ChunkSample chunk, Span<double> terms)
    {
        terms.Clear();
        terms[CostTerm.Chunk] = 1;
        terms[CostTerm.Logits] = chunk.HasLogits ? 1 : 0;
        terms[CostTerm.ProbePair] = chunk.ProbePairs;
        StageLayers layers = chunk.Layers;
        double saved = layers.HasLast ? layout.LastLayerSaving * (chunk.Tokens - (chunk.HasLogits ? 1 : 0)) : 0;
        double past = (double)chunk.Tokens * chunk.PastKeys;
        double own = (double)chunk.Tokens * chunk.Tokens;
        AddLayers(terms[CostTerm.Host..], layers.Host, 1, chunk.Tokens, layers.IsLastOnDevice ? 0 : saved, past, own);
        AddLayers(
            terms[CostTerm.Device..],
            layers.Device,
            1,
            chunk.Tokens,
            layers.IsLastOnDevice ? saved : 0,
            past,
            own
        );
    }

    /// <summary>Pairs of probed queries and keys in one chunk of a stage.</summary>
    internal static double ProbePairs(
        in StageLayers layers,
        in ProbeLoad probes,
        int stageTokens,
        int pastTokens,
        int begin,
        int end
    )
    {
        double last = Math.Max(0, end - Math.Max(begin, stageTokens - probes.LastQueries));
        return layers.Probed(probes) * (last + (probes.QueryShare * (end - begin))) * ((double)pastTokens + end);
    }

    internal static void AddSelection(in StageLayers layers, int tokens, in ProbeLoad probes, Span<double> terms)
    {
        terms[CostTerm.Boundary]++;
        terms[CostTerm.RankedTokenLayer] += (double)tokens * layers.Probed(probes);
    }

    private static void AddLayers(
        Span<double> terms,
        int layers,
        double chunks,
        double tokens,
        double savedTokens,
        double past,
        double own
    )
    {
        if (layers == 0)
        {
            return;
        }

        terms[CostTerm.Layer] += layers * chunks;
        terms[CostTerm.TokenLayer] += (layers * tokens) - savedTokens;
        terms[CostTerm.PastPair] += layers * past;
        terms[CostTerm.OwnPair] += layers * own;
    }
}

/// <summary>The layers of a stage that are computed.</summary>
/// <param name="Host">Layers on the host.</param>
/// <param name="Device">Layers on a device.</param>
/// <param name="HasLast">Whether the model's last layer is one of them.</param>
internal readonly record struct StageLayers(int Host, int Device, bool HasLast)
{
    // layers go to devices from the last one on
    internal bool IsLastOnDevice => HasLast && Device > 0;

    internal int Probed(in ProbeLoad probes) => Math.Min(Host + Device, probes.Layers);

    internal static StageLayers Of(in PrefillLayout layout, int begin, int end, ReadOnlySpan<LayerSkip> skips)
    {
        int host = Math.Max(0, Math.Min(end, layout.FirstDeviceLayer) - begin);
        int device = end - begin - host;
        bool hasLast = end == layout.LayerCount;
        foreach ((int layer, LayerPart part) in skips)
        {
            // what a sublayer alone saves is not measured: it is counted as if it were computed
            if (part == LayerPart.Block && layer >= begin && layer < end)
            {
                host -= layer < layout.FirstDeviceLayer ? 1 : 0;
                device -= layer < layout.FirstDeviceLayer ? 0 : 1;
                hasLast &= layer != layout.LayerCount - 1;
            }
        }

        return new StageLayers(host, device, hasLast);
    }
}

using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>How a model's layers are computed, as far as the time of a prefill depends on it. Immutable.</summary>
/// <param name="LayerCount">Layers of the model.</param>
/// <param name="FirstDeviceLayer">First layer on a device; <paramref name="LayerCount"/> when all are on the host.</param>
/// <param name="UBatchSize">Tokens per chunk at most.</param>
/// <param name="FeedForwardShare">
/// Share of the feed-forward block in what a layer does for a token, attention to other tokens not counted. In the last layer it
/// is done only for the token of the logits (<see cref="CountedPrefillCost"/>).
/// </param>
/// <param name="KeyValueShare">Share of the projections of keys and values in the same.</param>
internal readonly record struct PrefillLayout(
    int LayerCount,
    int FirstDeviceLayer,
    int UBatchSize,
    double FeedForwardShare,
    double KeyValueShare
)
{
    internal static PrefillLayout Of(ModelShape shape, int firstDeviceLayer, int uBatchSize)
    {
        CountedPrefillCost counted = new(shape);
        return new(
            shape.LayerCount,
            Math.Clamp(firstDeviceLayer, 0, shape.LayerCount),
            uBatchSize,
            counted.FeedForwardShare,
            counted.KeyValueShare
        );
    }
}

/// <summary>Counts the <see cref="CostTerm"/>s of prefills, of stages and of single chunks by the same rules.</summary>
internal static class PrefillWork
{
    /// <summary>Counts a whole prefill.</summary>
    /// <param name="layout">How the layers are computed.</param>
    /// <param name="boundaries">Boundaries that fit the model.</param>
    /// <param name="skips">What is not computed.</param>
    /// <param name="routingLayer">Where routers read; <see langword="null"/> when there are none.</param>
    /// <param name="prefillOnlyFrom">Where all tokens but the last stop; <see langword="null"/> when they do not.</param>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="pastTokens">Tokens in front of them.</param>
    /// <param name="alwaysKept">Tokens that are always kept; those kept by their place are counted at least.</param>
    /// <param name="probes">The probes of the importance.</param>
    /// <param name="terms">Receives the counts, [<see cref="CostTerm.Count"/>].</param>
    internal static void CountPrefill(
        in PrefillLayout layout,
        ReadOnlySpan<PlanBoundary> boundaries,
        ReadOnlySpan<LayerSkip> skips,
        int? routingLayer,
        int? prefillOnlyFrom,
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
            if (isLast && prefillOnlyFrom is { } from)
            {
                AddPrefillOnly(layout, skips, begin, from, tokens, pastTokens, terms);
            }
            else
            {
                AddStage(layout, layers, tokens, pastTokens, isLast ? default : probes, terms);
            }

            if (routingLayer > begin && routingLayer < end)
            {
                // the stage is computed in two parts, and nothing is ranked between them
                terms[CostTerm.Boundary]++;
                // where prefill-only pruning begins, it is in parts already
                terms[CostTerm.Chunk] += routingLayer == prefillOnlyFrom ? 0 : Chunks(layout, tokens);
            }

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

    /// <summary>Counts the last stage where all tokens but the last one stop in front of a layer of it.</summary>
    private static void AddPrefillOnly(
        in PrefillLayout layout,
        ReadOnlySpan<LayerSkip> skips,
        int begin,
        int from,
        int tokens,
        int pastTokens,
        Span<double> terms
    )
    {
        if (begin < from)
        {
            AddStage(layout, StageLayers.Of(layout, begin, from, skips), tokens, pastTokens, default, terms);
        }

        StageLayers upper = StageLayers.Of(layout, from, layout.LayerCount, skips);
        int written = Math.Max(0, tokens - 1);
        AddStage(layout, upper with { KeysAndValuesOnly = true }, written, pastTokens, default, terms);
        AddStage(layout, upper, tokens - written, pastTokens + written, default, terms);
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
        double chunks = Chunks(layout, tokens);
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
        double saved = layers.HasLast ? layout.FeedForwardShare * Math.Max(0, tokens - 1) : 0;
        AddLayers(layout, layers, chunks, tokens, saved, past, own, terms);
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
        double saved = layers.HasLast ? layout.FeedForwardShare * (chunk.Tokens - (chunk.HasLogits ? 1 : 0)) : 0;
        double past = (double)chunk.Tokens * chunk.PastKeys;
        double own = (double)chunk.Tokens * chunk.Tokens;
        AddLayers(layout, layers, 1, chunk.Tokens, saved, past, own, terms);
    }

    internal static bool HasBoundaryAt(ReadOnlySpan<PlanBoundary> boundaries, int layer)
    {
        foreach (PlanBoundary boundary in boundaries)
        {
            if (boundary.Layer == layer)
            {
                return true;
            }
        }

        return false;
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

    private static double Chunks(in PrefillLayout layout, int tokens) =>
        (tokens / layout.UBatchSize) + (tokens % layout.UBatchSize > 0 ? 1 : 0);

    private static void AddLayers(
        in PrefillLayout layout,
        in StageLayers layers,
        double chunks,
        double tokens,
        double savedTokens,
        double past,
        double own,
        Span<double> terms
    )
    {
        double share = layout.FeedForwardShare;
        double keyValueShare = layout.KeyValueShare;
        bool keysAndValuesOnly = layers.KeysAndValuesOnly;
        (double savedOnHost, double savedOnDevice) = layers.IsLastOnDevice ? (0.0, savedTokens) : (savedTokens, 0.0);
        Add(terms[CostTerm.Host..], layers.Host, layers.HostWithout, savedOnHost);
        Add(terms[CostTerm.Device..], layers.Device, layers.DeviceWithout, savedOnDevice);

        void Add(Span<double> prices, int count, Sublayers without, double saved)
        {
            if (count == 0)
            {
                return;
            }

            if (keysAndValuesOnly)
            {
                // no pairs, and nothing of the last layer is special
                double written = keyValueShare * (count - without.Attentions);
                prices[CostTerm.Layer] += written * chunks;
                prices[CostTerm.TokenLayer] += written * tokens;
                return;
            }

            // a sublayer has its share of the layer's weights and products; the pairs are the attention's
            double whole = count - (without.Attentions * (1 - share)) - (without.FeedForwards * share);
            prices[CostTerm.Layer] += whole * chunks;
            prices[CostTerm.TokenLayer] += (whole * tokens) - saved;
            prices[CostTerm.PastPair] += (count - without.Attentions) * past;
            prices[CostTerm.OwnPair] += (count - without.Attentions) * own;
        }
    }
}

/// <summary>The layers of a stage that are computed.</summary>
/// <param name="Host">Layers on the host.</param>
/// <param name="Device">Layers on a device.</param>
/// <param name="HasLast">Whether the model's last layer, with its feed-forward block, is one of them.</param>
internal readonly record struct StageLayers(int Host, int Device, bool HasLast)
{
    /// <summary>Sublayers that the layers on the host do without.</summary>
    internal Sublayers HostWithout { get; init; }

    /// <summary>Sublayers that the layers on a device do without.</summary>
    internal Sublayers DeviceWithout { get; init; }

    /// <summary>Whether the layers only write keys and values.</summary>
    internal bool KeysAndValuesOnly { get; init; }

    /// <summary>Whether every layer is computed with both sublayers.</summary>
    internal bool IsWhole => !KeysAndValuesOnly && HostWithout == default && DeviceWithout == default;

    // layers go to devices from the last one on
    internal bool IsLastOnDevice => HasLast && Device > 0;

    internal int Probed(in ProbeLoad probes) => Math.Min(Host + Device, probes.Layers);

    internal static StageLayers Of(in PrefillLayout layout, int begin, int end, ReadOnlySpan<LayerSkip> skips)
    {
        int host = Math.Max(0, Math.Min(end, layout.FirstDeviceLayer) - begin);
        int device = end - begin - host;
        bool hasLast = end == layout.LayerCount;
        Sublayers hostWithout = default;
        Sublayers deviceWithout = default;
        foreach ((int layer, LayerPart part) in skips)
        {
            if (layer < begin || layer >= end)
            {
                continue;
            }

            bool isOnHost = layer < layout.FirstDeviceLayer;
            bool isLast = layer == layout.LayerCount - 1;
            if (part == LayerPart.Block)
            {
                host -= isOnHost ? 1 : 0;
                device -= isOnHost ? 0 : 1;
            }
            else if (isOnHost)
            {
                hostWithout = hostWithout.And(part);
            }
            else
            {
                deviceWithout = deviceWithout.And(part);
            }

            hasLast &= !isLast || part == LayerPart.Attention;
        }

        return new StageLayers(host, device, hasLast) { HostWithout = hostWithout, DeviceWithout = deviceWithout };
    }
}

/// <summary>Numbers of sublayers.</summary>
internal readonly record struct Sublayers(int Attentions, int FeedForwards)
{
    /// <summary>Those of a range of layers that are computed.</summary>
    internal static Sublayers Of(int begin, int end, ReadOnlySpan<LayerSkip> skips)
    {
        int attentions = end - begin;
        int feedForwards = end - begin;
        foreach ((int layer, LayerPart part) in skips)
        {
            bool isHere = layer >= begin && layer < end;
            attentions -= isHere && part != LayerPart.FeedForward ? 1 : 0;
            feedForwards -= isHere && part != LayerPart.Attention ? 1 : 0;
        }

        return new Sublayers(attentions, feedForwards);
    }

    internal Sublayers And(LayerPart part) =>
        part == LayerPart.Attention
            ? this with
            {
                Attentions = Attentions + 1,
            }
            : this with
            {
                FeedForwards = FeedForwards + 1,
            };
}

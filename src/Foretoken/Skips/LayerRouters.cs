using Foretoken.Plans;

namespace Foretoken.Skips;

/// <summary>
/// The routers of a profile: linear on the mean over the prompt of the normed residual stream, sigmoid, one per layer (the
/// sequence router of Router-Tuning, arXiv 2410.13184; it stands in for FiRST's, arXiv 2410.12513, whose equations were not in
/// reach).
/// </summary>
/// <remarks>
/// A router alone would keep its layer at or above 0.5. Here the number of skips is given, because speed was promised: those
/// with the lowest logits go, of equal ones the lower layer. Immutable and thread-safe.
/// </remarks>
internal sealed class LayerRouters : ILayerRouter
{
    private readonly SkipRouter[] _routers;

    /// <summary>Routers of a model.</summary>
    /// <param name="routers">The routers, at least one.</param>
    /// <exception cref="ArgumentException">There are none, or their sizes contradict each other.</exception>
    public LayerRouters(IReadOnlyList<SkipRouter> routers)
    {
        ArgumentNullException.ThrowIfNull(routers);
        if (routers.Count == 0)
        {
            throw new ArgumentException("There are no routers.", nameof(routers));
        }

        foreach (SkipRouter router in routers)
        {
            if (
                router.Layers.Count == 0
                || router.Weights.Length % router.Layers.Count != 0
                || router.Biases.Length != router.Layers.Count
            )
            {
                throw new ArgumentException(
                    $"Routers for {router.Layers.Count} layers do not have {router.Weights.Length} weights and {router.Biases.Length} biases.",
                    nameof(routers)
                );
            }
        }

        _routers = [.. routers];
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">
    /// There are no routers in front of that layer for that part or for so many of them, or the residual stream has another width.
    /// </exception>
    public IReadOnlyList<LayerSkip> Route(SkipRouting routing, ReadOnlySpan<float> residual, int tokens)
    {
        SkipRouter router = Find(routing);
        if (router.Weights.IsEmpty)
        {
            return Choose(router, [], routing.Count);
        }

        float[] features = PromptFeatures.Compute(residual, tokens);
        int width = router.Weights.Length / router.Layers.Count;
        if (features.Length != width)
        {
            throw new ArgumentException(
                $"The residual stream is {features.Length} wide, the routers read {width} numbers.",
                nameof(residual)
            );
        }

        return Choose(router, features, routing.Count);
    }

    /// <summary>What a prompt does without.</summary>
    /// <param name="router">The routers.</param>
    /// <param name="features">As <see cref="PromptFeatures.Compute"/> gives them, [embedding]; not read by routers without weights.</param>
    /// <param name="count">How many parts, at most as many as there are routers.</param>
    internal static LayerSkip[] Choose(SkipRouter router, ReadOnlySpan<float> features, int count)
    {
        float[] logits = new float[router.Layers.Count];
        for (int i = 0; i < logits.Length; i++)
        {
            float bias = router.Biases.Span[i];
            logits[i] = router.Weights.IsEmpty
                ? bias
                : PromptFeatures.Logit(features, router.Weights.Span.Slice(i * features.Length, features.Length), bias);
        }

        return
        [
            .. LowestFirst(logits)
                .Take(count)
                .Select(i => new LayerSkip(router.Layers[i], router.Routing.Part))
                .Order(),
        ];
    }

    /// <summary>Indices of values, those of the lowest ones first; of equal ones the lower index. What learns a choice chooses like this, too.</summary>
    internal static IEnumerable<int> LowestFirst<T>(IReadOnlyList<T> values) =>
        Enumerable.Range(0, values.Count).OrderBy(i => values[i]);

    /// <summary>Those that were trained for that many skips; otherwise the next larger number, which choose a part of theirs.</summary>
    internal SkipRouter Find(SkipRouting routing)
    {
        ArgumentNullException.ThrowIfNull(routing);
        SkipRouter[] there =
        [
            .. _routers.Where(router => router.Routing.Layer == routing.Layer && router.Routing.Part == routing.Part),
        ];
        return there
                .Where(router => router.Layers.Count >= routing.Count)
                .OrderBy(router => router.Routing.Count < routing.Count)
                .ThenBy(router => Math.Abs(router.Routing.Count - routing.Count))
                .FirstOrDefault()
            ?? throw new ArgumentException(
                there.Length > 0
                    ? $"The profile's routers choose among {there.Max(router => router.Layers.Count)} layers: not {routing}."
                    : $"The profile has no routers for {routing}. It has some for: {string.Join("; ", _routers.Select(router => router.Routing))}.",
                nameof(routing)
            );
    }
}

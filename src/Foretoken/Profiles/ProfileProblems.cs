using System.Security.Cryptography;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Skips;
using static System.FormattableString;

namespace Foretoken.Profiles;

/// <summary>What a profile may not hold. Checked when one is read and when one is written.</summary>
internal static class ProfileProblems
{
    /// <summary>What no profile may hold, as a sentence; null when everything is well.</summary>
    internal static string? Find(ModelProfile profile)
    {
        if (profile.LayerCount < 2 || profile.HeadCount < 1 || profile.EmbeddingSize < 1)
        {
            return Invariant(
                $"it is for {profile.LayerCount} layers of {profile.HeadCount} heads and width {profile.EmbeddingSize}, which no model has."
            );
        }

        if (profile.Predictors.Count == 0)
        {
            return "it has no importance predictor.";
        }

        HashSet<int> layers = [];
        foreach (ImportancePredictor predictor in profile.Predictors)
        {
            int layer = predictor.Layer;
            if (layer < 1 || layer >= profile.LayerCount)
            {
                return Invariant(
                    $"it has a predictor for a boundary at layer {layer}; boundaries from 1 to {profile.LayerCount - 1} are possible."
                );
            }

            if (!layers.Add(layer))
            {
                return Invariant($"it has two predictors for the boundary at layer {layer}.");
            }

            int attention = predictor.AttentionWeights.Length;
            int expected = layer * AttentionFeatures.CountPerLayer(profile.HeadCount);
            if (attention != 0 && attention != expected)
            {
                return Invariant(
                    $"its predictor at layer {layer} has {attention} attention weights; {profile.HeadCount} heads and {layer} layers need {expected}."
                );
            }

            int matches = predictor.MatchWeights.Length;
            if (matches != 0 && matches != MatchFeatures.Count)
            {
                return Invariant(
                    $"its predictor at layer {layer} has {matches} weights of tokens that occur again; there are {MatchFeatures.Count} such features."
                );
            }

            int residual = predictor.ResidualWeights.Length;
            if (residual != 0 && residual != profile.EmbeddingSize)
            {
                return Invariant(
                    $"its predictor at layer {layer} has {residual} residual weights; the residual stream is {profile.EmbeddingSize} wide."
                );
            }

            if (predictor.Network is { } network && network.EmbeddingSize != profile.EmbeddingSize)
            {
                return Invariant(
                    $"its predictor at layer {layer} has a network for a residual stream of {network.EmbeddingSize} numbers; the model's is {profile.EmbeddingSize} wide."
                );
            }

            if (attention + matches + residual == 0 && predictor.Network is null)
            {
                return Invariant($"its predictor at layer {layer} has no weights.");
            }

            if (
                !AllFinite(predictor.AttentionWeights.Span)
                || !AllFinite(predictor.MatchWeights.Span)
                || !AllFinite(predictor.ResidualWeights.Span)
            )
            {
                return Invariant($"its predictor at layer {layer} has a weight that is not a finite number.");
            }

            if (predictor.Threshold is { } threshold && !float.IsFinite(threshold))
            {
                return Invariant($"its predictor at layer {layer} has the threshold {threshold}.");
            }
        }

        foreach (PrefillSchedule schedule in profile.Schedules)
        {
            Span<PlanBoundary> boundaries = new PlanBoundary[schedule.Depths.Count];
            if (
                schedule.BoundariesAt(schedule.Length, profile.LayerCount, boundaries) > 0
                && boundaries[0].Layer < layers.Min()
            )
            {
                return Invariant(
                    $"it has plans with a boundary at layer {boundaries[0].Layer}; its lowest predictor is for layer {layers.Min()}."
                );
            }
        }

        foreach (ProfileQuality quality in profile.Quality)
        {
            if (FindProblem(() => PrefillPlan.FromBoundaries(quality.Boundaries), profile.LayerCount) is { } problem)
            {
                return $"its quality table has a plan that cannot be. {problem}";
            }

            if (
                !double.IsFinite(quality.KlDivergence)
                || !(quality.Agreement >= 0 && quality.Agreement <= 1)
                || !(quality.KeptShare >= 0 && quality.KeptShare <= 1)
                || quality.Answered < 0
                || quality.AnsweredByFullPrefill < 0
            )
            {
                return $"its quality table has a line that cannot be: {quality}.";
            }
        }

        return FindRouterProblem(profile) ?? FindSkipProblem(profile) ?? FindAdapterProblem(profile);
    }

    private static string? FindRouterProblem(ModelProfile profile)
    {
        HashSet<SkipRouting> routings = [];
        foreach (SkipRouter router in profile.Routers)
        {
            SkipRouting routing = router.Routing;
            if (FindProblem(() => PrefillPlan.FromBoundaries([], routing: routing), profile.LayerCount) is { } problem)
            {
                return $"it has routers that cannot be. {problem}";
            }

            string which = $"its routers for {routing}";
            if (!routings.Add(routing))
            {
                return $"{which} are there twice.";
            }

            if (router.Layers.Count < routing.Count)
            {
                return Invariant($"{which} have only {router.Layers.Count} layers to choose from.");
            }

            for (int i = 0; i < router.Layers.Count; i++)
            {
                int layer = router.Layers[i];
                if (
                    layer < routing.Layer
                    || !new LayerSkip(layer, routing.Part).IsPossible(profile.LayerCount)
                    || (i > 0 && layer <= router.Layers[i - 1])
                )
                {
                    return Invariant(
                        $"{which} have the candidates {string.Join(", ", router.Layers)}: not ascending layers that can be skipped in a model of {profile.LayerCount}."
                    );
                }
            }

            if (
                (!router.Weights.IsEmpty && router.Weights.Length != (long)router.Layers.Count * profile.EmbeddingSize)
                || router.Biases.Length != router.Layers.Count
            )
            {
                return Invariant(
                    $"{which} have {router.Weights.Length} weights and {router.Biases.Length} biases; {router.Layers.Count} layers and a width of {profile.EmbeddingSize} need {(long)router.Layers.Count * profile.EmbeddingSize} and {router.Layers.Count}."
                );
            }

            if (!AllFinite(router.Weights.Span) || !AllFinite(router.Biases.Span))
            {
                return $"{which} have a weight that is not a finite number.";
            }
        }

        return null;
    }

    private static string? FindSkipProblem(ModelProfile profile)
    {
        foreach (ProfileSkipQuality quality in profile.SkipQuality)
        {
            if (
                FindProblem(
                    () => PrefillPlan.FromBoundaries([], skips: quality.Skips, routing: quality.Routing),
                    profile.LayerCount
                ) is
                { } problem
            )
            {
                return $"its table of skips has a line that cannot be. {problem}";
            }

            if (
                !(quality.KlDivergence >= 0 && double.IsFinite(quality.KlDivergence))
                || !(quality.Agreement >= 0 && quality.Agreement <= 1)
                || (quality.Routing is null && quality.Skips.Count == 0)
            )
            {
                return $"its table of skips has a line that cannot be: {quality}.";
            }

            if (
                quality.Routing is { } routing
                && !profile.Routers.Any(router =>
                    router.Routing.Layer == routing.Layer
                    && router.Routing.Part == routing.Part
                    && router.Layers.Count >= routing.Count
                )
            )
            {
                return $"its table of skips has {routing}, and it has no routers for that.";
            }
        }

        return null;
    }

    private static string? FindAdapterProblem(ModelProfile profile)
    {
        foreach (ProfileAdapter adapter in profile.SkipAdapters)
        {
            if (
                adapter.FileName.Length == 0
                || adapter.Fingerprint.Length != 2 * SHA256.HashSizeInBytes
                || !adapter.Fingerprint.All(char.IsAsciiHexDigitLower)
                || !float.IsFinite(adapter.Scale)
                || adapter.Scale == 0
            )
            {
                return $"its skips were learned with an adapter that cannot be: {adapter}.";
            }
        }

        return profile.SkipAdapters.Count > 0 && profile.Routers.Count == 0 && profile.SkipQuality.Count == 0
            ? "it names adapters of skips, and it has no skips."
            : null;
    }

    private static string? FindProblem(Func<PrefillPlan> make, int layerCount)
    {
        try
        {
            make().EnsureFits(layerCount);
            return null;
        }
        catch (ArgumentException e)
        {
            return e.Message;
        }
    }

    private static bool AllFinite(ReadOnlySpan<float> values)
    {
        foreach (float value in values)
        {
            if (!float.IsFinite(value))
            {
                return false;
            }
        }

        return true;
    }
}

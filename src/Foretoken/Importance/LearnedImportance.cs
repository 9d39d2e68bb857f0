using System.Buffers;
using System.Numerics.Tensors;

namespace Foretoken.Importance;

/// <summary>
/// Learned importance: per boundary a linear predictor of the attention that the model's own answer will pay above it, read
/// from the attention of the layers below, head by head (<see cref="AttentionFeatures"/>), and, where it was learned so, from
/// what the tokens repeat of the prompt's ends (<see cref="MatchFeatures"/>) and from the residual stream, which a network may
/// read as well (<see cref="ResidualNetwork"/>).
/// </summary>
/// <remarks>
/// <para>
/// The predictors come from a model's profile, which <c>foretoken tune</c> learns: the target is distilled from the model's own
/// answers, fitted by ridge regression. Transkimmer (arXiv 2205.07324) learns what to skim with a network on the hidden
/// state; the eliminated tokens of LAT (arXiv 2201.03327) follow attention averages.
/// </para>
/// <para>
/// A prediction is the logarithm of a token's share of the answer's attention; tokens are selected by what
/// <see cref="TokenRanking"/> makes of it.
/// </para>
/// <para>
/// A boundary without a predictor of its own uses the nearest one below that reads the attention. Layers below an earlier boundary were
/// measured when more tokens were there: their share of a later boundary's importance is computed then, and remembered.
/// </para>
/// </remarks>
internal sealed class LearnedImportance : IImportancePolicy
{
    /// <summary>The name under which a model's learned importance is found.</summary>
    public const string PolicyName = "learned";

    private readonly ImportancePredictor[] _predictors;

    /// <summary>Creates the policy from what was learned.</summary>
    /// <param name="predictors">Predictors, at least one, each for another boundary.</param>
    /// <param name="name">Name in reports; <see langword="null"/> for <see cref="PolicyName"/>.</param>
    /// <exception cref="ArgumentException">There is no predictor, or two are for the same boundary.</exception>
    public LearnedImportance(IEnumerable<ImportancePredictor> predictors, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(predictors);
        _predictors = [.. predictors.OrderBy(predictor => predictor.Layer)];
        if (_predictors.Length == 0)
        {
            throw new ArgumentException("Learned importance needs at least one predictor.", nameof(predictors));
        }

        for (int i = 1; i < _predictors.Length; i++)
        {
            if (_predictors[i].Layer == _predictors[i - 1].Layer)
            {
                throw new ArgumentException(
                    $"There are two predictors for the boundary at layer {_predictors[i].Layer}.",
                    nameof(predictors)
                );
            }
        }

        Name = name ?? PolicyName;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>The predictors, in the order of their boundaries.</summary>
    public IReadOnlyList<ImportancePredictor> Predictors => _predictors;

    /// <inheritdoc/>
    public bool IsLogShare => true;

    /// <inheritdoc/>
    public IReadOnlyList<AttentionProbe> GetProbes(int layerBegin, int layerEnd)
    {
        // what no predictor reads need not be measured
        int read = 0;
        foreach (ImportancePredictor predictor in _predictors)
        {
            read = predictor.AttentionWeights.IsEmpty ? read : predictor.Layer;
        }

        return AttentionFeatures.GetProbes(layerBegin, Math.Min(layerEnd, read));
    }

    /// <inheritdoc/>
    public float? GetThreshold(int layer) => At(layer).Threshold;

    /// <inheritdoc/>
    public void ComputeImportance(in BoundaryProbes probes, Span<float> importance)
    {
        AttentionScores.EnsureLength(probes, importance);
        int n = importance.Length;
        ImportancePredictor here = At(probes.Layer);
        ImportancePredictor[] later = new ImportancePredictor[probes.LaterBoundaries.Length];
        for (int i = 0; i < later.Length; i++)
        {
            later[i] = At(probes.LaterBoundaries[i]);
        }

        float[] rows = ArrayPool<float>.Shared.Rent(AttentionFeatures.PoolCount * n);
        float[] laterScores = ArrayPool<float>.Shared.Rent(Math.Max(1, later.Length * n));
        try
        {
            float[] matches = Matches(probes, here, later);
            Begin(here, probes, probes.Layer, matches, importance);
            for (int i = 0; i < later.Length; i++)
            {
                Begin(later[i], probes, probes.LaterBoundaries[i], matches, laterScores.AsSpan(i * n, n));
            }

            Span<float> features = rows.AsSpan(0, AttentionFeatures.PoolCount * n);
            for (int probe = 0; probe < probes.Count; probe++)
            {
                int layer = probes[probe].Layer;
                int heads = probes.HeadCount(probe);
                for (int head = 0; head < heads; head++)
                {
                    AttentionFeatures.Compute(probes.Scores(probe, head), features);
                    for (int pool = 0; pool < AttentionFeatures.PoolCount; pool++)
                    {
                        ReadOnlySpan<float> feature = features.Slice(pool * n, n);
                        // the sources of a layer follow each other
                        int at =
                            (
                                (
                                    (
                                        (
                                            (layer * AttentionFeatures.SourceCount)
                                            + (probe % AttentionFeatures.SourceCount)
                                        ) * AttentionFeatures.PoolCount
                                    ) + pool
                                ) * heads
                            ) + head;
                        Add(here, layer, heads, at, feature, importance);
                        for (int i = 0; i < later.Length; i++)
                        {
                            Add(later[i], layer, heads, at, feature, laterScores.AsSpan(i * n, n));
                        }
                    }
                }
            }

            for (int i = 0; i < later.Length; i++)
            {
                probes.Memory?.Set(probes.LaterBoundaries[i], laterScores.AsSpan(i * n, n));
            }

            // the residual stream of another layer than it was learned on would mislead
            if (here.Layer == probes.Layer)
            {
                AddResidual(here, probes, importance);
            }

            // centred, as the thresholds are
            ReadOnlySpan<float> body = importance[AttentionScores.Body(n)];
            TensorPrimitives.Subtract(importance, TensorPrimitives.Sum(body) / Math.Max(1, body.Length), importance);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rows);
            ArrayPool<float>.Shared.Return(laterScores);
        }
    }

    /// <summary>What is known before a probe is read: what earlier boundaries summed up, at the first one what the tokens say.</summary>
    private static void Begin(
        ImportancePredictor predictor,
        in BoundaryProbes probes,
        int boundary,
        ReadOnlySpan<float> matches,
        Span<float> score
    )
    {
        ReadOnlySpan<float> earlier = Earlier(probes, boundary);
        if (!earlier.IsEmpty)
        {
            earlier.CopyTo(score);
            return;
        }

        score.Clear();
        ReadOnlySpan<float> weights = predictor.MatchWeights.Span;
        for (int i = 0; i < weights.Length; i++)
        {
            TensorPrimitives.MultiplyAdd(matches.Slice(i * score.Length, score.Length), weights[i], score, score);
        }
    }

    /// <summary>The features of the tokens, at the first boundary and where a predictor reads them; otherwise empty.</summary>
    private static float[] Matches(in BoundaryProbes probes, ImportancePredictor here, ImportancePredictor[] later)
    {
        if (
            !Earlier(probes, probes.Layer).IsEmpty
            || (here.MatchWeights.IsEmpty && Array.TrueForAll(later, predictor => predictor.MatchWeights.IsEmpty))
        )
        {
            return [];
        }

        return probes.Tokens.Length == probes.TokenCount
            ? MatchFeatures.Compute(probes.Tokens)
            : throw new InvalidOperationException(
                $"The predictor of layer {here.Layer} reads the tokens; there are {probes.TokenCount}, and {probes.Tokens.Length} are known."
            );
    }

    private static ReadOnlySpan<float> Earlier(in BoundaryProbes probes, int boundary) =>
        probes.Memory is { } memory ? memory.Get(boundary) : default;

    private static void Add(
        ImportancePredictor predictor,
        int layer,
        int heads,
        int at,
        ReadOnlySpan<float> feature,
        Span<float> score
    )
    {
        if (layer >= predictor.Layer || predictor.AttentionWeights.IsEmpty)
        {
            return;
        }

        int expected = predictor.Layer * AttentionFeatures.CountPerLayer(heads);
        if (predictor.AttentionWeights.Length != expected)
        {
            throw new InvalidOperationException(
                $"The predictor of layer {predictor.Layer} has {predictor.AttentionWeights.Length} weights; this model's {heads} heads need {expected}. The profile belongs to another model."
            );
        }

        TensorPrimitives.MultiplyAdd(feature, predictor.AttentionWeights.Span[at], score, score);
    }

    private static void AddResidual(ImportancePredictor predictor, in BoundaryProbes probes, Span<float> score)
    {
        ReadOnlySpan<float> weights = predictor.ResidualWeights.Span;
        ResidualNetwork? network = predictor.Network;
        int width = network?.EmbeddingSize ?? weights.Length;
        if (width == 0)
        {
            return;
        }

        if (probes.Residual.Length != (long)width * score.Length)
        {
            throw new InvalidOperationException(
                $"The predictor of layer {predictor.Layer} reads a residual stream of {width} numbers per token; this model's has {probes.Residual.Length / Math.Max(1, score.Length)}. The profile belongs to another model."
            );
        }

        float[] rented = ArrayPool<float>.Shared.Rent(Math.Max(width, score.Length));
        try
        {
            if (network is not null)
            {
                Span<float> more = rented.AsSpan(0, score.Length);
                network.Evaluate(probes.Residual, more);
                TensorPrimitives.Add(score, more, score);
            }

            if (weights.IsEmpty)
            {
                return;
            }

            Span<float> features = rented.AsSpan(0, width);
            for (int token = 0; token < score.Length; token++)
            {
                ResidualFeatures.Compute(probes.Residual.Slice(token * width, width), features);
                score[token] += TensorPrimitives.Dot(features, weights);
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    private ImportancePredictor At(int layer)
    {
        ImportancePredictor? found = null;
        foreach (ImportancePredictor predictor in _predictors)
        {
            // what reads nothing but another layer's residual stream says nothing here
            if (
                predictor.Layer <= layer
                && (found is null || predictor.Layer == layer || !predictor.AttentionWeights.IsEmpty)
            )
            {
                found = predictor;
            }
        }

        return found
            ?? throw new InvalidOperationException(
                $"Nothing was learned for a boundary at layer {layer}; the lowest boundary of this profile is at layer {_predictors[0].Layer}."
            );
    }
}

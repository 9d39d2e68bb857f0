using System.Globalization;
using System.Text;

namespace Foretoken.Planning;

/// <summary>Which share of a prompt's tokens runs through which layers. Immutable and thread-safe.</summary>
public sealed class PrefillPlan : IEquatable<PrefillPlan>
{
    private readonly PlanBoundary[] _boundaries;
    private readonly int[] _skippedLayers;

    private PrefillPlan(PlanBoundary[] boundaries, int[] skippedLayers, string? importance)
    {
        _boundaries = boundaries;
        _skippedLayers = skippedLayers;
        Importance = importance;
    }

    /// <summary>The plan of a plain prefill: every token through every layer.</summary>
    public static PrefillPlan KeepAll { get; } = new([], [], null);

    /// <summary>The boundaries: layers strictly ascending, retentions never ascending.</summary>
    public IReadOnlyList<PlanBoundary> Boundaries => _boundaries;

    /// <summary>Layers that the whole sequence does without, ascending. Empty for every plan that the planner makes today.</summary>
    public IReadOnlyList<int> SkippedLayers => _skippedLayers;

    /// <summary>Name of the importance that ranks the tokens; <see langword="null"/> for the default one.</summary>
    public string? Importance { get; }

    /// <summary>Whether every token runs through every layer.</summary>
    public bool IsKeepAll => _skippedLayers.Length == 0 && Array.TrueForAll(_boundaries, b => b.MinRetention >= 1);

    /// <summary>Number of stages: one more than there are boundaries.</summary>
    public int StageCount => _boundaries.Length + 1;

    /// <summary>Makes a plan of given boundaries.</summary>
    /// <param name="boundaries">
    /// Layers strictly ascending, at least 1; retentions in (0, 1], never ascending; the same for the least retentions, which are
    /// at most the retentions.
    /// </param>
    /// <param name="importance">Name of the importance that ranks the tokens; <see langword="null"/> for the default one.</param>
    /// <param name="skippedLayers">Layers that the whole sequence does without; <see langword="null"/> for none.</param>
    /// <exception cref="ArgumentException">The boundaries contradict each other or the skipped layers.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A layer or a retention is out of range.</exception>
    public static PrefillPlan FromBoundaries(
        IEnumerable<PlanBoundary> boundaries,
        string? importance = null,
        IEnumerable<int>? skippedLayers = null
    )
    {
        ArgumentNullException.ThrowIfNull(boundaries);
        PlanBoundary[] all = [.. boundaries];
        for (int i = 0; i < all.Length; i++)
        {
            (int layer, double retention) = all[i];
            if (layer < 1)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(boundaries),
                    layer,
                    "Tokens can leave in front of layer 1 at the earliest: the first layer needs them all."
                );
            }

            if (!(retention > 0 && retention <= 1))
            {
                throw new ArgumentOutOfRangeException(
                    nameof(boundaries),
                    retention,
                    $"The retention at layer {layer} is a share of the tokens: above 0, at most 1."
                );
            }

            double least = all[i].MinRetention;
            if (!(least > 0 && least <= retention))
            {
                throw new ArgumentOutOfRangeException(
                    nameof(boundaries),
                    least,
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"The least retention at layer {layer} is a share of the tokens: above 0, at most the retention of {retention}."
                    )
                );
            }

            if (i > 0 && layer <= all[i - 1].Layer)
            {
                throw new ArgumentException(
                    $"Boundaries are given in ascending order of layers; {layer} follows {all[i - 1].Layer}.",
                    nameof(boundaries)
                );
            }

            if (i > 0 && (retention > all[i - 1].Retention || least > all[i - 1].MinRetention))
            {
                throw new ArgumentException(
                    $"Tokens that left do not come back: the retention at layer {layer} is above that at layer {all[i - 1].Layer}.",
                    nameof(boundaries)
                );
            }
        }

        int[] skipped = skippedLayers is null ? [] : [.. skippedLayers.Order()];
        for (int i = 0; i < skipped.Length; i++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(skipped[i], nameof(skippedLayers));
            if (i > 0 && skipped[i] == skipped[i - 1])
            {
                throw new ArgumentException($"Layer {skipped[i]} is skipped twice.", nameof(skippedLayers));
            }
        }

        return new PrefillPlan(all, skipped, importance);
    }

    /// <summary>How many of a prefill's tokens a retention keeps: the rounded share, but no token that is always kept goes.</summary>
    /// <param name="retention">Share, 0 to 1. Halves are rounded to even.</param>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="alwaysKept">Tokens that are always kept, those kept by their place included.</param>
    public static int CountKept(double retention, int newTokens, int alwaysKept) =>
        Math.Clamp((int)Math.Round(retention * newTokens), Math.Min(alwaysKept, newTokens), newTokens);

    /// <summary>How many tokens run through each stage, at most where a boundary has a least retention.</summary>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="alwaysKept">Tokens that are always kept; those kept by their place are counted at least.</param>
    /// <returns>One number per stage, never ascending; the first is <paramref name="newTokens"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative.</exception>
    public int[] TokensPerStage(int newTokens, int alwaysKept = 0) =>
        PerStage(newTokens, alwaysKept, boundary => boundary.Retention);

    /// <summary>How many tokens run through each stage at least; fewer than <see cref="TokensPerStage"/> only where a threshold may decide.</summary>
    /// <inheritdoc cref="TokensPerStage"/>
    public int[] LeastTokensPerStage(int newTokens, int alwaysKept = 0) =>
        PerStage(newTokens, alwaysKept, boundary => boundary.MinRetention);

    /// <summary>Checks that a model has the layers that the plan names.</summary>
    /// <param name="layerCount">Layers of the model.</param>
    /// <exception cref="ArgumentException">A boundary or a skipped layer is beyond the model's last layer.</exception>
    public void EnsureFits(int layerCount)
    {
        if (_boundaries.Length > 0 && _boundaries[^1].Layer >= layerCount)
        {
            throw new ArgumentException(
                $"The plan has a boundary in front of layer {_boundaries[^1].Layer}; this model has {layerCount} layers, "
                    + $"so boundaries from 1 to {layerCount - 1} are possible."
            );
        }

        if (_skippedLayers.Length > 0 && _skippedLayers[^1] >= layerCount)
        {
            throw new ArgumentException(
                $"The plan skips layer {_skippedLayers[^1]}; this model has the layers 0 to {layerCount - 1}."
            );
        }
    }

    /// <inheritdoc/>
    public bool Equals(PrefillPlan? other) =>
        other is not null
        && Importance == other.Importance
        && _boundaries.AsSpan().SequenceEqual(other._boundaries)
        && _skippedLayers.AsSpan().SequenceEqual(other._skippedLayers);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PrefillPlan);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(Importance);
        foreach (PlanBoundary boundary in _boundaries)
        {
            hash.Add(boundary);
        }

        foreach (int layer in _skippedLayers)
        {
            hash.Add(layer);
        }

        return hash.ToHashCode();
    }

    /// <summary>For people, for example <c>layer 5: 40.0 %, layer 10: 10.0 to 20.0 %</c>.</summary>
    public override string ToString()
    {
        if (IsKeepAll)
        {
            return "keep all";
        }

        StringBuilder text = new();
        foreach (PlanBoundary boundary in _boundaries)
        {
            text.Append(text.Length > 0 ? ", " : "").Append(CultureInfo.InvariantCulture, $"layer {boundary.Layer}: ");
            if (!boundary.IsFixedShare)
            {
                text.Append(CultureInfo.InvariantCulture, $"{100 * boundary.MinRetention:F1} to ");
            }

            text.Append(CultureInfo.InvariantCulture, $"{100 * boundary.Retention:F1} %");
        }

        if (_skippedLayers.Length > 0)
        {
            text.Append(text.Length > 0 ? ", " : "").Append("without layers ").AppendJoin(", ", _skippedLayers);
        }

        return text.ToString();
    }

    internal ReadOnlySpan<PlanBoundary> BoundarySpan => _boundaries;

    internal ReadOnlySpan<int> SkippedSpan => _skippedLayers;

    private int[] PerStage(int newTokens, int alwaysKept, Func<PlanBoundary, double> retention)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(newTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(alwaysKept);
        alwaysKept = Math.Max(alwaysKept, AlwaysKept.CountByPlace(newTokens));
        int[] tokens = new int[StageCount];
        tokens[0] = newTokens;
        for (int i = 0; i < _boundaries.Length; i++)
        {
            tokens[i + 1] = CountKept(retention(_boundaries[i]), newTokens, alwaysKept);
        }

        return tokens;
    }
}

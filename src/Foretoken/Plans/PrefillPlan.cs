using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Foretoken.Plans;

/// <summary>Which share of a prompt's tokens runs through which layers. Immutable and thread-safe.</summary>
public sealed class PrefillPlan : IEquatable<PrefillPlan>
{
    private readonly PlanBoundary[] _boundaries;
    private readonly LayerSkip[] _skips;

    private PrefillPlan(
        PlanBoundary[] boundaries,
        string? importance,
        LayerSkip[] skips,
        SkipRouting? routing,
        int? prefillOnlyFrom
    )
    {
        _boundaries = boundaries;
        _skips = skips;
        Importance = importance;
        Routing = routing;
        PrefillOnlyFrom = prefillOnlyFrom;
    }

    /// <summary>The plan of a plain prefill: every token through every layer.</summary>
    public static PrefillPlan KeepAll { get; } = new([], null, [], null, null);

    /// <summary>The boundaries: layers strictly ascending, retentions never ascending.</summary>
    public IReadOnlyList<PlanBoundary> Boundaries => _boundaries;

    /// <summary>What the whole sequence does without, in prefill and in decode; ordered, without duplicates.</summary>
    public IReadOnlyList<LayerSkip> Skips => _skips;

    /// <summary>How the prompt chooses what its sequence does without; <see langword="null"/> where it does not.</summary>
    /// <remarks>Experimental: see docs/experimental/FTK0001.md.</remarks>
    [Experimental("FTK0001")]
    public SkipRouting? Routing { get; }

    /// <summary>
    /// The layer from which on pruning is prefill-only (POP); <see langword="null"/> for none. From it on only the last token of
    /// the prompt runs. The residual stream of every other token stays what it is in front of that layer, and each layer writes
    /// the keys and values that it projects from it: the KV cache is as large as ever, and decode runs all layers. So the
    /// prefill is shorter and an output token is not. No boundary lies above.
    /// </summary>
    /// <remarks>Experimental: see docs/experimental/FTK0002.md.</remarks>
    [Experimental("FTK0002")]
    public int? PrefillOnlyFrom { get; }

    /// <summary>Name of the importance that ranks the tokens; <see langword="null"/> for the default one.</summary>
    public string? Importance { get; }

    /// <summary>Whether every token runs through every layer.</summary>
    public bool IsKeepAll =>
        _skips.Length == 0
        && Routing is null
        && PrefillOnlyFrom is null
        && Array.TrueForAll(_boundaries, b => b.MinRetention >= 1);

    /// <summary>
    /// Number of stages between boundaries: one more than there are boundaries. <see cref="PrefillOnlyFrom"/> divides the last one,
    /// and that does not count.
    /// </summary>
    public int StageCount => _boundaries.Length + 1;

    /// <summary>Makes a plan of given boundaries.</summary>
    /// <param name="boundaries">
    /// Layers strictly ascending, at least 1; retentions in (0, 1], never ascending; the same for the least retentions, which are
    /// at most the retentions.
    /// </param>
    /// <param name="importance">Name of the importance that ranks the tokens; <see langword="null"/> for the default one.</param>
    /// <param name="skips">What the whole sequence does without; <see langword="null"/> for nothing.</param>
    /// <param name="routing">How the prompt chooses what it does without; only without <paramref name="skips"/>.</param>
    /// <param name="prefillOnlyFrom">
    /// The layer from which on pruning is prefill-only, at least 1; neither a boundary nor routers lie above.
    /// <see langword="null"/> for none.
    /// </param>
    /// <exception cref="ArgumentException">The boundaries contradict each other, or the skips do, or one of them prefill-only pruning.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A layer, a retention or a count is out of range.</exception>
    public static PrefillPlan FromBoundaries(
        IEnumerable<PlanBoundary> boundaries,
        string? importance = null,
        IEnumerable<LayerSkip>? skips = null,
        SkipRouting? routing = null,
        int? prefillOnlyFrom = null
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

        LayerSkip[] skipped = skips is null ? [] : [.. skips.Order()];
        EnsureConsistent(skipped);
        if (routing is not null)
        {
            if (skipped.Length > 0)
            {
                throw new ArgumentException(
                    $"A plan either names what is skipped ({LayerSkip.Describe(skipped)}) or leaves it to the prompt ({routing}).",
                    nameof(routing)
                );
            }

            if (!Enum.IsDefined(routing.Part))
            {
                throw new ArgumentOutOfRangeException(
                    nameof(routing),
                    routing.Part,
                    "There is no such part of a layer."
                );
            }

            ArgumentOutOfRangeException.ThrowIfLessThan(routing.Layer, 1, nameof(routing));
            ArgumentOutOfRangeException.ThrowIfLessThan(routing.Count, 1, nameof(routing));
        }

        if (prefillOnlyFrom is { } from)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(from, 1, nameof(prefillOnlyFrom));
            if (all.Length > 0 && all[^1].Layer > from)
            {
                throw new ArgumentException(
                    $"Prefill-only from layer {from} on, every token that is there writes its keys and values to all layers, so none can leave in front of layer {all[^1].Layer}. Use boundaries up to {from}.",
                    nameof(prefillOnlyFrom)
                );
            }

            if (routing?.Layer > from)
            {
                throw new ArgumentException(
                    $"Routers read the whole prompt in front of layer {routing.Layer}, and prefill-only from layer {from} on it does not get there. Use routers in front of layer {from} at the latest.",
                    nameof(prefillOnlyFrom)
                );
            }
        }

        return new PrefillPlan(all, importance, skipped, routing, prefillOnlyFrom);
    }

    /// <summary>The same boundaries with other skips, of which none is left to the prompt.</summary>
    /// <param name="skips">What the whole sequence does without.</param>
    /// <exception cref="ArgumentException">The skips contradict each other.</exception>
    public PrefillPlan WithSkips(IEnumerable<LayerSkip> skips)
    {
        ArgumentNullException.ThrowIfNull(skips);
        LayerSkip[] all = [.. skips.Order()];
        EnsureConsistent(all);
        return new PrefillPlan(_boundaries, Importance, all, null, PrefillOnlyFrom);
    }

    /// <summary>The same plan without <see cref="PrefillOnlyFrom"/>.</summary>
    internal PrefillPlan WithoutPrefillOnly() => new(_boundaries, Importance, _skips, Routing, null);

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
    /// <exception cref="ArgumentException">A layer is beyond the model's last one, or the model cannot do without what is skipped.</exception>
    public void EnsureFits(int layerCount)
    {
        if (PrefillOnlyFrom >= layerCount)
        {
            throw new ArgumentException(
                $"The plan is prefill-only from layer {PrefillOnlyFrom} on; this model has {layerCount} layers, so "
                    + $"layers from 1 to {layerCount - 1} are possible."
            );
        }

        if (_boundaries.Length > 0 && _boundaries[^1].Layer >= layerCount)
        {
            throw new ArgumentException(
                $"The plan has a boundary in front of layer {_boundaries[^1].Layer}; this model has {layerCount} layers, "
                    + $"so boundaries from 1 to {layerCount - 1} are possible."
            );
        }

        foreach (LayerSkip skip in _skips)
        {
            if (!skip.IsPossible(layerCount))
            {
                throw new ArgumentException(
                    $"The plan is without {skip}, which this model of {layerCount} layers needs. Blocks can be skipped from 1 to "
                        + $"{layerCount - 2}, sublayers from 1 to {layerCount - 1}."
                );
            }
        }

        if (Routing is { } routing)
        {
            int possible = Enumerable
                .Range(0, layerCount)
                .Count(layer => layer >= routing.Layer && new LayerSkip(layer, routing.Part).IsPossible(layerCount));
            if (routing.Count > possible)
            {
                throw new ArgumentException(
                    $"The plan is without {routing}; of this model's {layerCount} layers at most {possible} can be chosen from there on."
                );
            }
        }
    }

    /// <inheritdoc/>
    public bool Equals(PrefillPlan? other) =>
        other is not null
        && Importance == other.Importance
        && _boundaries.AsSpan().SequenceEqual(other._boundaries)
        && _skips.AsSpan().SequenceEqual(other._skips)
        && Routing == other.Routing
        && PrefillOnlyFrom == other.PrefillOnlyFrom;

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

        foreach (LayerSkip skip in _skips)
        {
            hash.Add(skip);
        }

        hash.Add(Routing);
        hash.Add(PrefillOnlyFrom);

        return hash.ToHashCode();
    }

    /// <summary>
    /// For people, for example <c>layer 5: 40.0 %, layer 10: 10.0 to 20.0 %, prefill-only from layer 20, without blocks 14, 25;
    /// attention of 17</c>.
    /// </summary>
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

        if (PrefillOnlyFrom is { } from)
        {
            text.Append(text.Length > 0 ? ", " : "")
                .Append(CultureInfo.InvariantCulture, $"prefill-only from layer {from}");
        }

        string without = _skips.Length > 0 ? LayerSkip.Describe(_skips) : $"{Routing}";
        if (without.Length > 0)
        {
            text.Append(text.Length > 0 ? ", " : "").Append("without ").Append(without);
        }

        return text.ToString();
    }

    internal ReadOnlySpan<PlanBoundary> BoundarySpan => _boundaries;

    internal ReadOnlySpan<LayerSkip> SkipSpan => _skips;

    /// <summary>
    /// What is counted as skipped before it is known what the prompt chooses: the uppermost layers, which run the fewest tokens,
    /// but not the last one, whose parts do other work.
    /// </summary>
    internal LayerSkip[] CountedSkips(int layerCount) =>
        Routing is not { } routing
            ? _skips
            :
            [
                .. Enumerable
                    .Range(routing.Layer, Math.Max(0, layerCount - routing.Layer))
                    .Select(layer => new LayerSkip(layer, routing.Part))
                    .Where(skip => skip.IsPossible(layerCount))
                    .OrderBy(skip => skip.Layer == layerCount - 1)
                    .ThenByDescending(skip => skip.Layer)
                    .Take(routing.Count)
                    .Order(),
            ];

    private static void EnsureConsistent(ReadOnlySpan<LayerSkip> skips)
    {
        for (int i = 0; i < skips.Length; i++)
        {
            (int layer, LayerPart part) = skips[i];
            ArgumentOutOfRangeException.ThrowIfNegative(layer, nameof(skips));
            if (!Enum.IsDefined(part))
            {
                throw new ArgumentOutOfRangeException(nameof(skips), part, "There is no such part of a layer.");
            }

            if (i > 0 && layer == skips[i - 1].Layer)
            {
                throw new ArgumentException(
                    part == skips[i - 1].Part
                        ? $"The plan is without {skips[i]} twice."
                        : $"The plan is without {skips[i - 1]} and {skips[i]}: without both sublayers it is the block, which is named alone.",
                    nameof(skips)
                );
            }
        }
    }

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

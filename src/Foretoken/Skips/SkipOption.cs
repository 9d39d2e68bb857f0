using Foretoken.Plans;

namespace Foretoken.Skips;

/// <summary>
/// What a sequence may do without, with the loss that was measured for it: one of the things that a planner weighs against
/// leaving tokens out. Immutable and thread-safe.
/// </summary>
internal sealed class SkipOption
{
    private readonly LayerSkip[] _skips;

    /// <summary>The same parts for every prompt.</summary>
    /// <param name="skips">What is left out; at least one, without duplicates.</param>
    /// <param name="loss">KL divergence from the full model, nats.</param>
    /// <exception cref="ArgumentException">Nothing is left out, or the skips contradict each other.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The loss is negative or not a number.</exception>
    public SkipOption(IReadOnlyList<LayerSkip> skips, double loss)
    {
        ArgumentNullException.ThrowIfNull(skips);
        _skips = [.. PrefillPlan.FromBoundaries([], skips: skips).Skips];
        if (_skips.Length == 0)
        {
            throw new ArgumentException("An option to skip leaves at least one part of a layer out.", nameof(skips));
        }

        Loss = EnsureValidLoss(loss);
        LowestLayer = _skips[0].Layer;
    }

    /// <summary>Parts that the prompt chooses.</summary>
    /// <param name="routing">How they are chosen.</param>
    /// <param name="candidates">The layers that may be chosen, at or above <see cref="SkipRouting.Layer"/>.</param>
    /// <param name="loss">KL divergence from the full model, nats.</param>
    /// <exception cref="ArgumentException">There are fewer candidates than are chosen, or some are below the routers.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The loss is negative or not a number, or the routing is impossible.</exception>
    public SkipOption(SkipRouting routing, IReadOnlyList<int> candidates, double loss)
    {
        ArgumentNullException.ThrowIfNull(routing);
        ArgumentNullException.ThrowIfNull(candidates);
        Routing = PrefillPlan.FromBoundaries([], routing: routing).Routing;
        int[] layers = [.. candidates.Distinct().Order()];
        if (layers.Length < routing.Count || layers[0] < routing.Layer)
        {
            throw new ArgumentException(
                $"Of the layers {string.Join(", ", layers)} nobody can choose {routing}.",
                nameof(candidates)
            );
        }

        _skips = [];
        Loss = EnsureValidLoss(loss);
        LowestLayer = layers[0];
    }

    /// <summary>What every prompt does without; empty when the prompt chooses.</summary>
    public IReadOnlyList<LayerSkip> Skips => _skips;

    /// <summary>How the prompt chooses; <see langword="null"/> when it does not.</summary>
    public SkipRouting? Routing { get; }

    /// <summary>Expected loss, KL divergence from the full model in nats, in prefill and decode together.</summary>
    public double Loss { get; }

    /// <summary>
    /// The lowest layer of which a part may be left out. Token boundaries above it are not combined with it: the importance there
    /// reads the attention of every layer below.
    /// </summary>
    internal int LowestLayer { get; }

    private static double EnsureValidLoss(double loss) =>
        loss >= 0 && double.IsFinite(loss)
            ? loss
            : throw new ArgumentOutOfRangeException(
                nameof(loss),
                loss,
                "A loss is a KL divergence in nats, not negative."
            );
}

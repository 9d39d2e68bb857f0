using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>Counts what a prefill costs, in floating-point operations. Immutable and thread-safe.</summary>
/// <remarks>
/// <para>
/// Token-layer model with the quadratic attention term, as LAT (arXiv 2201.03327) counts it for encoders, here for causal
/// attention with grouped queries. With d the width of the residual stream, q and k the widths of all queries and of all keys,
/// f the inner width of the gated feed-forward block and V the vocabulary:
/// </para>
/// <list type="bullet">
/// <item>projections of one token in one layer: 2 (d (q + 2k) + q d)</item>
/// <item>feed-forward of one token in one layer: 2 · 3 d f</item>
/// <item>attention of one query to one key in one layer: 4 q (scores and weighted sum)</item>
/// <item>keys that t new tokens see behind p past ones, causally: t p + t (t + 1) / 2</item>
/// <item>logits, once: 2 d V</item>
/// <item>every boundary, and where routers read or prefill-only pruning begins: <see cref="BoundaryOverhead"/></item>
/// <item>keys and values of one token in one layer that it does not run through (<see cref="PrefillPlan.PrefillOnlyFrom"/>):
/// 2 · 2 d k</item>
/// </list>
/// <para>
/// Above a boundary only the kept tokens are queries and keys. In the last layer only the token whose logits are asked for
/// runs the feed-forward block, as in llama.cpp. Norms, RoPE and the embedding are left out: they are linear in the tokens and
/// small. An operation is taken to cost the same everywhere unless <see cref="AttentionWeight"/> says otherwise, so this model
/// is a first estimate and knows nothing of the machine. <see cref="MeasuredPrefillCost"/> does.
/// </para>
/// </remarks>
internal sealed class CountedPrefillCost : PrefillCost
{
    private readonly double _projections;
    private readonly double _keysAndValues;
    private readonly double _feedForward;
    private readonly double _attention;
    private readonly double _logits;

    /// <summary>Creates the cost model of a model.</summary>
    /// <param name="shape">The model's sizes.</param>
    public CountedPrefillCost(ModelShape shape)
        : base(shape)
    {
        double d = shape.EmbeddingSize;
        double q = shape.QuerySize;
        double k = shape.KvSize;
        _projections = 2 * ((d * (q + (2 * k))) + (q * d));
        _keysAndValues = 2 * 2 * d * k;
        _feedForward = 2 * 3 * d * shape.FeedForwardSize;
        _attention = 4 * q;
        _logits = 2 * d * shape.VocabularySize;
    }

    /// <inheritdoc/>
    public override bool IsMeasured => false;

    /// <summary>
    /// How much an operation of the attention costs beside one of a matrix product. Default 1. Attention reaches less of a
    /// machine's peak, so a measured value is above 1; the default makes promises that are too low rather than too high.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a positive number.</exception>
    public double AttentionWeight
    {
        get;
        init =>
            field =
                value > 0 && double.IsFinite(value)
                    ? value
                    : throw new ArgumentOutOfRangeException(nameof(value), value, "A positive number is needed.");
    } = 1;

    /// <summary>
    /// What a boundary costs for probes, selection and one more graph, in floating-point operations. Default 2e8: about two
    /// milliseconds at 100 GFLOP/s.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or not a number.</exception>
    public double BoundaryOverhead
    {
        get;
        init =>
            field =
                value >= 0 && double.IsFinite(value)
                    ? value
                    : throw new ArgumentOutOfRangeException(
                        nameof(value),
                        value,
                        "A number that is not negative is needed."
                    );
    } = 2e8;

    /// <summary>Operations of one token in one layer, without attention.</summary>
    internal double OperationsPerToken => _projections + _feedForward;

    /// <summary>Share of <see cref="OperationsPerToken"/> that the last layer spends on the token of the logits alone.</summary>
    internal double FeedForwardShare => _feedForward / (_projections + _feedForward);

    /// <summary>Share of <see cref="OperationsPerToken"/> that goes into the projections of keys and values.</summary>
    internal double KeyValueShare => _keysAndValues / OperationsPerToken;

    /// <summary>Operations of one query and one key in one layer.</summary>
    internal double OperationsPerPair => _attention;

    /// <summary>Operations of the logits of one token.</summary>
    internal double OperationsOfLogits => _logits;

    internal override double CostOf(
        ReadOnlySpan<PlanBoundary> boundaries,
        ReadOnlySpan<LayerSkip> skips,
        int? routingLayer,
        int? prefillOnlyFrom,
        int newTokens,
        int pastTokens,
        int alwaysKept,
        ProbeLoad probes
    )
    {
        int last = Shape.LayerCount - 1;
        alwaysKept = Math.Max(alwaysKept, AlwaysKept.CountByPlace(newTokens));
        int interruptions = boundaries.Length;
        if (routingLayer is { } reading && !PrefillWork.HasBoundaryAt(boundaries, reading))
        {
            interruptions++;
        }

        interruptions += prefillOnlyFrom is null ? 0 : 1;
        double cost = _logits + (interruptions * BoundaryOverhead);
        int begin = 0;
        int tokens = newTokens;
        for (int stage = 0; stage <= boundaries.Length; stage++)
        {
            bool isLast = stage == boundaries.Length;
            int end = isLast ? Shape.LayerCount : boundaries[stage].Layer;
            if (isLast && prefillOnlyFrom is { } from)
            {
                cost += CostOfStage(begin, from, skips, tokens, pastTokens);
                int written = Math.Max(0, tokens - 1);
                cost += Sublayers.Of(from, end, skips).Attentions * _keysAndValues * written;
                begin = from;
                tokens -= written;
                pastTokens += written;
            }

            cost += CostOfStage(begin, end, skips, tokens, pastTokens);
            if (isLast && !skips.Contains(new LayerSkip(last)) && !skips.Contains(new(last, LayerPart.FeedForward)))
            {
                cost -= _feedForward * Math.Max(0, tokens - 1);
            }
            else if (!isLast)
            {
                tokens = PrefillPlan.CountKept(boundaries[stage].Retention, newTokens, alwaysKept);
            }

            begin = end;
        }

        return cost;
    }

    /// <summary>Operations of layers that all run the same tokens; in the last layer as in any other.</summary>
    internal double CostOfStage(int begin, int end, ReadOnlySpan<LayerSkip> skips, int newTokens, int pastTokens)
    {
        (int attentions, int feedForwards) = Sublayers.Of(begin, end, skips);
        return (attentions * AttentionCost(newTokens, pastTokens)) + (feedForwards * _feedForward * newTokens);
    }

    private double AttentionCost(double tokens, double pastTokens)
    {
        double pairs = (tokens * pastTokens) + (tokens * (tokens + 1) / 2);
        return (tokens * _projections) + (AttentionWeight * _attention * pairs);
    }
}

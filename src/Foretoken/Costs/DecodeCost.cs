using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>Counts what an output token costs behind a prefill, in bytes that are read. Immutable and thread-safe.</summary>
/// <remarks>
/// <para>
/// Decoding one token at a time is bound by memory: every weight that is used is read once, and every key and value that the
/// token sees. With d the width of the residual stream, q and k the widths of all queries and of all keys, f the inner width of
/// the gated feed-forward block and V the vocabulary, a layer's attention has d (q + 2k) + q d weights, its feed-forward block
/// 3 d f, the logits d V. A skipped sublayer reads none of its weights, and skipped attention no keys and values; above a
/// boundary only the kept tokens have any.
/// </para>
/// <para>All weights are taken to be of the same size, and nothing is known of the machine: this is an estimate.</para>
/// </remarks>
internal sealed class DecodeCost
{
    private readonly ModelShape _shape;
    private readonly double _attention;
    private readonly double _feedForward;
    private readonly double _logits;

    /// <summary>Creates the cost model of a model.</summary>
    /// <param name="shape">The model's sizes.</param>
    public DecodeCost(ModelShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        _shape = shape;
        double d = shape.EmbeddingSize;
        _attention = (2 * d * shape.QuerySize) + (2 * d * shape.KvSize);
        _feedForward = 3 * d * shape.FeedForwardSize;
        _logits = d * shape.VocabularySize;
    }

    /// <summary>Bytes of a weight, on average. Default 2: half precision.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a positive number.</exception>
    public double BytesPerWeight
    {
        get;
        init => field = Positive(value);
    } = 2;

    /// <summary>Bytes of a number in the KV cache. Default 2: half precision.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not a positive number.</exception>
    public double BytesPerKvNumber
    {
        get;
        init => field = Positive(value);
    } = 2;

    /// <summary>Bytes that the first output token behind a prefill reads.</summary>
    /// <param name="plan">The plan of the prefill.</param>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="pastTokens">Tokens in front of them; all of them are taken to be in every layer.</param>
    /// <param name="alwaysKept">New tokens that are always kept; those kept by their place are counted at least.</param>
    /// <exception cref="ArgumentException">The plan names layers that the model lacks.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number of tokens is negative.</exception>
    public double Cost(PrefillPlan plan, int newTokens, int pastTokens = 0, int alwaysKept = 0)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentOutOfRangeException.ThrowIfNegative(newTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(pastTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(alwaysKept);
        plan.EnsureFits(_shape.LayerCount);
        return CostOf(plan.BoundarySpan, plan.CountedSkips(_shape.LayerCount), newTokens, pastTokens, alwaysKept);
    }

    /// <summary>
    /// By what factor a plan shortens an output token: what it costs behind plain prefill over what it costs behind the plan.
    /// </summary>
    /// <inheritdoc cref="Cost" path="/param"/>
    /// <inheritdoc cref="Cost" path="/exception"/>
    public double Speedup(PrefillPlan plan, int newTokens, int pastTokens = 0, int alwaysKept = 0) =>
        Cost(PrefillPlan.KeepAll, newTokens, pastTokens, alwaysKept) / Cost(plan, newTokens, pastTokens, alwaysKept);

    internal double CostOf(
        ReadOnlySpan<PlanBoundary> boundaries,
        ReadOnlySpan<LayerSkip> skips,
        int newTokens,
        int pastTokens,
        int alwaysKept
    )
    {
        alwaysKept = Math.Max(alwaysKept, AlwaysKept.CountByPlace(newTokens));
        double weights = _logits;
        double keysAndValues = 0;
        int begin = 0;
        double tokens = newTokens;
        for (int stage = 0; stage <= boundaries.Length; stage++)
        {
            int end = stage == boundaries.Length ? _shape.LayerCount : boundaries[stage].Layer;
            (int attentions, int feedForwards) = Sublayers.Of(begin, end, skips);
            weights += (attentions * _attention) + (feedForwards * _feedForward);
            keysAndValues += attentions * 2.0 * _shape.KvSize * (pastTokens + tokens);
            if (stage < boundaries.Length)
            {
                tokens = PrefillPlan.CountKept(boundaries[stage].Retention, newTokens, alwaysKept);
            }

            begin = end;
        }

        return (BytesPerWeight * weights) + (BytesPerKvNumber * keysAndValues);
    }

    private static double Positive(double value) =>
        value > 0 && double.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A positive number of bytes is needed.");
}

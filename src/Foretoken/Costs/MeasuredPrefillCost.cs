using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>
/// What prefills of one model take on one machine, fitted to measured times. Costs are seconds. Immutable and thread-safe.
/// </summary>
/// <remarks>
/// <para>
/// The time of a stage is linear in the number of its chunks (ubatches; graphs), of layers per chunk (weights are read once), of
/// tokens times layers, of query-key pairs, and of probed pairs; a prefill adds its logits, the choice of tokens at each
/// boundary, and a fixed overhead. Layers on a device have prices of their own.
/// </para>
/// <para>
/// The prices come from a robust fit around the counted model (<see cref="CountedPrefillCost"/>), so that what was never measured is
/// counted, in proportion, and what was measured often enough no longer depends on counting. What a sublayer alone saves, and
/// what keys and values alone cost, is its share of the layer's prices by the operations counted.
/// </para>
/// </remarks>
internal sealed class MeasuredPrefillCost : PrefillCost
{
    private readonly PrefillLayout _layout;
    private readonly double[] _prices;
    private readonly double[,] _covariance;

    internal MeasuredPrefillCost(
        ModelShape shape,
        PrefillLayout layout,
        double[] prices,
        double[,] covariance,
        double chunkSpread,
        double runSpread,
        int runs,
        int chunks
    )
        : base(shape)
    {
        _layout = layout;
        _prices = prices;
        _covariance = covariance;
        ChunkSpread = chunkSpread;
        RunSpread = runSpread;
        Runs = runs;
        Chunks = chunks;
    }

    /// <inheritdoc/>
    public override bool IsMeasured => true;

    /// <summary>Prefills that it was fitted to.</summary>
    public int Runs { get; }

    /// <summary>Chunks of these prefills that it was fitted to.</summary>
    public int Chunks { get; }

    /// <summary>Spread of single chunks around their expected time, as a share of it: what varies within a prefill.</summary>
    public double ChunkSpread { get; }

    /// <summary>Spread of whole prefills around their expected time, as a share of it: how steady the machine is.</summary>
    public double RunSpread { get; }

    /// <summary>The prices in seconds, by <see cref="CostTerm"/>.</summary>
    internal ReadOnlySpan<double> Prices => _prices;

    /// <inheritdoc/>
    public override PrefillTimeEstimate? EstimateTime(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    )
    {
        EnsureValid(plan, newTokens, pastTokens, alwaysKept);
        Span<double> terms = stackalloc double[CostTerm.Count];
        Count(plan, newTokens, pastTokens, alwaysKept, probes, terms);
        double seconds = Dot(terms);
        double error = Math.Sqrt((Variance(terms) / (seconds * seconds)) + (RunSpread * RunSpread));
        return new PrefillTimeEstimate(TimeSpan.FromSeconds(seconds), error);
    }

    /// <inheritdoc/>
    public override double? SpeedupStandardError(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        int alwaysKept = 0,
        ProbeLoad probes = default
    )
    {
        EnsureValid(plan, newTokens, pastTokens, alwaysKept);
        Span<double> plain = stackalloc double[CostTerm.Count];
        Span<double> planned = stackalloc double[CostTerm.Count];
        Count(PrefillPlan.KeepAll, newTokens, pastTokens, alwaysKept, probes, plain);
        Count(plan, newTokens, pastTokens, alwaysKept, probes, planned);
        return ContrastError(plain, planned);
    }

    /// <summary>
    /// What plain prefill would have taken in a run that thinned: the expected time, in the proportion in which this run's first
    /// stage, which all tokens went through, was slower or faster than expected.
    /// </summary>
    /// <param name="firstStage">The chunks of the first stage.</param>
    /// <param name="newTokens">Tokens of the prefill.</param>
    /// <param name="pastTokens">Tokens in front of them.</param>
    internal PrefillTimeEstimate EstimatePlainTime(IReadOnlyList<ChunkSample> firstStage, int newTokens, int pastTokens)
    {
        Span<double> plain = stackalloc double[CostTerm.Count];
        Count(PrefillPlan.KeepAll, newTokens, pastTokens, 0, default, plain);
        Span<double> first = stackalloc double[CostTerm.Count];
        Span<double> chunk = stackalloc double[CostTerm.Count];
        double measured = 0;
        foreach (ChunkSample sample in firstStage)
        {
            measured += sample.Seconds;
            PrefillWork.CountChunk(_layout, sample, chunk);
            for (int j = 0; j < first.Length; j++)
            {
                first[j] += chunk[j];
            }
        }

        double seconds = Dot(plain) * measured / Dot(first);
        double error = ContrastError(plain, first);
        double noise = ChunkSpread * ChunkSpread / Math.Max(1, firstStage.Count);
        return new PrefillTimeEstimate(TimeSpan.FromSeconds(seconds), Math.Sqrt((error * error) + noise));
    }

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
        Span<double> terms = stackalloc double[CostTerm.Count];
        PrefillWork.CountPrefill(
            _layout,
            boundaries,
            skips,
            routingLayer,
            prefillOnlyFrom,
            newTokens,
            pastTokens,
            alwaysKept,
            probes,
            terms
        );
        return Dot(terms);
    }

    private void Count(
        PrefillPlan plan,
        int newTokens,
        int pastTokens,
        int alwaysKept,
        ProbeLoad probes,
        Span<double> terms
    ) =>
        PrefillWork.CountPrefill(
            _layout,
            plan.BoundarySpan,
            plan.CountedSkips(Shape.LayerCount),
            plan.Routing?.Layer,
            plan.PrefillOnlyFrom,
            newTokens,
            pastTokens,
            alwaysKept,
            probes,
            terms
        );

    private double Dot(ReadOnlySpan<double> terms)
    {
        double sum = 0;
        for (int j = 0; j < terms.Length; j++)
        {
            sum += terms[j] * _prices[j];
        }

        return sum;
    }

    private double Variance(ReadOnlySpan<double> terms)
    {
        double sum = 0;
        for (int j = 0; j < terms.Length; j++)
        {
            for (int l = 0; l < terms.Length; l++)
            {
                sum += terms[j] * terms[l] * _covariance[j, l];
            }
        }

        return Math.Max(0, sum);
    }

    /// <summary>Relative standard error of the ratio of two times: what they have in common cancels.</summary>
    private double ContrastError(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        Span<double> difference = stackalloc double[CostTerm.Count];
        double timeA = Dot(a);
        double timeB = Dot(b);
        for (int j = 0; j < difference.Length; j++)
        {
            difference[j] = (a[j] / timeA) - (b[j] / timeB);
        }

        return Math.Sqrt(Variance(difference));
    }
}

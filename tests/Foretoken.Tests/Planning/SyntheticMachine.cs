using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Tests.Planning;

/// <summary>A machine whose prices are known, and the times that it would show, noise included.</summary>
internal sealed class SyntheticMachine
{
    internal const int UBatchSize = 512;

    private readonly Random _random;

    internal SyntheticMachine(ModelShape shape, int seed, int firstDeviceLayer = int.MaxValue)
    {
        Shape = shape;
        _random = new Random(seed);
        Layout = PrefillLayout.Of(shape, firstDeviceLayer, UBatchSize);
        CountedPrefillCost counted = new(shape);
        double token = counted.OperationsPerToken / 60e9;
        double pair = counted.OperationsPerPair / 15e9;
        Prices = new double[CostTerm.Count];
        Prices[CostTerm.Chunk] = 0.4e-3;
        Prices[CostTerm.Logits] = 6e-3;
        Prices[CostTerm.ProbePair] = pair * 1.5;
        foreach ((int first, double factor) in ((int, double)[])[(CostTerm.Host, 1), (CostTerm.Device, 0.1)])
        {
            Prices[first + CostTerm.Layer] = factor * ((token * 6) + 0.1e-3);
            Prices[first + CostTerm.TokenLayer] = factor * token;
            Prices[first + CostTerm.PastPair] = factor * pair;
            Prices[first + CostTerm.OwnPair] = factor * pair * 0.6;
        }

        Prices[CostTerm.Boundary] = 0.3e-3;
        Prices[CostTerm.RankedTokenLayer] = 0.2e-6;
        Prices[CostTerm.Prefill] = 1e-3;
    }

    internal ModelShape Shape { get; }

    internal PrefillLayout Layout { get; }

    /// <summary>The true prices, which tests may change.</summary>
    internal double[] Prices { get; }

    internal static ProbeLoad Probes { get; } = new(8, 40, 1 / 16.0);

    /// <summary>The truth, as a cost.</summary>
    internal MeasuredPrefillCost Truth =>
        new(Shape, Layout, [.. Prices], new double[CostTerm.Count, CostTerm.Count], 0, 0, 1, 1);

    /// <summary>A prefill as this machine would run it.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="newTokens">Tokens.</param>
    /// <param name="pastTokens">Tokens in front of them.</param>
    /// <param name="noise">Standard deviation of the logarithm of a chunk's time.</param>
    /// <param name="runNoise">Standard deviation of the logarithm of the speed of the whole run.</param>
    /// <param name="outliers">Share of the chunks that take two to six times as long.</param>
    internal PrefillRun Run(
        PrefillPlan plan,
        int newTokens,
        int pastTokens = 0,
        double noise = 0,
        double runNoise = 0,
        double outliers = 0
    )
    {
        int[] tokens = plan.TokensPerStage(newTokens);
        double speed = Math.Exp(runNoise * Normal());
        List<ChunkSample> chunks = [];
        double ranked = 0;
        int layerBegin = 0;
        double[] terms = new double[CostTerm.Count];
        for (int s = 0; s < tokens.Length; s++)
        {
            bool isLast = s == tokens.Length - 1;
            int layerEnd = isLast ? Shape.LayerCount : plan.Boundaries[s].Layer;
            StageLayers layers = StageLayers.Of(Layout, layerBegin, layerEnd, []);
            for (int begin = 0; begin < tokens[s]; begin += UBatchSize)
            {
                int end = Math.Min(tokens[s], begin + UBatchSize);
                ChunkSample chunk = new(
                    layers,
                    end - begin,
                    pastTokens + begin,
                    isLast && end == tokens[s],
                    isLast ? 0 : PrefillWork.ProbePairs(layers, Probes, tokens[s], pastTokens, begin, end),
                    0
                );
                PrefillWork.CountChunk(Layout, chunk, terms);
                double seconds = 0;
                for (int j = 0; j < CostTerm.ChunkTerms; j++)
                {
                    seconds += terms[j] * Prices[j];
                }

                seconds *= speed * Math.Exp(noise * Normal());
                seconds *= _random.NextDouble() < outliers ? 2 + (4 * _random.NextDouble()) : 1;
                chunks.Add(chunk with { Seconds = seconds });
            }

            ranked += isLast ? 0 : (double)tokens[s] * layers.Probed(Probes);
            layerBegin = layerEnd;
        }

        return new PrefillRun
        {
            Chunks = chunks,
            Boundaries = tokens.Length - 1,
            RankedTokenLayers = ranked,
            SelectSeconds =
                speed
                * Math.Exp(noise * Normal())
                * (((tokens.Length - 1) * Prices[CostTerm.Boundary]) + (ranked * Prices[CostTerm.RankedTokenLayer])),
            OverheadSeconds = speed * Math.Exp(noise * Normal()) * Prices[CostTerm.Prefill],
        };
    }

    /// <summary>Rounds of prefills as a calibration has them.</summary>
    internal IEnumerable<PrefillRun> Calibrate(
        int rounds,
        double noise = 0,
        double runNoise = 0,
        double outliers = 0,
        int length = 1024
    )
    {
        int layers = Shape.LayerCount;
        for (int round = 0; round < rounds; round++)
        {
            foreach ((PrefillPlan plan, int tokens, int past) in Steps())
            {
                yield return Run(plan, tokens, past, noise, runNoise, outliers);
            }
        }

        IEnumerable<(PrefillPlan, int, int)> Steps() =>
            [
                (PrefillPlan.KeepAll, length, 0),
                (PrefillPlan.KeepAll, length / 4, 0),
                (PrefillPlan.KeepAll, length / 16, length / 2),
                (PrefillPlan.KeepAll, length / 2, length / 2),
                (PrefillPlan.FromBoundaries([new(layers / 4, 0.4)]), length, 0),
                (
                    PrefillPlan.FromBoundaries([new(layers / 8, 0.5), new(layers / 4, 0.25), new(layers / 2, 0.12)]),
                    length,
                    0
                ),
                (PrefillPlan.FromBoundaries([new(layers / 2, 0.4)]), length / 2, 0),
            ];
    }

    private double Normal() =>
        Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())) * Math.Cos(2 * Math.PI * _random.NextDouble());
}

using Foretoken.Inference;

namespace Foretoken.Cli.Bench;

/// <summary>Runs both sides in turn and makes rows of what they measured.</summary>
internal sealed class BenchRunner
{
    internal const string Order =
        "rounds of one pair per row; rows shuffled within a round, sides shuffled within a pair, both by the seed";

    private readonly IBenchEngine _foretoken;
    private readonly IBenchEngine _baseline;

    internal BenchRunner(IBenchEngine foretoken, IBenchEngine baseline)
    {
        _foretoken = foretoken;
        _baseline = baseline;
    }

    /// <summary>Runs before the measured ones, per row and side; their times are thrown away.</summary>
    internal const int Warmups = 1;

    /// <summary>How many runs of one side <see cref="Run"/> makes, for a progress bar.</summary>
    internal static int CountRuns(int cases, int pairs) => 2 * cases * (Warmups + pairs);

    /// <summary>Measures the cases.</summary>
    /// <param name="cases">The rows.</param>
    /// <param name="settings">Pairs, seed and tokens to decode.</param>
    /// <param name="modelName">Name for the rows.</param>
    /// <param name="vocabularySize">Prompts are drawn from it.</param>
    /// <param name="onRun">Called after each run of a side.</param>
    /// <param name="cancellationToken">Stops the benchmark.</param>
    internal IReadOnlyList<BenchRow> Run(
        IReadOnlyList<BenchCase> cases,
        BenchSettings settings,
        string modelName,
        int vocabularySize,
        Action onRun,
        CancellationToken cancellationToken
    )
    {
#pragma warning disable CA5394 // a repeatable order, not a secret
        Random order = new(settings.Seed);
        List<(BenchSample Sample, EngineRun Run)>[] measured =
        [
            .. cases.Select(_ => new List<(BenchSample, EngineRun)>()),
        ];
        int[] rows = [.. Enumerable.Range(0, cases.Count)];
        for (int round = -Warmups; round < settings.Pairs; round++)
        {
            order.Shuffle(rows);
            foreach (int row in rows)
            {
                // the same prompt for all rows of a length in a round; another one in every round
                int[] prompt = PromptTokens.Create(
                    cases[row].PromptTokens,
                    vocabularySize,
                    settings.Seed,
                    round + Warmups
                );
                bool baselineFirst = order.Next(2) == 0;
                EngineRun? ours = null;
                EngineRun? baseline = null;
                for (int side = 0; side < 2; side++)
                {
                    if (side == 0 == baselineFirst)
                    {
                        baseline = _baseline.Run(prompt, cases[row], settings.DecodeTokens, cancellationToken);
                    }
                    else
                    {
                        ours = _foretoken.Run(prompt, cases[row], settings.DecodeTokens, cancellationToken);
                    }
                    onRun();
                }
                if (round >= 0)
                {
                    measured[row].Add((Sample(round, baselineFirst, ours!, baseline!), ours!));
                }
            }
        }
#pragma warning restore CA5394
        return [.. cases.Select((what, i) => Row(what, measured[i], settings, modelName))];
    }

    /// <summary>What the rows that keep everything say about exactness.</summary>
    internal static BenchExactness Exactness(IReadOnlyList<BenchCase> cases, IReadOnlyList<BenchRow> rows)
    {
        BenchSample[] exact = [.. rows.Where((_, i) => cases[i].IsExact).SelectMany(row => row.Samples)];
        bool[] decoded = [.. exact.Where(s => s.SameDecodedTokens is not null).Select(s => s.SameDecodedTokens!.Value)];
        return new BenchExactness
        {
            Runs = exact.Length,
            SameFirstToken =
                exact.Length == 0 ? null : Array.TrueForAll(exact, s => s.FirstToken == s.BaselineFirstToken),
            SameLogits = exact.Length == 0 ? null : Array.TrueForAll(exact, s => s.SameLogits),
            SameDecodedTokens = decoded.Length == 0 ? null : Array.TrueForAll(decoded, same => same),
        };
    }

    private static BenchSample Sample(int pair, bool baselineFirst, EngineRun ours, EngineRun baseline) =>
        new()
        {
            Pair = pair,
            First = baselineFirst ? "baseline" : "foretoken",
            TtftMs = ours.TtftMs,
            BaselineTtftMs = baseline.TtftMs,
            CpuMs = ours.CpuMs,
            BaselineCpuMs = baseline.CpuMs,
            SelectMs = ours.Report?.SelectTime.TotalMilliseconds ?? 0,
            FirstToken = ours.FirstToken,
            BaselineFirstToken = baseline.FirstToken,
            SameLogits = ours.LogitsHash == baseline.LogitsHash,
            SameDecodedTokens =
                ours.DecodedTokens.Count == 0 ? null : ours.DecodedTokens.SequenceEqual(baseline.DecodedTokens),
            DecodeMs = ours.DecodeMs,
            BaselineDecodeMs = baseline.DecodeMs,
        };

    private static BenchRow Row(
        BenchCase what,
        List<(BenchSample Sample, EngineRun Run)> measured,
        BenchSettings settings,
        string modelName
    )
    {
        BenchSample[] samples = [.. measured.Select(m => m.Sample)];
        double[] ours = [.. samples.Select(s => s.TtftMs)];
        double[] baseline = [.. samples.Select(s => s.BaselineTtftMs)];
        double[] ratios = [.. samples.Select(s => s.BaselineTtftMs / s.TtftMs)];
        double speedup = Statistics.RatioOfMedians(baseline, ours);
        PrefillReport report =
            measured[^1].Run.Report ?? throw new InvalidOperationException("Our side gave no prefill report.");
        return new BenchRow
        {
            Model = modelName,
            PromptTokens = what.PromptTokens,
            Kind = what.Kind switch
            {
                BenchKind.KeepAll => "keep-all",
                BenchKind.Plan => "plan",
                _ => "target",
            },
            Target = what.Kind switch
            {
                BenchKind.Plan => null,
                BenchKind.KeepAll => 1,
                _ => what.Target,
            },
            Plan = (what.Plan ?? report.Plan) is { Boundaries.Count: > 0 } plan ? PlanText.Format(plan) : null,
            PromisedSpeedup = report.PromisedSpeedup,
            MeasuredSpeedup = speedup,
            MeasuredSpeedupMin = ratios.Min(),
            MeasuredSpeedupMax = ratios.Max(),
            MeasuredSpeedup95 = Statistics.BootstrapRatioOfMedians(baseline, ours, settings.Seed) is { } interval
                ? [interval.Low, interval.High]
                : null,
            TimeRatio = 1 / speedup,
            TtftMs = Statistics.Median(ours),
            BaselineTtftMs = Statistics.Median(baseline),
            Pairs = samples.Length,
            TokensPerStage = [.. report.Stages.Select(s => s.Tokens)],
            StageLayers = [.. report.Stages.Select(s => s.LayerBegin)],
            KvBytes = report.KvBytes,
            CpuMs = Statistics.Median([.. samples.Select(s => s.CpuMs)]),
            BaselineCpuMs = Statistics.Median([.. samples.Select(s => s.BaselineCpuMs)]),
            DecodeMsPerToken = MedianOrNull([.. samples.SelectMany(s => s.DecodeMs)]),
            BaselineDecodeMsPerToken = MedianOrNull([.. samples.SelectMany(s => s.BaselineDecodeMs)]),
            SameFirstToken = Array.TrueForAll(samples, s => s.FirstToken == s.BaselineFirstToken),
            SameLogits = Array.TrueForAll(samples, s => s.SameLogits),
            Samples = samples,
        };
    }

    private static double? MedianOrNull(double[] values) => values.Length == 0 ? null : Statistics.Median(values);
}

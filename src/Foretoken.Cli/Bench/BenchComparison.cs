using Foretoken.Cli.Console;
using Foretoken.Cli.Numbers;
using MathNet.Numerics.Statistics;
using Statistics = Foretoken.Cli.Numbers.Statistics;

namespace Foretoken.Cli.Bench;

/// <summary>Two benchmarks side by side: which rows moved beyond noise.</summary>
/// <remarks>
/// Speedups over unpatched llama.cpp of the same run are compared, not times: what the machine was busy with that day then
/// cancels out. The noise of a row's logarithm is its own or that of all rows of its file together, whichever is larger;
/// p-values hold for all rows together.
/// </remarks>
internal sealed record BenchComparison
{
    /// <summary>A row has moved when this p-value or a smaller one speaks for it.</summary>
    internal const double Significance = 0.05;

    public required DateTimeOffset Before { get; init; }
    public required DateTimeOffset After { get; init; }

    /// <summary>What differs between the two and was compared all the same, because it was asked for.</summary>
    public required IReadOnlyList<string> Differences { get; init; }

    public required IReadOnlyList<ComparedRow> Rows { get; init; }

    /// <summary>Rows that the second one lacks.</summary>
    public required IReadOnlyList<string> OnlyBefore { get; init; }

    /// <summary>Rows that the first one lacks.</summary>
    public required IReadOnlyList<string> OnlyAfter { get; init; }

    /// <summary>Rows that are slower beyond noise, and by more than a share.</summary>
    internal IEnumerable<ComparedRow> Regressions(double share) =>
        Rows.Where(row => row.Verdict == ComparedRow.Slower && -row.Change >= share);

    /// <exception cref="CliException">They were not measured alike and <paramref name="force"/> is not set, or have no row in common.</exception>
    internal static BenchComparison Of(BenchReport before, BenchReport after, bool force)
    {
        string[] differences = [.. FindDifferences(before, after)];
        if (differences.Length > 0 && !force)
        {
            throw new CliException(
                $"These two were not measured alike: {string.Join("; ", differences)}. Differences would say nothing about the program. Measure again on the same machine with the same settings, or compare all the same with --force."
            );
        }
        Dictionary<string, BenchRow> old = before.Rows.ToDictionary(Key);
        Dictionary<string, BenchRow> young = after.Rows.ToDictionary(Key);
        string[] common = [.. old.Keys.Where(young.ContainsKey)];
        if (common.Length == 0)
        {
            throw new CliException(
                $"These two have no row in common. The first has {Some([.. old.Keys])}; the second {Some([.. young.Keys])}."
            );
        }
        Noise oldNoise = new(before.Rows);
        Noise youngNoise = new(after.Rows);
        (double Difference, double HalfWidth, double P)?[] tests =
        [
            .. common.Select(key => Test(oldNoise.Of(old[key]), youngNoise.Of(young[key]))),
        ];
        double[] p = Statistics.Holm([.. tests.Select(test => test?.P ?? 1)]);
        return new BenchComparison
        {
            Before = before.CreatedAt,
            After = after.CreatedAt,
            Differences = differences,
            Rows = [.. common.Select((key, i) => ComparedRow.Of(old[key], young[key], tests[i], p[i]))],
            OnlyBefore = [.. old.Keys.Where(key => !young.ContainsKey(key))],
            OnlyAfter = [.. young.Keys.Where(key => !old.ContainsKey(key))],
        };
    }

    /// <summary>What a row is called; the same in both files.</summary>
    internal static string Key(BenchRow row) =>
        FormattableString.Invariant($"{row.Model}, {row.PromptTokens} tokens, {BenchTable.Run(row)}");

    private static (double, double, double)? Test(SampleMean? before, SampleMean? after) =>
        before is { } a && after is { } b ? Statistics.Difference(a, b) : null;

    private static IEnumerable<string> FindDifferences(BenchReport before, BenchReport after)
    {
        (string Name, object? Before, object? After)[] facts =
        [
            ("CPU", before.Machine.Cpu, after.Machine.Cpu),
            ("cores", before.Machine.Cores, after.Machine.Cores),
            ("architecture", before.Machine.Architecture, after.Machine.Architecture),
            ("native build", before.Build.Options, after.Build.Options),
            ("threads", before.Settings.Threads, after.Settings.Threads),
            ("batch", before.Settings.BatchSize, after.Settings.BatchSize),
            ("ubatch", before.Settings.UbatchSize, after.Settings.UbatchSize),
            ("KV cache", before.Settings.KvCacheType, after.Settings.KvCacheType),
            ("fused attention", before.Settings.FlashAttention, after.Settings.FlashAttention),
            ("GPU layers", before.Settings.GpuLayers, after.Settings.GpuLayers),
            ("RPC servers", before.Settings.RpcServers.Count, after.Settings.RpcServers.Count),
        ];
        foreach ((string name, object? a, object? b) in facts)
        {
            if (!Equals(a, b))
            {
                yield return FormattableString.Invariant($"{name} {a} and {b}");
            }
        }
        foreach (BenchModel model in before.Models)
        {
            BenchModel? other = after.Models.FirstOrDefault(candidate => candidate.Name == model.Name);
            if (
                other is not null
                && (other.Description, other.Parameters, other.SizeBytes)
                    != (model.Description, model.Parameters, model.SizeBytes)
            )
            {
                yield return FormattableString.Invariant(
                    $"{model.Name} is {model.Description} of {model.SizeBytes} bytes and {other.Description} of {other.SizeBytes} bytes"
                );
            }
        }
    }

    private static string Some(string[] keys) =>
        keys.Length == 0 ? "none"
        : keys.Length <= 3 ? string.Join("; ", keys)
        : FormattableString.Invariant($"{string.Join("; ", keys.Take(3))} and {keys.Length - 3} more");

    /// <summary>How the logarithms of a file's ratios scatter.</summary>
    private sealed class Noise(IReadOnlyList<BenchRow> rows)
    {
        private readonly (double Variance, int Freedom) _pooled = Statistics.Pooled(rows.Select(Logs));

        /// <summary>Null when the file has no row with two pairs: nothing is known about noise then.</summary>
        internal SampleMean? Of(BenchRow row)
        {
            double[] logs = Logs(row);
            double own = logs.Length > 1 ? logs.Variance() : 0;
            return _pooled.Freedom == 0
                ? null
                : new SampleMean(logs.Mean(), logs.Length, Math.Max(own, _pooled.Variance), _pooled.Freedom);
        }

        private static double[] Logs(BenchRow row) =>
            [.. row.Samples.Select(sample => Math.Log(sample.BaselineTtftMs / sample.TtftMs))];
    }
}

/// <summary>One row of both benchmarks.</summary>
internal sealed record ComparedRow
{
    internal const string Slower = "slower";
    internal const string Faster = "faster";
    internal const string Same = "same";
    internal const string Unknown = "unknown";

    public required string Model { get; init; }
    public required int PromptTokens { get; init; }
    public required string Run { get; init; }
    public required double SpeedupBefore { get; init; }
    public required double SpeedupAfter { get; init; }

    /// <summary>Change of the speedup, by the means of the pairs' logarithms: -0.1 when it is a tenth less than it was.</summary>
    public required double Change { get; init; }

    /// <summary>95 % interval of <see cref="Change"/>; null when there are too few pairs.</summary>
    public required IReadOnlyList<double>? Change95 { get; init; }

    /// <summary>How likely noise alone makes such a change somewhere among the rows.</summary>
    public required double P { get; init; }

    /// <summary><c>slower</c> or <c>faster</c> beyond noise, <c>same</c> within it, <c>unknown</c> with too few pairs.</summary>
    public required string Verdict { get; init; }

    public required double TtftMsBefore { get; init; }
    public required double TtftMsAfter { get; init; }

    internal static ComparedRow Of(
        BenchRow before,
        BenchRow after,
        (double Difference, double HalfWidth, double P)? test,
        double p
    ) =>
        new()
        {
            Model = before.Model,
            PromptTokens = before.PromptTokens,
            Run = BenchTable.Run(before),
            SpeedupBefore = before.MeasuredSpeedup,
            SpeedupAfter = after.MeasuredSpeedup,
            Change = test is { } known
                ? Math.Exp(known.Difference) - 1
                : (after.MeasuredSpeedup / before.MeasuredSpeedup) - 1,
            Change95 = test is { } interval
                ?
                [
                    Math.Exp(interval.Difference - interval.HalfWidth) - 1,
                    Math.Exp(interval.Difference + interval.HalfWidth) - 1,
                ]
                : null,
            P = p,
            Verdict =
                test is null ? Unknown
                : p >= BenchComparison.Significance ? Same
                : test.Value.Difference < 0 ? Slower
                : Faster,
            TtftMsBefore = before.TtftMs,
            TtftMsAfter = after.TtftMs,
        };
}

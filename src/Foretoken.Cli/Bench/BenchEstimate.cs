using Foretoken.Cli.Numbers;
using Foretoken.Costs;
using Foretoken.Plans;

namespace Foretoken.Cli.Bench;

/// <summary>
/// How long runs will take: from one short run of the baseline, scaled by the operations of longer prompts, and corrected by
/// what the runs so far took. For the progress display only; nothing that is measured comes from it. One thread at a time.
/// </summary>
internal sealed class BenchEstimate
{
    private readonly CountedPrefillCost _costs;
    private readonly double _secondsPerOperation;
    private readonly double _secondsPerOutputToken;
    private double _expected;
    private double _taken;

    /// <param name="costs">Operations of prompts of this model.</param>
    /// <param name="probeTokens">Tokens of the short run.</param>
    /// <param name="probe">What it took.</param>
    internal BenchEstimate(CountedPrefillCost costs, int probeTokens, EngineRun probe)
    {
        _costs = costs;
        _secondsPerOperation = probe.TtftMs / 1000 / Operations(probeTokens);
        _secondsPerOutputToken = probe.DecodeMs.Count > 0 ? Statistics.Median(probe.DecodeMs) / 1000 : 0;
    }

    /// <summary>Seconds of a run.</summary>
    /// <param name="tokens">Tokens of the prompt.</param>
    /// <param name="speedup">By how much it is expected to be faster than plain prefill.</param>
    /// <param name="outputTokens">Tokens decoded after it.</param>
    internal double Seconds(int tokens, double speedup, int outputTokens) =>
        (_taken > 0 ? _taken / _expected : 1) * Expected(tokens, speedup, outputTokens);

    /// <summary>Learns from a run.</summary>
    internal void Observe(int tokens, double speedup, int outputTokens, double seconds)
    {
        _expected += Expected(tokens, speedup, outputTokens);
        _taken += seconds;
    }

    /// <summary>The speedup to expect of a case.</summary>
    internal double Speedup(BenchCase what) =>
        what.Plan is { } plan ? _costs.Speedup(plan, what.PromptTokens) : what.Target;

    private double Expected(int tokens, double speedup, int outputTokens) =>
        (_secondsPerOperation * Operations(tokens) / speedup) + (_secondsPerOutputToken * outputTokens);

    private double Operations(int tokens) => _costs.Cost(PrefillPlan.KeepAll, tokens);
}

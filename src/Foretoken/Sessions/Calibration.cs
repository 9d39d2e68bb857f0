using System.Diagnostics;
using Foretoken.Costs;
using Foretoken.Planning;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>Runs the prefills that a cost profile is fitted to.</summary>
/// <remarks>
/// A pilot tells how fast the machine is. From that follows the longest prompt for which three rounds fit into the budget. In
/// a round, long prompts run through few layers only: that tells as much about keys and tokens as running all layers, for a
/// fraction of the time. Shorter plain prefills, one of them behind a prefix, tell the rest. The order is shuffled, so that
/// a machine that slows down does not slow down one kind. Rounds go on until the budget is used.
/// </remarks>
internal sealed class Calibration(ForetokenSession session, PrefillPlannerOptions plannerOptions, List<PrefillRun> runs)
{
    private const int LeastRounds = 3;
    private const int MostRounds = 12;
    private const int PilotTokens = 96;
    private const int ShortestLength = 256;

    // up to here a longer prompt is worth more than one more round
    private const int LongEnough = 1024;

    private readonly int[] _tokens = MakeTokens(session);

    // the lowest boundary that real plans have: what is probed below it is what they probe
    private readonly int _first = Math.Max(
        1,
        (int)(plannerOptions.Schedules.Min(schedule => schedule.Depths[0]) * session.Model.Shape.LayerCount + 0.5)
    );
    private readonly Stopwatch _watch = new();
    private TimeSpan _budget;

    /// <summary>Measures; the samples are in the list that was given.</summary>
    /// <returns>How long it took.</returns>
    internal TimeSpan Run(CalibrationOptions options, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        _budget = options.Budget;
        _watch.Start();
        using CancellationTokenSource timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(options.Budget);
        try
        {
            // the first touches the weights, and is forgotten
            Prefill(PilotTokens, 0, PrefillPlan.KeepAll, timeout.Token);
            runs.Clear();
            TimeSpan perToken = TimeSpan.MaxValue;
            for (int i = 0; i < 2; i++)
            {
                TimeSpan start = _watch.Elapsed;
                Prefill(PilotTokens, 0, PrefillPlan.KeepAll, timeout.Token);
                TimeSpan took = (_watch.Elapsed - start) / PilotTokens;
                perToken = took < perToken ? took : perToken;
            }

            int most = Math.Min(options.LongestPrompt, session.ContextSize);
            int length = FindLength(most, perToken, options.Budget - _watch.Elapsed);
#pragma warning disable CA5394 // a shuffled order, not a secret
            Random random = new(1);
            for (int round = 0; round < MostRounds; round++)
            {
                Step[] steps = Round(length);
                random.Shuffle(steps);
#pragma warning restore CA5394
                foreach (Step step in steps)
                {
                    // what would be cut short anyway is not begun, unless something is needed still
                    if (
                        round >= LeastRounds
                        && _watch.Elapsed + (perToken * step.Work(session.Model.Shape.LayerCount)) > options.Budget
                    )
                    {
                        continue;
                    }
                    Prefill(step.Tokens, step.Past, step.Plan, timeout.Token);
                    progress?.Report(Math.Min(1, _watch.Elapsed / options.Budget));
                }
                if (round + 1 >= LeastRounds && _watch.Elapsed * (round + 2) / (round + 1) > options.Budget)
                {
                    break;
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // the budget is used
        }
        progress?.Report(1);
        return _watch.Elapsed;
    }

    private int FindLength(int most, TimeSpan perToken, TimeSpan budget)
    {
        int length = Math.Max(ShortestLength, most);
        while (
            length > ShortestLength
            && perToken
                * Round(length).Sum(step => step.Work(session.Model.Shape.LayerCount))
                * (length > LongEnough ? LeastRounds : LeastRounds - 1)
                > budget
        )
        {
            length /= 2;
        }
        return Math.Min(length, most);
    }

    private Step[] Round(int length)
    {
        int layers = session.Model.Shape.LayerCount;
        List<Step> steps =
        [
            new(Math.Max(1, length / 16), 0, PrefillPlan.KeepAll),
            // few tokens behind many keys; the prefix is a plain prefill itself
            new(Math.Max(1, length / 32), length / 4, PrefillPlan.KeepAll),
        ];
        if (layers > 1)
        {
            steps.Add(new(length, 0, Thinning((_first, 0.25), (layers / 3, 0.06))));
            steps.Add(new(Math.Max(1, length / 2), 0, Thinning((_first, 0.5), (layers / 2, 0.12))));
        }
        return [.. steps];
    }

    /// <summary>A plan with boundaries where the model has layers for them.</summary>
    private PrefillPlan Thinning(params ReadOnlySpan<(int Layer, double Retention)> boundaries)
    {
        List<PlanBoundary> possible = [];
        foreach ((int layer, double retention) in boundaries)
        {
            if (layer < session.Model.Shape.LayerCount && layer > (possible.Count > 0 ? possible[^1].Layer : 0))
            {
                possible.Add(new PlanBoundary(layer, retention));
            }
        }
        return PrefillPlan.FromBoundaries(possible);
    }

    private void Prefill(int tokens, int past, PrefillPlan plan, CancellationToken cancellationToken)
    {
        // on a busy machine the timer of the budget comes late
        if (_watch.Elapsed > _budget)
        {
            throw new OperationCanceledException();
        }
        // another first token: nothing of an earlier prefill is reused
        _tokens[0] = (_tokens[0] + 1) % session.Model.Shape.VocabularySize;
        if (past > 0)
        {
            session.Prefill(_tokens.AsSpan(0, past), new PrefillRequest(), progress: null, cancellationToken);
        }
        session.Prefill(
            _tokens.AsSpan(0, past + tokens),
            new PrefillRequest { Plan = plan },
            progress: null,
            cancellationToken
        );
    }

    private static int[] MakeTokens(ForetokenSession session)
    {
        int[] tokens = new int[session.ContextSize];
#pragma warning disable CA5394 // any tokens do, the same ones every time are better
        Random random = new(2);
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = random.Next(session.Model.Shape.VocabularySize);
        }
#pragma warning restore CA5394
        return tokens;
    }

    private readonly record struct Step(int Tokens, int Past, PrefillPlan Plan)
    {
        /// <summary>Tokens of plain prefill that would take about as long; attention makes long prompts dearer than this.</summary>
        internal double Work(int layerCount)
        {
            int[] perStage = Plan.TokensPerStage(Tokens);
            double tokenLayers = 0;
            int begin = 0;
            for (int i = 0; i < perStage.Length; i++)
            {
                int end = i < Plan.Boundaries.Count ? Plan.Boundaries[i].Layer : layerCount;
                tokenLayers += (double)perStage[i] * (end - begin);
                begin = end;
            }
            return (tokenLayers / layerCount) + Past;
        }
    }
}

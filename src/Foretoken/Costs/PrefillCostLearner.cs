using System.Numerics;
using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>
/// Learns what prefills cost from those that ran: keeps a bounded number of them, the newest of every kind, and fits a profile to
/// them after each. Thread-safe.
/// </summary>
internal sealed class PrefillCostLearner
{
    /// <summary>Chunks of one kind that are kept. Kinds differ by a factor of about two in tokens, keys or layers.</summary>
    internal const int MostPerKind = 12;

    /// <summary>Chunks that are kept altogether.</summary>
    internal const int MostChunks = 512;

    /// <summary>Prefills that are kept altogether.</summary>
    internal const int MostRuns = 128;

    // prefills that a new process counts as
    private const int RestartDrift = 4;

    private readonly Lock _lock = new();
    private readonly PrefillLayout _layout;
    private readonly CountedPrefillCost _counted;
    private List<PrefillRun> _runs = [];
    private long _sequence;
    private MeasuredPrefillCost? _profile;

    internal PrefillCostLearner(ModelShape shape, PrefillLayout layout)
    {
        _layout = layout;
        _counted = new CountedPrefillCost(shape);
    }

    internal PrefillLayout Layout => _layout;

    /// <summary>What was learned so far; <see langword="null"/> while there is too little.</summary>
    internal MeasuredPrefillCost? Profile => Volatile.Read(ref _profile);

    /// <summary>The profile, or the counted model while there is none.</summary>
    internal PrefillCost Cost => (PrefillCost?)Profile ?? _counted;

    /// <summary>The prefills that are kept, oldest first.</summary>
    internal IReadOnlyList<PrefillRun> Runs
    {
        get
        {
            lock (_lock)
            {
                return [.. _runs];
            }
        }
    }

    /// <summary>Learns from prefills that ran one after the other. Takes a few milliseconds.</summary>
    internal void Add(IEnumerable<PrefillRun> runs)
    {
        lock (_lock)
        {
            // the machine hardly changes between them
            _sequence++;
            _runs.AddRange(runs.Select(run => run with { Sequence = _sequence }));
            Learn();
        }
    }

    /// <summary>Forgets everything and learns from prefills that ran one after the other.</summary>
    internal void Replace(IEnumerable<PrefillRun> runs)
    {
        lock (_lock)
        {
            _runs.Clear();
            Add(runs);
        }
    }

    /// <summary>Learns what an earlier process knew.</summary>
    internal void Restore(IReadOnlyList<PrefillRun> runs)
    {
        lock (_lock)
        {
            _runs = [.. runs];
            // meanwhile the machine had time to change
            _sequence = _runs.Count == 0 ? 0 : _runs.Max(run => run.Sequence) + RestartDrift;
            Learn();
        }
    }

    private void Learn()
    {
        Thin();
        Volatile.Write(ref _profile, MeasuredCostFit.Fit(_counted.Shape, _layout, _runs, _sequence));
    }

    /// <summary>Keeps the newest chunks of every kind.</summary>
    private void Thin()
    {
        Dictionary<(int, int, int, bool), int> counts = [];
        List<PrefillRun> kept = [];
        int total = 0;
        for (int r = _runs.Count - 1; r >= 0 && kept.Count < MostRuns && total < MostChunks; r--)
        {
            List<ChunkSample> chunks = [];
            foreach (ChunkSample chunk in _runs[r].Chunks)
            {
                (int, int, int, bool) kind = Kind(chunk);
                int count = counts.GetValueOrDefault(kind);
                if (count < MostPerKind && total < MostChunks)
                {
                    counts[kind] = count + 1;
                    total++;
                    chunks.Add(chunk);
                }
            }

            if (chunks.Count > 0)
            {
                kept.Add(chunks.Count == _runs[r].Chunks.Count ? _runs[r] : _runs[r] with { Chunks = chunks });
            }
        }

        kept.Reverse();
        _runs = kept;
    }

    private static (int Tokens, int Keys, int Layers, bool IsLast) Kind(in ChunkSample chunk) =>
        (
            BitOperations.Log2((uint)chunk.Tokens),
            BitOperations.Log2((uint)(chunk.PastKeys / 64) + 1),
            BitOperations.Log2((uint)(chunk.Layers.Host + chunk.Layers.Device + 1)),
            chunk.HasLogits
        );
}

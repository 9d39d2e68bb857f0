using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>
/// The cost profile of one model with one setting: learns from prefills in the background, and keeps what it learned on disk.
/// Shared by all sessions with that setting. Thread-safe.
/// </summary>
/// <remarks>
/// A prefill only leaves its times here; they are fitted on a thread of the pool. The file is written when enough has come
/// together and when a session is disposed; what cannot be read or written is a <see cref="TakeProblem"/>, never an error.
/// </remarks>
internal sealed class CostTracker
{
    // prefills between two writes
    private const int WriteEvery = 32;

    private readonly PrefillCostLearner _learner;
    private readonly CostKey? _key;
    private readonly string? _path;
    private readonly Lock _pendingLock = new();
    private readonly Lock _writeLock = new();
    private List<PrefillRun> _pending = [];
    private bool _isScheduled;
    private int _unwritten;
    private string? _problem;

    /// <param name="shape">The model's sizes.</param>
    /// <param name="layout">How its layers are computed.</param>
    /// <param name="key">What the profile belongs to; null when it is kept in memory only.</param>
    /// <param name="path">Its file; null when it is kept in memory only.</param>
    internal CostTracker(ModelShape shape, PrefillLayout layout, CostKey? key = null, string? path = null)
    {
        _learner = new PrefillCostLearner(shape, layout);
        _key = key;
        _path = path;
        if (key is null || path is null)
        {
            return;
        }
        try
        {
            if (MeasuredCostFile.Read(path, key, layout) is { } runs)
            {
                _learner.Restore(runs);
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            _problem = $"'{path}' is ignored and will be made again: {e.Message}";
        }
    }

    /// <summary>The tracker of a key, with what is cached for it.</summary>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="key">What the profile belongs to.</param>
    /// <param name="modelPath">The model's file, after which the cached file is named, for people.</param>
    /// <param name="cacheFolder">Folder of the cached files; null for the default of this machine.</param>
    internal static CostTracker Open(ModelShape shape, CostKey key, string modelPath, string? cacheFolder)
    {
        string name = key.FileName(System.IO.Path.GetFileNameWithoutExtension(modelPath));
        string? path = MeasuredCostFile.FindFolder(cacheFolder) is { } folder
            ? System.IO.Path.Combine(folder, name)
            : null;
        return new CostTracker(shape, key.LayoutOf(shape), key, path);
    }

    /// <summary>What the profile belongs to; null when it is kept in memory only.</summary>
    internal CostKey? Key => _key;

    internal PrefillLayout Layout => _learner.Layout;

    /// <summary>What prefills cost, as far as it is known by now.</summary>
    internal PrefillCost Cost => _learner.Cost;

    internal MeasuredPrefillCost? Profile => _learner.Profile;

    /// <summary>The file; null when the profile is kept in memory only.</summary>
    internal string? Path => _path;

    /// <summary>What went wrong with the file since the last call, for people; null when nothing did.</summary>
    internal string? TakeProblem() => Interlocked.Exchange(ref _problem, null);

    /// <summary>Takes the times of a prefill. Returns at once.</summary>
    internal void Observe(PrefillRun run)
    {
        lock (_pendingLock)
        {
            _pending.Add(run);
            if (_isScheduled)
            {
                return;
            }
            _isScheduled = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(
            static tracker =>
            {
                tracker.Learn();
                if (Volatile.Read(ref tracker._unwritten) >= WriteEvery)
                {
                    tracker.Write();
                }
            },
            this,
            preferLocal: false
        );
    }

    /// <summary>Learns what was observed so far, before it returns.</summary>
    internal void Learn()
    {
        List<PrefillRun> runs;
        lock (_pendingLock)
        {
            _isScheduled = false;
            runs = _pending;
            _pending = [];
        }
        if (runs.Count > 0)
        {
            _learner.Add(runs);
            Interlocked.Add(ref _unwritten, runs.Count);
        }
    }

    /// <summary>Forgets what was learned, learns from these prefills, and writes the file.</summary>
    /// <returns>False when they are too few for a profile: they are then added to what is known.</returns>
    internal bool Replace(IReadOnlyList<PrefillRun> runs)
    {
        bool isEnough = MeasuredCostFit.IsEnough(runs);
        if (isEnough)
        {
            _learner.Replace(runs);
        }
        else
        {
            _learner.Add(runs);
        }
        Interlocked.Add(ref _unwritten, runs.Count);
        Flush();
        return isEnough;
    }

    /// <summary>Learns what was observed, and writes the file if there is news.</summary>
    internal void Flush()
    {
        Learn();
        if (Volatile.Read(ref _unwritten) > 0)
        {
            Write();
        }
    }

    private void Write()
    {
        lock (_writeLock)
        {
            Interlocked.Exchange(ref _unwritten, 0);
            if (_key is null || _path is null)
            {
                return;
            }
            try
            {
                MeasuredCostFile.Write(_path, _key, _learner.Runs);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                _problem = $"'{_path}' could not be written: {e.Message}";
            }
        }
    }
}

namespace Foretoken.Interop;

/// <summary>
/// Keeps the list of a model's LoRA adapters from changing while the model computes: llama.cpp reads it when it reserves memory,
/// and guards it by nothing.
/// </summary>
/// <remarks>Thread-safe. Computations run side by side; a change waits for those that run, and new ones wait for it.</remarks>
internal sealed class ComputeGate
{
    private static readonly TimeSpan CancellationCheck = TimeSpan.FromMilliseconds(20);

    // computations that this thread is in the middle of, of any model: what they call back runs on it, too
    [ThreadStatic]
    private static int _depth;

    private readonly object _sync = new();
    private readonly List<Action> _whenIdle = [];
    private int _computing;
    private int _waiting;

    /// <summary>Changes that wait for computations to end.</summary>
    internal int PendingChanges
    {
        get
        {
            lock (_sync)
            {
                return _waiting + _whenIdle.Count;
            }
        }
    }

    /// <summary>Begins a computation, which ends on the same thread.</summary>
    /// <exception cref="OperationCanceledException">Cancelled while a change was waited for.</exception>
    internal Computation Enter(CancellationToken cancellationToken = default)
    {
        lock (_sync)
        {
            // a change waits for the computation that this one is called back from: waiting for it would never end
            while (_waiting > 0 && _depth == 0)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Monitor.Wait(_sync, CancellationCheck);
            }
            _computing++;
        }
        _depth++;
        return new Computation(this);
    }

    /// <summary>Changes the list once nothing computes.</summary>
    /// <exception cref="InvalidOperationException">Called back from a computation, which would never end.</exception>
    internal T Change<T>(Func<T> change)
    {
        if (_depth > 0)
        {
            throw new InvalidOperationException(
                "A LoRA adapter is loaded while nothing of its model computes, and this is called from within a computation, such as by a progress callback. Load it before, or on another thread, which waits."
            );
        }
        lock (_sync)
        {
            _waiting++;
            try
            {
                while (_computing > 0)
                {
                    Monitor.Wait(_sync);
                }
                return change();
            }
            finally
            {
                _waiting--;
                Monitor.PulseAll(_sync);
            }
        }
    }

    /// <summary>Changes the list now if nothing computes, otherwise as soon as that is so, on the thread that computed last.</summary>
    internal void WhenIdle(Action change)
    {
        lock (_sync)
        {
            if (_computing == 0)
            {
                change();
            }
            else
            {
                _whenIdle.Add(change);
            }
        }
    }

    private void Exit()
    {
        _depth--;
        lock (_sync)
        {
            if (--_computing > 0)
            {
                return;
            }
            _whenIdle.ForEach(change => change());
            _whenIdle.Clear();
            Monitor.PulseAll(_sync);
        }
    }

    /// <summary>A computation until it is disposed.</summary>
    internal readonly struct Computation(ComputeGate gate) : IDisposable
    {
        public void Dispose() => gate.Exit();
    }
}

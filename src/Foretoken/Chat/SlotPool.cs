namespace Foretoken.Chat;

/// <summary>What a slot's KV cache and a prompt have in common.</summary>
/// <param name="Reusable">Tokens that the prompt would not have to compute in this slot.</param>
/// <param name="Lost">Tokens that the slot would have to forget.</param>
internal readonly record struct SlotMatch(int Reusable, int Lost);

/// <summary>
/// The slots of a client, lent to one request at a time. Requests that find none wait, first come first served, and leave the
/// queue when they are cancelled.
/// </summary>
/// <remarks>
/// Thread-safe. Of several idle slots a request gets the one that can reuse the longest prefix, if that is more than it would
/// overwrite; otherwise the one that was used least recently. All chat prompts begin alike, with the template's first tokens
/// at least: without that condition a new conversation would overwrite another one while a slot stands empty.
/// </remarks>
internal sealed class SlotPool<TSlot>(IEnumerable<TSlot> slots)
    where TSlot : class
{
    private readonly Lock _lock = new();

    // least recently used first
    private readonly List<TSlot> _idle = [.. slots];

    // empty whenever a slot is idle
    private readonly LinkedList<Waiter> _waiting = [];

    /// <summary>Slots that are not lent.</summary>
    internal int IdleCount
    {
        get
        {
            lock (_lock)
            {
                return _idle.Count;
            }
        }
    }

    /// <summary>Requests that wait for a slot.</summary>
    internal int WaitingCount
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Lends a slot. The place in the queue is taken before this method returns.</summary>
    /// <param name="match">Compares the request with an idle slot; must be quick, and is called under a lock.</param>
    /// <param name="cancellationToken">Leaves the queue.</param>
    /// <exception cref="OperationCanceledException">Cancelled; no slot is lent.</exception>
    internal async Task<TSlot> AcquireAsync(Func<TSlot, SlotMatch> match, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        LinkedListNode<Waiter> waiter = new(new Waiter());
        lock (_lock)
        {
            if (_idle.Count > 0)
            {
                return Take(match);
            }
            _waiting.AddLast(waiter);
        }
        await using (cancellationToken.UnsafeRegister(_ => Leave(waiter, cancellationToken), null))
        {
            return await waiter.Value.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Takes a slot back.</summary>
    internal void Release(TSlot slot)
    {
        lock (_lock)
        {
            if (_waiting.First is { } next)
            {
                _waiting.RemoveFirst();
                next.Value.SetResult(slot);
                return;
            }
            _idle.Add(slot);
        }
    }

    private TSlot Take(Func<TSlot, SlotMatch> match)
    {
        int chosen = 0;
        int longest = 0;
        for (int i = 0; i < _idle.Count && _idle.Count > 1; i++)
        {
            SlotMatch candidate = match(_idle[i]);
            if (candidate.Reusable > candidate.Lost && candidate.Reusable > longest)
            {
                chosen = i;
                longest = candidate.Reusable;
            }
        }
        TSlot slot = _idle[chosen];
        _idle.RemoveAt(chosen);
        return slot;
    }

    private void Leave(LinkedListNode<Waiter> waiter, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            // gone already: it has been lent a slot
            if (waiter.List is null)
            {
                return;
            }
            _waiting.Remove(waiter);
        }
        waiter.Value.SetCanceled(cancellationToken);
    }

    private sealed class Waiter() : TaskCompletionSource<TSlot>(TaskCreationOptions.RunContinuationsAsynchronously);
}

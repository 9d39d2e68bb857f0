using Foretoken.Diagnostics;
using Foretoken.Errors;
using Foretoken.Sessions;
using Microsoft.Extensions.Logging;

namespace Foretoken.Chat;

/// <summary>What a client does while it has no request: completes the last prompt, calibrates. A request ends it.</summary>
/// <param name="logger">Learns what was done.</param>
/// <param name="time">The clock.</param>
/// <param name="lost">Told of the pool whose model was lost with a server.</param>
/// <param name="disposing">Ends all work.</param>
internal sealed class IdleWork(
    ILogger logger,
    TimeProvider time,
    Action<SlotPool<InferenceSlot>> lost,
    CancellationToken disposing
)
{
    // ends what runs and nobody waits for; null while there is nothing
    private CancellationTokenSource? _running;

    /// <summary>A request has come: what runs ends within one chunk.</summary>
    internal void End() => Volatile.Read(ref _running)?.Cancel();

    /// <summary>Does work until a request comes.</summary>
    /// <returns>Whether it was done; false when a request ended it.</returns>
    internal async Task<bool> RunAsync(Func<CancellationToken, Task> work, CancellationToken cancellationToken)
    {
        CancellationTokenSource request = new();
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(
            request.Token,
            cancellationToken
        );
        Volatile.Write(ref _running, request);
        try
        {
            await work(either.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (request.IsCancellationRequested)
        {
            return false;
        }
        finally
        {
            Volatile.Write(ref _running, null);
        }
    }

    /// <summary>
    /// Completes what the request has left thinned, in chunks between which the slot is free for others, until a request comes.
    /// </summary>
    internal void Complete(SlotPool<InferenceSlot> pool, int threads)
    {
        CancellationTokenSource nextRequest = new();
        Volatile.Write(ref _running, nextRequest);
        _ = CompleteAsync(pool, threads, nextRequest);
    }

    private async Task CompleteAsync(SlotPool<InferenceSlot> pool, int threads, CancellationTokenSource nextRequest)
    {
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(
            nextRequest.Token,
            disposing
        );
        CancellationToken stop = either.Token;
        long start = time.GetTimestamp();
        int tokens = 0;
        try
        {
            for (int remaining = 1; remaining > 0; )
            {
                InferenceSlot slot = await pool.AcquireAsync(_ => default, stop).ConfigureAwait(false);
                try
                {
                    CompletionStep step = await slot
                        .Thread.Run(() => slot.Session.CompleteWithThreads(CompletionGrade.Exact, threads, stop))
                        .ConfigureAwait(false);
                    tokens += step.Tokens;
                    remaining = step.Remaining;
                }
                finally
                {
                    pool.Release(slot);
                }
            }
            logger.CompletedWhenIdle(tokens, time.GetElapsedTime(start).TotalMilliseconds);
        }
        catch (OperationCanceledException)
        {
            // the next request goes on from there
        }
#pragma warning disable CA1031 // nobody waits for it: what is wrong with the slot the next request finds, too
        catch (Exception e)
#pragma warning restore CA1031
        {
            if (e is DeviceLostException)
            {
                lost(pool);
            }
            logger.IdleCompletionFailed(e);
        }
        finally
        {
            Interlocked.CompareExchange(ref _running, null, nextRequest);
        }
    }
}

using System.Collections.Concurrent;

namespace Foretoken.Chat;

/// <summary>
/// One background thread that does native work, in order. Callers never compute on their own thread, and native thread pools
/// stay bound to one thread.
/// </summary>
internal sealed class InferenceThread
{
    private readonly BlockingCollection<Action> _work = [];
    private readonly Thread _thread;

    internal InferenceThread(string name)
    {
        _thread = new Thread(Run) { IsBackground = true, Name = name };
        _thread.Start();
    }

    internal bool IsCurrent => Thread.CurrentThread == _thread;

    /// <summary>Runs <paramref name="action"/> after the work posted before it. The action handles its own exceptions.</summary>
    /// <returns>False when the thread takes no more work.</returns>
    internal bool TryPost(Action action)
    {
        try
        {
            _work.Add(action);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>
    /// Runs <paramref name="function"/> in the caller's execution context, which carries its activity and logging scopes, and
    /// hands its result or exception over.
    /// </summary>
    internal Task<T> Run<T>(Func<T> function)
    {
        TaskCompletionSource<T> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ExecutionContext? context = ExecutionContext.Capture();
        bool posted = TryPost(() =>
        {
            try
            {
                if (context is null)
                {
                    completion.SetResult(function());
                }
                else
                {
                    ExecutionContext.Run(context, _ => completion.SetResult(function()), null);
                }
            }
#pragma warning disable CA1031 // handed over to whoever awaits the task
            catch (Exception e)
#pragma warning restore CA1031
            {
                completion.SetException(e);
            }
        });
        if (!posted)
        {
            completion.SetException(new ObjectDisposedException(nameof(InferenceThread)));
        }
        return completion.Task;
    }

    /// <summary>Takes no more work; what was posted is still done.</summary>
    internal void Complete() => _work.CompleteAdding();

    /// <summary>Waits until all work is done.</summary>
    internal void Join() => _thread.Join();

    private void Run()
    {
        foreach (Action action in _work.GetConsumingEnumerable())
        {
            action();
        }
        _work.Dispose();
    }
}

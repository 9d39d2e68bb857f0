namespace Foretoken.Cli.Chat;

/// <summary>Ctrl+C: cancels what is running. With nothing running, or pressed a second time, it ends the program as usual.</summary>
internal sealed class Interrupt : IDisposable
{
    private readonly Lock _gate = new();
    private CancellationTokenSource? _running;

    internal Interrupt() => System.Console.CancelKeyPress += OnCancelKeyPress;

    public void Dispose() => System.Console.CancelKeyPress -= OnCancelKeyPress;

    /// <summary>Runs work that Ctrl+C cancels.</summary>
    internal async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> work)
    {
        using CancellationTokenSource source = new();
        lock (_gate)
        {
            _running = source;
        }
        try
        {
            return await work(source.Token);
        }
        finally
        {
            lock (_gate)
            {
                _running = null;
            }
        }
    }

    /// <summary>Cancels what is running.</summary>
    /// <returns>False when nothing was running, or it is being cancelled already.</returns>
    internal bool Press()
    {
        lock (_gate)
        {
            if (_running is null || _running.IsCancellationRequested)
            {
                return false;
            }
            // cancelled while the gate is held, so that the source cannot be disposed meanwhile; nobody waits in a callback
            _running.Cancel();
            return true;
        }
    }

    private void OnCancelKeyPress(object? sender, ConsoleCancelEventArgs e) => e.Cancel = Press();
}

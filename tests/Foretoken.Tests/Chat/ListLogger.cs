using Microsoft.Extensions.Logging;

namespace Foretoken.Tests.Chat;

/// <summary>Collects what is logged.</summary>
internal sealed class ListLogger(List<string> log) : ILoggerProvider, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel,
        EventId eventId,
        TState state,
        Exception? exception,
        Func<TState, Exception?, string> formatter
    )
    {
        lock (log)
        {
            log.Add(formatter(state, exception));
        }
    }

    public void Dispose() { }
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;

namespace Foretoken.Interop;

/// <summary>
/// Routes the log of the native library to an <see cref="ILogger"/>. The native log is one per process, so the logger
/// attached last receives it; without one the library is silent.
/// </summary>
internal static unsafe partial class NativeLog
{
    private static ILogger? _logger;

    internal static void Attach(ILogger logger)
    {
        if (Interlocked.Exchange(ref _logger, logger) is null)
        {
            NativeMethods.ftk_log_set(&OnLog, null);
        }
    }

    /// <summary>Stops routing to <paramref name="logger"/>, when it is still the one attached.</summary>
    internal static void Detach(ILogger logger)
    {
        // the callback stays registered: another thread may be inside it
        Interlocked.CompareExchange(ref _logger, Silence, logger);
    }

    private static readonly ILogger Silence = Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance;

    [LoggerMessage(EventId = 100, Message = "llama.cpp: {Message}")]
    private static partial void LogMessage(ILogger logger, LogLevel level, string message);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnLog(void* user, int level, byte* text)
    {
        try
        {
            if (Volatile.Read(ref _logger) is { } logger && Marshal.PtrToStringUTF8((nint)text) is { } message)
            {
                LogLevel logLevel = level switch
                {
                    4 => LogLevel.Error,
                    3 => LogLevel.Warning,
                    2 => LogLevel.Debug, // llama.cpp prints hundreds of lines per model load at its info level
                    _ => LogLevel.Trace,
                };
                LogMessage(logger, logLevel, message);
            }
        }
#pragma warning disable CA1031 // an exception of a logging provider must not unwind into native code
        catch (Exception)
#pragma warning restore CA1031
        { }
    }
}

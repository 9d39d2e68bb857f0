using System.Runtime.InteropServices;
using Foretoken.Errors;

namespace Foretoken.Interop;

/// <summary>ftk_status, and the one place where a status becomes an exception.</summary>
internal enum NativeStatus
{
    Ok = 0,
    InvalidArgument = 1,
    FileNotFound = 2,
    BadModel = 3,
    Unsupported = 4,
    OutOfMemory = 5,
    ContextFull = 6,
    Cancelled = 7,
    ComputeFailed = 8,
    StateMismatch = 9,
    BufferTooSmall = 10,
    TemplateFailed = 11,
    GrammarFailed = 12,
    CallbackFailed = 13,
    DeviceMissing = 14,
    DeviceLost = 15,
    Internal = 99,
}

internal static unsafe class NativeCall
{
    /// <summary>A call that writes text or bytes: the buffer, its capacity, and how much was needed.</summary>
    internal delegate int BufferCall(byte* buffer, long capacity, out long needed);

    /// <summary>Throws the exception that belongs to a failed status. Call it on the thread that made the native call.</summary>
    internal static void Check(int status, CancellationToken cancellationToken = default)
    {
        if (status != (int)NativeStatus.Ok)
        {
            throw ToException((NativeStatus)status, LastError(), cancellationToken);
        }
    }

    /// <summary>The message of the last failed call on this thread.</summary>
    internal static string LastError() => Marshal.PtrToStringUTF8((nint)NativeMethods.ftk_last_error()) ?? "";

    internal static Exception ToException(NativeStatus status, string message, CancellationToken cancellationToken)
    {
        if (message.Length == 0)
        {
            message = $"The native library reported {status} without a message.";
        }
        message = NativeOptionNames.Translate(message);
        return status switch
        {
            NativeStatus.InvalidArgument => new ArgumentException(message),
            NativeStatus.FileNotFound or NativeStatus.BadModel => new ModelLoadException(message),
            NativeStatus.Unsupported => new UnsupportedModelException(message),
            NativeStatus.OutOfMemory => new InsufficientNativeMemoryException(message),
            NativeStatus.ContextFull => new ContextFullException(message),
            NativeStatus.Cancelled => new OperationCanceledException(message, cancellationToken),
            NativeStatus.ComputeFailed or NativeStatus.CallbackFailed => new ComputeException(message),
            NativeStatus.DeviceMissing => new DeviceUnavailableException(message),
            NativeStatus.DeviceLost => new DeviceLostException(message),
            NativeStatus.StateMismatch => new StateMismatchException(message),
            NativeStatus.TemplateFailed => new ChatTemplateException(message),
            NativeStatus.GrammarFailed => new GrammarException(message),
            _ => new ForetokenException($"{message} (status {(int)status})"),
        };
    }

    /// <summary>UTF-8 text of a call that follows the buffer convention of foretoken.h.</summary>
    internal static string ReadText(BufferCall call) => System.Text.Encoding.UTF8.GetString(ReadBytes(call, 4096));

    /// <summary>Bytes of a call that follows the buffer convention; repeats it once the needed size is known.</summary>
    internal static byte[] ReadBytes(BufferCall call, int firstCapacity)
    {
        byte[] buffer = new byte[firstCapacity];
        while (true)
        {
            int status;
            long needed;
            fixed (byte* p = buffer)
            {
                status = call(p, buffer.Length, out needed);
            }
            if (status == (int)NativeStatus.BufferTooSmall)
            {
                buffer = new byte[checked((int)Math.Max(needed, buffer.Length * 2L))];
                continue;
            }
            Check(status);
            return buffer.Length == needed ? buffer : buffer[..checked((int)needed)];
        }
    }
}

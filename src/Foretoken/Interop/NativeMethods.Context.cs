using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Foretoken.Interop;

internal static unsafe partial class NativeMethods
{
    [LibraryImport(LibraryName, StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_context_create(
        SafeModelHandle model,
        string? config,
        out SafeContextHandle context
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_context_attach(nint llamaContext, out SafeContextHandle context);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ftk_context_free(nint context);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_context_info(
        SafeContextHandle context,
        byte* buffer,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_context_set_threads(SafeContextHandle context, int threads, int batchThreads);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_decode(
        SafeContextHandle context,
        int sequence,
        int* tokens,
        long count,
        SafeCancelHandle cancel
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_logits(SafeContextHandle context, float* logits, long capacity);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_rm(SafeContextHandle context, int sequence, int begin, int end);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_cp(SafeContextHandle context, int source, int destination);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_clear(SafeContextHandle context);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_pos_max(SafeContextHandle context, int sequence);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_positions(
        SafeContextHandle context,
        int sequence,
        int layer,
        int* positions,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_kv_bytes(SafeContextHandle context, int sequence, out long bytes);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_state_save(
        SafeContextHandle context,
        int sequence,
        byte* data,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_state_load(SafeContextHandle context, int sequence, byte* data, long byteCount);
}

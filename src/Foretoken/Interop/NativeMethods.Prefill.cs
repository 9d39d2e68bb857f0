using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Foretoken.Interop;

internal static unsafe partial class NativeMethods
{
    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_plan_create(out SafePlanHandle plan);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ftk_plan_free(nint plan);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_plan_add_boundary(SafePlanHandle plan, int layer);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_plan_add_probe(
        SafePlanHandle plan,
        int layer,
        int reduction,
        long firstQuery,
        long stride,
        int keys
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_plan_skip(SafePlanHandle plan, int layer, int part);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_plan_prefill_only(SafePlanHandle plan, int layer);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_boundary_index(nint boundary);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long ftk_boundary_n_tokens(nint boundary);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int* ftk_boundary_positions(nint boundary);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_boundary_n_probes(nint boundary);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_boundary_n_head(nint boundary, int probe);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long ftk_boundary_n_keys(nint boundary, int probe);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int* ftk_boundary_key_positions(nint boundary, int probe);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial float* ftk_boundary_probe(nint boundary, int probe);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_boundary_n_embd(nint boundary);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial float* ftk_boundary_residual(nint boundary);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_boundary_keep(nint boundary, int* indices, long count);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_boundary_skip(nint boundary, int layer, int part);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_prefill(
        SafeContextHandle context,
        int sequence,
        int* tokens,
        long count,
        SafePlanHandle plan,
        delegate* unmanaged[Cdecl]<void*, nint, int> select,
        delegate* unmanaged[Cdecl]<void*, int, long, long, double, int> progress,
        void* user,
        SafeCancelHandle cancel
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_prefill_report(
        SafeContextHandle context,
        byte* buffer,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_restore(
        SafeContextHandle context,
        int sequence,
        int* tokens,
        int* positions,
        long count
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_plan_store_residual(SafePlanHandle plan, int half);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_complete(
        SafeContextHandle context,
        int sequence,
        int grade,
        int* tokens,
        long count,
        int position,
        long runAtMost,
        out long done,
        out long run
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_seq_store_bytes(SafeContextHandle context, int sequence, out long bytes);
}

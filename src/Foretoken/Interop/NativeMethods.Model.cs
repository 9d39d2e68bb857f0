using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Foretoken.Interop;

internal static unsafe partial class NativeMethods
{
    [LibraryImport(LibraryName, StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_model_load(
        string path,
        string? config,
        delegate* unmanaged[Cdecl]<void*, float, int> progress,
        void* user,
        out SafeModelHandle model
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_model_attach(nint llamaModel, out SafeModelHandle model);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ftk_model_free(nint model);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_model_info(SafeModelHandle model, byte* buffer, long capacity, out long needed);

    [LibraryImport(LibraryName, StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_model_metadata(
        SafeModelHandle model,
        string key,
        byte* buffer,
        long capacity,
        out long needed
    );
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Foretoken.Interop;

internal static unsafe partial class NativeMethods
{
    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_tokenize(
        SafeModelHandle model,
        byte* text,
        long byteCount,
        int addSpecial,
        int parseSpecial,
        int* tokens,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_token_bytes(
        SafeModelHandle model,
        int token,
        int special,
        byte* buffer,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_token_is_eog(SafeModelHandle model, int token);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_token_is_control(SafeModelHandle model, int token);
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Foretoken.Interop;

internal static unsafe partial class NativeMethods
{
    [LibraryImport(LibraryName, StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_skim_fit(
        float* x,
        float* y,
        long samples,
        long validation,
        int embedding,
        int hidden,
        string configJson,
        delegate* unmanaged[Cdecl]<void*, int, int, double, double, int> progress,
        void* user,
        SafeCancelHandle cancel,
        float* weights,
        long capacity,
        out long needed,
        out double trainingLoss,
        out double validationLoss
    );
}

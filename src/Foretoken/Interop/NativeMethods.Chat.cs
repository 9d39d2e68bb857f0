using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Foretoken.Interop;

internal static unsafe partial class NativeMethods
{
    [LibraryImport(LibraryName, StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_chat_create(
        SafeModelHandle model,
        string? templateOverride,
        out SafeChatHandle chat
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ftk_chat_free(nint chat);

    [LibraryImport(LibraryName, StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_chat_render(
        SafeChatHandle chat,
        string request,
        SafeCancelHandle cancel,
        out SafeChatPromptHandle prompt
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void ftk_chat_prompt_free(nint prompt);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long ftk_chat_prompt_n_tokens(SafeChatPromptHandle prompt);

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_chat_prompt_tokens(
        SafeChatPromptHandle prompt,
        int* tokens,
        byte* origins,
        long capacity
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_chat_prompt_info(
        SafeChatPromptHandle prompt,
        byte* buffer,
        long capacity,
        out long needed
    );

    [LibraryImport(LibraryName)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ftk_chat_parse(
        SafeChatPromptHandle prompt,
        byte* text,
        long byteCount,
        int isPartial,
        byte* buffer,
        long capacity,
        out long needed
    );
}

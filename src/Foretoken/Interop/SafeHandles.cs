namespace Foretoken.Interop;

internal sealed class SafeModelHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_model_free(native);
}

internal sealed class SafeContextHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_context_free(native);
}

internal sealed class SafeAdapterHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_adapter_free(native);
}

internal sealed class SafeChatHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_chat_free(native);
}

internal sealed class SafeChatPromptHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_chat_prompt_free(native);
}

internal sealed class SafePlanHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_plan_free(native);
}

internal sealed class SafeSamplerHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_sampler_free(native);
}

internal sealed class SafeCancelHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_cancel_free(native);
}

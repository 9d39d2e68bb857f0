namespace Foretoken.Interop;

internal sealed class SafeModelHandle : NativeHandle
{
    internal ComputeGate Gate { get; } = new();

    protected override void Free(nint native) => NativeMethods.ftk_model_free(native);
}

internal sealed class SafeContextHandle : NativeHandle
{
    protected override void Free(nint native) => NativeMethods.ftk_context_free(native);
}

internal sealed class SafeAdapterHandle : NativeHandle
{
    private SafeModelHandle? _model;

    /// <summary>Its model, which it keeps alive, and whose list of adapters it leaves when it is freed.</summary>
    internal void BelongTo(SafeModelHandle model)
    {
        KeepAlive(model);
        _model = model;
    }

    protected override void Free(nint native)
    {
        if (_model is not { } model)
        {
            NativeMethods.ftk_adapter_free(native);
            return;
        }
        // as long as it takes; this handle's own reference ends sooner
        bool added = false;
        model.DangerousAddRef(ref added);
        model.Gate.WhenIdle(() =>
        {
            NativeMethods.ftk_adapter_free(native);
            model.DangerousRelease();
        });
    }
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

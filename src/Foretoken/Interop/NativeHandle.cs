using Microsoft.Win32.SafeHandles;

namespace Foretoken.Interop;

/// <summary>
/// Base of the native handles. A handle can hold a reference on another one (a context on its model), which is released
/// only after its own native object is freed, whatever order the owners dispose or the finalisers run in.
/// </summary>
internal abstract class NativeHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    private NativeHandle? _parent;

    /// <summary>Keeps <paramref name="parent"/> alive until this handle is freed. Call once, right after creation.</summary>
    internal void KeepAlive(NativeHandle parent)
    {
        bool added = false;
        parent.DangerousAddRef(ref added);
        _parent = parent;
    }

    protected abstract void Free(nint native);

    protected sealed override bool ReleaseHandle()
    {
        Free(handle);
        _parent?.DangerousRelease();
        return true;
    }
}

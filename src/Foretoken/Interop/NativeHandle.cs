using Microsoft.Win32.SafeHandles;

namespace Foretoken.Interop;

/// <summary>
/// Base of the native handles. A handle can hold references on others (a context on its model), which are released
/// only after its own native object is freed, whatever order the owners dispose or the finalisers run in.
/// </summary>
internal abstract class NativeHandle() : SafeHandleZeroOrMinusOneIsInvalid(ownsHandle: true)
{
    private readonly List<NativeHandle> _parents = [];

    /// <summary>Keeps <paramref name="parent"/> alive until this handle is freed. One thread at a time, before this is disposed.</summary>
    /// <exception cref="ObjectDisposedException"><paramref name="parent"/> is disposed.</exception>
    internal void KeepAlive(NativeHandle parent)
    {
        bool added = false;
        parent.DangerousAddRef(ref added);
        _parents.Add(parent);
    }

    protected abstract void Free(nint native);

    protected sealed override bool ReleaseHandle()
    {
        Free(handle);
        _parents.ForEach(parent => parent.DangerousRelease());
        return true;
    }
}

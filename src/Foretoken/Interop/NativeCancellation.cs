namespace Foretoken.Interop;

/// <summary>Connects a <see cref="CancellationToken"/> to a native cancellation flag for the time of one call.</summary>
internal static class NativeCancellation
{
    /// <summary>Resets the flag, and sets it when the token is cancelled. Dispose the registration after the native call.</summary>
    internal static CancellationTokenRegistration Arm(SafeCancelHandle cancel, CancellationToken cancellationToken)
    {
        NativeMethods.ftk_cancel_reset(cancel);
        return cancellationToken.UnsafeRegister(
            static state =>
            {
                try
                {
                    NativeMethods.ftk_cancel_set((SafeCancelHandle)state!);
                }
                catch (ObjectDisposedException)
                {
                    // the session is gone, and with it the call that was to be cancelled
                }
            },
            cancel
        );
    }
}

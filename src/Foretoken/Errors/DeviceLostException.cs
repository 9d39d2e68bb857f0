namespace Foretoken.Errors;

/// <summary>A server that computes for this process went away, and what models and sessions held there is gone with it.</summary>
/// <remarks>
/// Dispose the sessions and the model, then load it again, on this server when it is back or without it. A
/// <see cref="ForetokenChatClient"/> that loaded its model itself does so with the next request.
/// </remarks>
public sealed class DeviceLostException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public DeviceLostException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public DeviceLostException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public DeviceLostException(string message, Exception? innerException)
        : base(message, innerException) { }
}

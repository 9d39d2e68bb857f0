namespace Foretoken.Errors;

/// <summary>A device or server that was asked for is not there. Nothing was loaded; nothing runs on the CPU instead.</summary>
public sealed class DeviceUnavailableException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public DeviceUnavailableException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public DeviceUnavailableException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public DeviceUnavailableException(string message, Exception? innerException)
        : base(message, innerException) { }
}

namespace Foretoken.Errors;

/// <summary>The native library of Foretoken was not found, could not be loaded, or does not belong to this assembly.</summary>
public class NativeLibraryException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public NativeLibraryException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public NativeLibraryException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public NativeLibraryException(string message, Exception? innerException)
        : base(message, innerException) { }
}

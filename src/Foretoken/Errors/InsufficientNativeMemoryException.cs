namespace Foretoken.Errors;

/// <summary>The native library could not get the memory it needs. A smaller context, a quantised KV cache or a smaller model needs less.</summary>
public sealed class InsufficientNativeMemoryException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public InsufficientNativeMemoryException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public InsufficientNativeMemoryException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public InsufficientNativeMemoryException(string message, Exception? innerException)
        : base(message, innerException) { }
}

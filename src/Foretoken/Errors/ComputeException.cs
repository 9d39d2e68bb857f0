namespace Foretoken.Errors;

/// <summary>The native computation failed. The sequence is as it was before the call; the next call can succeed.</summary>
public sealed class ComputeException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public ComputeException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public ComputeException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public ComputeException(string message, Exception? innerException)
        : base(message, innerException) { }
}

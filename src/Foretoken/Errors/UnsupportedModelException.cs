namespace Foretoken.Errors;

/// <summary>The model, its memory or the device cannot do what was asked, for example an architecture whose prefill cannot be staged.</summary>
public sealed class UnsupportedModelException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public UnsupportedModelException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public UnsupportedModelException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public UnsupportedModelException(string message, Exception? innerException)
        : base(message, innerException) { }
}

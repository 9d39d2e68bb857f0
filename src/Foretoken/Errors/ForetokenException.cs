namespace Foretoken.Errors;

/// <summary>Base of the exceptions that Foretoken throws for failures of models, native code and requests.</summary>
/// <remarks>
/// Wrong arguments are <see cref="ArgumentException"/>s, use after disposal is an <see cref="ObjectDisposedException"/> and a
/// cancelled request an <see cref="OperationCanceledException"/>, as everywhere in .NET.
/// </remarks>
public class ForetokenException : Exception
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public ForetokenException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public ForetokenException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public ForetokenException(string message, Exception? innerException)
        : base(message, innerException) { }
}

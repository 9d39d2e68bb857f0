namespace Foretoken.Errors;

/// <summary>A saved state does not belong to this model, context or build, or is damaged. The sequence is empty afterwards.</summary>
public sealed class StateMismatchException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public StateMismatchException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public StateMismatchException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public StateMismatchException(string message, Exception? innerException)
        : base(message, innerException) { }
}

namespace Foretoken.Errors;

/// <summary>A model's profile is missing, damaged, or of another model. The message says what to do.</summary>
public sealed class ModelProfileException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public ModelProfileException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public ModelProfileException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public ModelProfileException(string message, Exception? innerException)
        : base(message, innerException) { }
}

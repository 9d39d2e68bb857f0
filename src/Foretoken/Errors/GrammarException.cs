namespace Foretoken.Errors;

/// <summary>A JSON schema or a grammar could not be turned into a grammar for sampling.</summary>
public sealed class GrammarException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public GrammarException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public GrammarException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public GrammarException(string message, Exception? innerException)
        : base(message, innerException) { }
}

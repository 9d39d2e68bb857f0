namespace Foretoken.Errors;

/// <summary>A model file is missing, is not a GGUF file, is truncated or contradicts itself.</summary>
public sealed class ModelLoadException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public ModelLoadException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public ModelLoadException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public ModelLoadException(string message, Exception? innerException)
        : base(message, innerException) { }
}

namespace Foretoken.Errors;

/// <summary>A LoRA adapter is missing, damaged, or of another model. The message says what to do.</summary>
public sealed class LoraAdapterException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public LoraAdapterException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public LoraAdapterException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public LoraAdapterException(string message, Exception? innerException)
        : base(message, innerException) { }
}

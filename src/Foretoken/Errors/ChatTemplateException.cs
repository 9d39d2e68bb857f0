namespace Foretoken.Errors;

/// <summary>The chat template of the model rejected the conversation, or the model has none.</summary>
public sealed class ChatTemplateException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public ChatTemplateException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public ChatTemplateException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public ChatTemplateException(string message, Exception? innerException)
        : base(message, innerException) { }
}

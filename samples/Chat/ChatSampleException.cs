namespace Foretoken.Samples.Chat;

/// <summary>Something that the user can put right; the message says how.</summary>
internal sealed class ChatSampleException : Exception
{
    public ChatSampleException() { }

    public ChatSampleException(string message)
        : base(message) { }

    public ChatSampleException(string message, Exception innerException)
        : base(message, innerException) { }
}

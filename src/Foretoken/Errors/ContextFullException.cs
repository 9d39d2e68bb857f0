using System.Globalization;

namespace Foretoken.Errors;

/// <summary>The tokens do not fit into the context. Nothing was changed.</summary>
public sealed class ContextFullException : ForetokenException
{
    /// <summary>Creates an exception without a message of its own.</summary>
    public ContextFullException() { }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    public ContextFullException(string message)
        : base(message) { }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">What was asked, what is possible and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public ContextFullException(string message, Exception? innerException)
        : base(message, innerException) { }

    /// <summary>Creates an exception that carries the numbers.</summary>
    /// <param name="requested">Tokens that were asked for.</param>
    /// <param name="available">Tokens that the context can hold.</param>
    public ContextFullException(int requested, int available)
        : base(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{requested} tokens are needed, and the context holds {available}. Shorten the prompt, or create the client or session with a larger ContextSize."
            )
        )
    {
        Requested = requested;
        Available = available;
    }

    /// <summary>Tokens that were asked for; 0 when the native library found out and gave no number.</summary>
    public int Requested { get; }

    /// <summary>Tokens that the context can hold; 0 when the native library found out and gave no number.</summary>
    public int Available { get; }
}

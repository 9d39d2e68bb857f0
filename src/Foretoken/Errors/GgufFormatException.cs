namespace Foretoken.Errors;

/// <summary>A file or stream is not a well-formed GGUF file.</summary>
/// <remarks>The message says what was found, what was expected, and at which byte offset.</remarks>
public sealed class GgufFormatException : FormatException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong, without the offset.</param>
    /// <param name="offset">Byte offset from the beginning of the file.</param>
    /// <param name="innerException">What was caught underneath, if anything.</param>
    public GgufFormatException(string message, long offset, Exception? innerException = null)
        : base($"{message} (at byte {offset})", innerException)
    {
        Offset = offset;
    }

    /// <summary>Byte offset from the beginning of the file at which the problem was found.</summary>
    public long Offset { get; }
}

using System.Text;

namespace Foretoken.Sessions;

/// <summary>
/// Turns the bytes of consecutive tokens into text. A token may end inside a UTF-8 character; its bytes are then held back
/// until the character is complete, so that no text ever holds half of one.
/// </summary>
/// <remarks>Not thread-safe. Bytes that are not UTF-8 become U+FFFD.</remarks>
internal sealed class StreamingTextDecoder
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    /// <summary>Adds the bytes of a token and returns the characters that they complete, possibly none.</summary>
    /// <param name="bytes">Bytes of a token.</param>
    public string Append(ReadOnlySpan<byte> bytes) => Convert(bytes, flush: false);

    /// <summary>Ends the text: what is still held back comes out as U+FFFD. The decoder can be used again afterwards.</summary>
    public string Flush() => Convert([], flush: true);

    private string Convert(ReadOnlySpan<byte> bytes, bool flush)
    {
        int count = _decoder.GetCharCount(bytes, flush);
        if (count == 0)
        {
            // still feed the bytes: they are the beginning of a character
            _decoder.GetChars(bytes, [], flush);
            return "";
        }
        char[] chars = new char[count];
        int written = _decoder.GetChars(bytes, chars, flush);
        return new string(chars, 0, written);
    }
}

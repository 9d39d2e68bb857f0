using System.Text;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

public sealed class StreamingTextDecoderTests
{
    [Theory]
    [InlineData("plain")]
    [InlineData("Grüße, 世界, 👩‍🚀!")]
    public void Bytes_in_any_pieces_give_the_text(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        for (int size = 1; size <= bytes.Length; size++)
        {
            StreamingTextDecoder decoder = new();
            StringBuilder result = new();
            for (int i = 0; i < bytes.Length; i += size)
            {
                string piece = decoder.Append(bytes.AsSpan(i, Math.Min(size, bytes.Length - i)));
                Assert.DoesNotContain('\uFFFD', piece);
                Assert.False(piece.Length > 0 && char.IsHighSurrogate(piece[^1]), "half of a character came out");
                result.Append(piece);
            }
            Assert.Equal("", decoder.Flush());
            Assert.Equal(text, result.ToString());
        }
    }

    [Fact]
    public void Unfinished_character_comes_out_as_replacement_at_the_end()
    {
        StreamingTextDecoder decoder = new();
        Assert.Equal("a", decoder.Append([(byte)'a', 0xF0, 0x9F]));
        Assert.Equal("\uFFFD", decoder.Flush());
        Assert.Equal("b", decoder.Append("b"u8));
    }
}

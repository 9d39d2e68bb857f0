using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Gguf;

public class GgufReaderTests
{
    [Theory]
    [InlineData("", "0 bytes")]
    [InlineData("GG", "2 bytes")]
    [InlineData("# Read me\nThis is text.", "'# Re'")]
    [InlineData("FUGG\0\0\0\u0003", "big-endian")]
    [InlineData("GGUF", "the version")]
    [InlineData("GGUF\u0001\0\0\0", "version 1")]
    [InlineData("GGUF\u0009\0\0\0", "version 9")]
    [InlineData("GGUF\0\0\0\u0003", "big-endian")]
    public void What_is_no_gguf_file_is_refused_with_the_reason(string content, string reason)
    {
        GgufFormatException e = Refused(Encoding.Latin1.GetBytes(content));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(8)] // tensors
    [InlineData(16)] // metadata entries
    public void A_lying_count_allocates_nothing(int offset)
    {
        byte[] bytes = Header(0, 0);
        foreach (ulong count in (ulong[])[1, int.MaxValue, long.MaxValue, ulong.MaxValue])
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(offset), count);
            long before = GC.GetAllocatedBytesForCurrentThread();
            GgufFormatException e = Refused(bytes);
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 100_000);
            Assert.Contains(count.ToString(CultureInfo.InvariantCulture), e.Message, StringComparison.Ordinal);
            Assert.Equal(offset, e.Offset);
        }
    }

    [Theory]
    [InlineData((uint)GgufValueType.String)]
    [InlineData((uint)GgufValueType.Int32)]
    [InlineData((uint)GgufValueType.UInt8)]
    public void A_lying_array_allocates_nothing(uint elementType)
    {
        foreach (ulong count in (ulong[])[1_000_000, int.MaxValue, long.MaxValue, ulong.MaxValue])
        {
            byte[] bytes =
            [
                .. Header(0, 1),
                .. Entry("key", GgufValueType.Array),
                .. U32(elementType),
                .. U64(count),
                .. new byte[64],
            ];
            long before = GC.GetAllocatedBytesForCurrentThread();
            Refused(bytes);
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 100_000);
        }
    }

    [Fact]
    public void Metadata_that_llama_cpp_would_refuse_or_abort_on_is_refused()
    {
        byte[] entry = [.. Entry("a", GgufValueType.UInt8), 1];
        AssertRefused("twice", [.. Header(0, 2), .. entry, .. entry]);
        AssertRefused("empty", [.. Header(0, 1), .. Entry("", GgufValueType.UInt16), 1, 2]);
        AssertRefused("unknown value type 13", [.. Header(0, 1), .. Entry("a", (GgufValueType)13), 1, 2, 3, 4]);
        AssertRefused(
            "array of arrays",
            [.. Header(0, 1), .. Entry("a", GgufValueType.Array), .. U32(9), .. U64(0), .. U64(0)]
        );
        AssertRefused("neither 0 nor 1", [.. Header(0, 1), .. Entry("a", GgufValueType.Bool), 2]);
        AssertRefused("not valid UTF-8", [.. Header(0, 1), .. U64(1), 0xFF, .. U32(0), 1]);
        AssertRefused(
            "general.alignment",
            [.. Header(0, 1), .. Entry("general.alignment", GgufValueType.UInt32), .. U32(24)]
        );
        AssertRefused(
            "general.alignment",
            [.. Header(0, 1), .. Entry("general.alignment", GgufValueType.UInt32), .. U32(0)]
        );
        AssertRefused(
            "general.alignment",
            [.. Header(0, 1), .. Entry("general.alignment", GgufValueType.UInt64), .. U64(32)]
        );
    }

    [Fact]
    public void Tensors_that_llama_cpp_would_refuse_or_abort_on_are_refused()
    {
        byte[] good = Tensor("t", [32], GgufTensorType.Q40, 0);
        Assert.Single(GgufReader.Read(new MemoryStream([.. Header(1, 0), .. good])).Tensors);
        AssertRefused("twice", [.. Header(2, 0), .. good, .. Tensor("t", [32], GgufTensorType.Q40, 32)]);
        AssertRefused("must begin at 32", [.. Header(2, 0), .. good, .. Tensor("u", [32], GgufTensorType.Q40, 64)]);
        AssertRefused("multiple of 32", [.. Header(1, 0), .. Tensor("t", [33], GgufTensorType.Q40, 0)]);
        AssertRefused("dimension of 0", [.. Header(1, 0), .. Tensor("t", [32, 0], GgufTensorType.Q40, 0)]);
        AssertRefused("dimension of -1", [.. Header(1, 0), .. Tensor("t", [-1], GgufTensorType.F32, 0)]);
        AssertRefused("5 dimensions", [.. Header(1, 0), .. Tensor("t", [1, 1, 1, 1, 1], GgufTensorType.F32, 0)]);
        AssertRefused("more elements", [.. Header(1, 0), .. Tensor("t", [long.MaxValue, 2], GgufTensorType.F32, 0)]);
        AssertRefused("more bytes", [.. Header(1, 0), .. Tensor("t", [long.MaxValue], GgufTensorType.F32, 0)]);
        AssertRefused("beyond", [.. Header(1, 0), .. Tensor("t", [long.MaxValue / 4], GgufTensorType.F32, 0)]);
        AssertRefused("removed type 31", [.. Header(1, 0), .. Tensor("t", [32], (GgufTensorType)31, 0)]);
        AssertRefused("unknown or removed type -1", [.. Header(1, 0), .. Tensor("t", [32], (GgufTensorType)(-1), 0)]);
        AssertRefused("at most 63", [.. Header(1, 0), .. Tensor(new string('x', 64), [32], GgufTensorType.Q40, 0)]);
    }

    [Fact]
    public void A_header_cut_anywhere_is_refused()
    {
        byte[] bytes = TinyModel.Bytes();
        GgufFile file = GgufReader.Read(new MemoryStream(bytes));
        // the padding before the data may be missing
        int headerEnd = (int)file.DataOffset - 32;
        for (int length = 0; length < headerEnd; length += 1 + (length / 200))
        {
            Refused(bytes[..length]);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_damage_is_read_or_refused_but_never_crashes(int seed)
    {
        byte[] original = TinyModel.Bytes();
        int header = (int)GgufReader.Read(new MemoryStream(original)).DataOffset;
        Random random = new(seed);
        int refused = 0;
        for (int round = 0; round < 2000; round++)
        {
            byte[] bytes = [.. original];
            Damage(bytes, header, random);
            try
            {
                // what is read must also be usable
                foreach ((_, GgufValue value) in GgufReader.Read(new MemoryStream(bytes)).Metadata)
                {
                    _ = value.ToString();
                    _ = value is { IsArray: true, ElementType: GgufValueType.String } ? value.GetStrings() : null;
                }
            }
            catch (GgufFormatException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 200, 2000);
    }

    [Fact]
    public void A_stream_that_cannot_seek_is_refused()
    {
        using DeflateStream stream = new(new MemoryStream(), CompressionMode.Decompress);
        Assert.Throws<ArgumentException>(() => GgufReader.Read(stream));
    }

    /// <summary>A few random changes to a file's header: flipped bits, extreme numbers, moved and repeated pieces.</summary>
    internal static void Damage(byte[] bytes, int header, Random random)
    {
        // most of a header is vocabulary: prefer its beginning and end, where the structure is
        int Place(int length)
        {
            int limit = header - length;
            return random.Next(3) switch
            {
                0 => random.Next(Math.Min(limit, 1000)),
                1 => limit - random.Next(Math.Min(limit, 2000)),
                _ => random.Next(limit),
            };
        }

        for (int change = random.Next(1, 4); change > 0; change--)
        {
            switch (random.Next(4))
            {
                case 0:
                    bytes[Place(1)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    ulong extreme = random.Next(5) switch
                    {
                        0 => 0,
                        1 => ulong.MaxValue,
                        2 => long.MaxValue,
                        3 => 1ul << random.Next(64),
                        _ => (ulong)random.NextInt64(),
                    };
                    BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(Place(8)), extreme);
                    break;
                case 2:
                    BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(Place(4)), (uint)random.Next(16));
                    break;
                default:
                    int length = random.Next(1, 64);
                    bytes.AsSpan(Place(length), length).CopyTo(bytes.AsSpan(Place(length), length));
                    break;
            }
        }
    }

    private static void AssertRefused(string reason, byte[] bytes) =>
        Assert.Contains(reason, Refused(bytes).Message, StringComparison.Ordinal);

    private static GgufFormatException Refused(byte[] bytes) =>
        Assert.Throws<GgufFormatException>(() => GgufReader.Read(new MemoryStream(bytes)));

    private static byte[] Header(ulong tensors, ulong entries) =>
        [.. "GGUF"u8, .. U32(3), .. U64(tensors), .. U64(entries)];

    private static byte[] Entry(string key, GgufValueType type) => [.. Text(key), .. U32((uint)type)];

    private static byte[] Tensor(string name, long[] shape, GgufTensorType type, ulong offset) =>
        [
            .. Text(name),
            .. U32((uint)shape.Length),
            .. shape.SelectMany(n => U64((ulong)n)),
            .. U32((uint)type),
            .. U64(offset),
        ];

    private static byte[] Text(string text) => [.. U64((ulong)text.Length), .. Encoding.UTF8.GetBytes(text)];

    private static byte[] U32(uint value) => BitConverter.GetBytes(value);

    private static byte[] U64(ulong value) => BitConverter.GetBytes(value);
}

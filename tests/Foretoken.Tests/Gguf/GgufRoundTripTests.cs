using Foretoken.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Gguf;

public class GgufRoundTripTests
{
    [Fact]
    public void Every_type_of_value_is_read_as_it_was_written()
    {
        GgufWriter writer = new();
        writer.Set("u8", GgufValue.From((byte)250));
        writer.Set("u16", GgufValue.From((ushort)65000));
        writer.Set("u32", GgufValue.From(4_000_000_000u));
        writer.Set("i32", GgufValue.From(-7));
        writer.Set("u64", GgufValue.From(ulong.MaxValue));
        writer.Set("i64", GgufValue.From(long.MinValue));
        writer.Set("f32", GgufValue.From(1.5f));
        writer.Set("f64", GgufValue.From(Math.PI));
        writer.Set("bool", GgufValue.From(true));
        writer.Set("text", GgufValue.From("Ġgrüße 🙂"));
        writer.Set("empty", GgufValue.From(""));
        writer.Set("texts", GgufValue.FromStrings(["a", "", "ß"]));
        writer.Set("none", GgufValue.FromStrings([]));
        writer.Set("numbers", GgufValue.FromArray<int>([1, -2, 3]));
        writer.Set("halves", GgufValue.FromArray<float>([0.5f, -0.5f]));
        writer.Set("flags", GgufValue.FromArray<bool>([true, false]));
        writer.Set("bytes", GgufValue.FromArray<byte>([1, 2]));

        GgufFile file = WriteAndRead(writer, (_, _) => { });

        Assert.Equal(17, file.Metadata.Count);
        Assert.Equal(250, file.GetInt64("u8"));
        Assert.Equal(65000, file.GetInt64("u16"));
        Assert.Equal(4_000_000_000, file.GetInt64("u32"));
        Assert.Equal(-7, file.GetInt64("i32"));
        Assert.Null(file.GetInt64("u64"));
        Assert.Equal(long.MinValue, file.GetInt64("i64"));
        Assert.Equal(1.5, file.GetDouble("f32"));
        Assert.Equal(Math.PI, file.GetDouble("f64"));
        Assert.True(file.TryGetValue("bool", out GgufValue? flag) && flag.TryGetBoolean(out bool isSet) && isSet);
        Assert.Equal("Ġgrüße 🙂", file.GetString("text"));
        Assert.Equal("", file.GetString("empty"));
        Assert.Equal(["a", "", "ß"], Value("texts").GetStrings());
        Assert.Empty(Value("none").GetStrings());
        Assert.Equal([1, -2, 3], Value("numbers").GetArray<int>());
        Assert.Equal([0.5f, -0.5f], Value("halves").GetArray<float>());
        Assert.Equal([true, false], Value("flags").GetArray<bool>());
        Assert.Equal([1, 2], Value("bytes").GetArray<byte>());

        Assert.Null(file.GetString("u8"));
        Assert.Null(file.GetInt64("text"));
        Assert.Null(file.GetDouble("absent"));
        Assert.Throws<InvalidOperationException>(() => Value("numbers").GetStrings());
        Assert.Throws<InvalidOperationException>(() => Value("numbers").GetArray<uint>());
        Assert.Throws<NotSupportedException>(() => Value("numbers").GetArray<char>());

        GgufValue Value(string key) =>
            file.TryGetValue(key, out GgufValue? value) ? value : throw new KeyNotFoundException(key);
    }

    [Theory]
    [InlineData(32)]
    [InlineData(8)]
    [InlineData(4096)]
    public void Tensors_lie_where_the_header_says(int alignment)
    {
        GgufWriter writer = new(alignment);
        writer.Set("general.architecture", GgufValue.From("llama"));
        writer.AddTensor("one", GgufTensorType.F32, 3);
        writer.AddTensor("two", GgufTensorType.Q40, 64, 5);
        writer.AddTensor("three", GgufTensorType.I8, 1, 1, 1, 7);

        using MemoryStream stream = new();
        writer.Write(stream, (tensor, output) => output.Write(Data(tensor)));
        GgufFile file = GgufReader.Read(Rewound(stream));

        Assert.Equal(writer.FileLength, stream.Length);
        Assert.Equal(writer.HeaderLength, file.DataOffset);
        Assert.Equal(alignment, file.Alignment);
        Assert.Equal(
            ["one f32 [3]", "two q4_0 [64, 5]", "three i8 [1, 1, 1, 7]"],
            file.Tensors.Select(t => t.ToString())
        );
        Assert.Equal([12, 180, 7], file.Tensors.Select(t => t.ByteLength));
        Assert.Equal([3, 320, 7], file.Tensors.Select(t => t.ElementCount));
        Assert.False(file.IsTruncated);
        foreach (GgufTensor tensor in file.Tensors)
        {
            Assert.Equal(0, (file.DataOffset + tensor.Offset) % alignment);
            Assert.Equal(
                Data(tensor),
                stream.ToArray().AsSpan((int)(file.DataOffset + tensor.Offset), (int)tensor.ByteLength).ToArray()
            );
        }

        static byte[] Data(GgufTensor tensor) =>
            [.. Enumerable.Range(0, (int)tensor.ByteLength).Select(i => (byte)(i + tensor.Name.Length))];
    }

    [Fact]
    public void A_missing_end_is_noticed()
    {
        byte[] bytes = TinyModel.Bytes();
        GgufFile whole = GgufReader.Read(new MemoryStream(bytes));
        Assert.False(whole.IsTruncated);
        GgufFile file = GgufReader.Read(new MemoryStream(bytes[..(int)(whole.RequiredLength - 1)]));
        Assert.True(file.IsTruncated);
        Assert.Equal(whole.RequiredLength, file.RequiredLength);
    }

    [Fact]
    public void A_source_that_writes_a_wrong_length_is_noticed()
    {
        GgufWriter writer = new();
        writer.AddTensor("t", GgufTensorType.F32, 4);
        Assert.Throws<InvalidOperationException>(() =>
            writer.Write(new MemoryStream(), (_, o) => o.Write(new byte[15]))
        );
        Assert.Throws<InvalidOperationException>(() =>
            writer.Write(new MemoryStream(), (_, o) => o.Write(new byte[17]))
        );
    }

    [Fact]
    public void A_file_appears_only_when_it_is_complete()
    {
        using TemporaryFolder folder = new();
        GgufWriter writer = new();
        writer.AddTensor("t", GgufTensorType.F32, 4);
        Assert.Throws<InvalidOperationException>(() => writer.WriteFile(folder["x.gguf"], (_, _) => { }));
        Assert.Empty(Directory.GetFileSystemEntries(folder[""]));
    }

    [Fact]
    public void What_cannot_be_written_is_refused()
    {
        GgufWriter writer = new();
        writer.AddTensor("t", GgufTensorType.F32, 4);
        Assert.Throws<ArgumentException>(() => writer.AddTensor("t", GgufTensorType.F32, 4));
        Assert.Throws<ArgumentException>(() => writer.AddTensor(new string('x', 64), GgufTensorType.F32, 4));
        Assert.Throws<ArgumentException>(() => writer.AddTensor("a", GgufTensorType.Q40, 33));
        Assert.Throws<ArgumentException>(() => writer.AddTensor("a", GgufTensorType.F32, 0));
        Assert.Throws<ArgumentException>(() => writer.AddTensor("a", GgufTensorType.F32, long.MaxValue, 3));
        Assert.Throws<ArgumentException>(() => writer.AddTensor("a", (GgufTensorType)4, 32));
        Assert.Throws<ArgumentException>(() => writer.AddTensor("a", GgufTensorType.F32, 1, 1, 1, 1, 1));
        Assert.Throws<ArgumentException>(() => writer.AddTensor("a", GgufTensorType.F32));
        Assert.Throws<ArgumentException>(() => writer.Set("", GgufValue.From(1)));
        Assert.Throws<ArgumentException>(() => writer.Set("general.alignment", GgufValue.From(64u)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GgufWriter(24));
        Assert.Single(writer.Tensors);
    }

    [Fact]
    public void Setting_a_key_again_replaces_its_value_in_place()
    {
        GgufWriter writer = new();
        writer.Set("a", GgufValue.From(1));
        writer.Set("b", GgufValue.From(2));
        writer.Set("a", GgufValue.From("x"));
        GgufFile file = WriteAndRead(writer, (_, _) => { });
        Assert.Equal(["a", "b"], file.Metadata.Select(e => e.Key));
        Assert.Equal("x", file.GetString("a"));
    }

    private static GgufFile WriteAndRead(GgufWriter writer, Action<GgufTensor, Stream> data)
    {
        using MemoryStream stream = new();
        writer.Write(stream, data);
        return GgufReader.Read(Rewound(stream));
    }

    private static MemoryStream Rewound(MemoryStream stream)
    {
        stream.Position = 0;
        return stream;
    }
}

using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

public class GgufSplitterTests
{
    [Theory]
    [InlineData(40_000)]
    [InlineData(60_000)]
    [InlineData(10_000_000)]
    public void Shards_hold_the_metadata_and_tensors_of_the_whole_byte_for_byte(long maxShardBytes)
    {
        using TemporaryFolder folder = new();
        byte[] whole = TinyModel.Bytes();
        File.WriteAllBytes(folder["tiny.gguf"], whole);
        GgufFile file = GgufReader.Read(folder["tiny.gguf"]);

        IReadOnlyList<string> shards = GgufSplitter.Split(folder["tiny.gguf"], folder["part"], maxShardBytes);

        List<string> names = [];
        for (int i = 0; i < shards.Count; i++)
        {
            Assert.Equal(folder[$"part-{i + 1:D5}-of-{shards.Count:D5}.gguf"], shards[i]);
            Assert.InRange(new FileInfo(shards[i]).Length, 1, maxShardBytes);
            GgufFile shard = GgufReader.Read(shards[i]);
            Assert.Equal(
                ("UInt16", i),
                (
                    shard.Metadata.Single(e => e.Key == "split.no").Value.Type.ToString(),
                    (int)shard.GetInt64("split.no")!
                )
            );
            Assert.Equal(
                ("UInt16", shards.Count),
                (
                    shard.Metadata.Single(e => e.Key == "split.count").Value.Type.ToString(),
                    (int)shard.GetInt64("split.count")!
                )
            );
            Assert.Equal(
                ("Int32", file.Tensors.Count),
                (
                    shard.Metadata.Single(e => e.Key == "split.tensors.count").Value.Type.ToString(),
                    (int)shard.GetInt64("split.tensors.count")!
                )
            );

            byte[] bytes = File.ReadAllBytes(shards[i]);
            foreach (GgufTensor tensor in shard.Tensors)
            {
                GgufTensor original = file.Tensors.Single(t => t.Name == tensor.Name);
                Assert.Equal(original.ToString(), tensor.ToString());
                Assert.True(Data(bytes, shard, tensor).SequenceEqual(Data(whole, file, original)), tensor.Name);
                names.Add(tensor.Name);
            }
        }

        Assert.Equal(file.Tensors.Select(t => t.Name), names);
        GgufFile first = GgufReader.Read(shards[0]);
        Assert.Equal(file.Metadata.Select(e => e.Key), first.Metadata.Select(e => e.Key).SkipLast(3));
        Assert.All(
            file.Metadata.Zip(first.Metadata),
            pair => Assert.True(pair.First.Value.Bytes.SequenceEqual(pair.Second.Value.Bytes))
        );
        Assert.Equal(
            file.Tensors.Count,
            ModelFileCheck.Check(shards[0]).Shards.Sum(s => GgufReader.Read(s).Tensors.Count)
        );
    }

    [Fact]
    public void Too_small_shards_are_refused_with_what_is_needed()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], TinyModel.Spec);
        ArgumentOutOfRangeException e = Assert.Throws<ArgumentOutOfRangeException>(() =>
            GgufSplitter.Split(folder["tiny.gguf"], folder["part"], 1000)
        );
        Assert.Contains("token_embd.weight", e.Message, StringComparison.Ordinal);
        Assert.Single(Directory.GetFiles(folder[""]));
    }

    [Fact]
    public void A_shard_or_a_truncated_file_is_not_split()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], TinyModel.Spec);
        IReadOnlyList<string> shards = GgufSplitter.Split(folder["tiny.gguf"], folder["part"], 40_000);
        Assert.Throws<GgufFormatException>(() => GgufSplitter.Split(shards[0], folder["again"], 30_000));

        using (FileStream stream = File.OpenWrite(folder["tiny.gguf"]))
        {
            stream.SetLength(stream.Length - 100);
        }

        Assert.Throws<GgufFormatException>(() => GgufSplitter.Split(folder["tiny.gguf"], folder["again"], 40_000));
    }

    [Theory]
    [InlineData("a/b-00001-of-00003.gguf", "a/b", 0, 3)]
    [InlineData("x-00002-of-00002-00012-of-65535.gguf", "x-00002-of-00002", 11, 65535)]
    public void Names_of_shards_are_recognised(string path, string prefix, int index, int count)
    {
        GgufShardName? name = GgufShardName.Parse(path);
        Assert.Equal(new GgufShardName(prefix, index, count), name);
        Assert.Equal(path, name!.ToString());
    }

    [Theory]
    [InlineData("model.gguf")]
    [InlineData("m-00000-of-00003.gguf")]
    [InlineData("m-00004-of-00003.gguf")]
    [InlineData("m-1-of-3.gguf")]
    [InlineData("m-00001-of-99999.gguf")]
    [InlineData("m-00001-of-00003.gguf.part")]
    public void Other_names_are_not(string path) => Assert.Null(GgufShardName.Parse(path));

    private static ReadOnlySpan<byte> Data(byte[] bytes, GgufFile file, GgufTensor tensor) =>
        bytes.AsSpan((int)(file.DataOffset + tensor.Offset), (int)tensor.ByteLength);
}

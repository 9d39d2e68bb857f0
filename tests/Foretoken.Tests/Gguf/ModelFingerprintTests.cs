using Foretoken.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Gguf;

public class ModelFingerprintTests
{
    [Fact]
    public void Split_model_has_the_fingerprint_of_the_whole_one()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["whole.gguf"], TinyModel.Spec);
        IReadOnlyList<string> shards = GgufSplitter.Split(folder["whole.gguf"], folder["split"], 24_000);
        Assert.True(shards.Count > 2);

        Assert.Equal(ModelFingerprint.Compute(folder["whole.gguf"]), ModelFingerprint.Compute(shards[0]));
    }

    [Fact]
    public void Name_metadata_and_order_of_the_tensors_do_not_matter()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["a.gguf"], TinyModel.Spec);
        TinyModel.WriteVariant(folder["b.gguf"], ("general.name", GgufValue.From("another name")));
        Rewrite(folder["a.gguf"], folder["c.gguf"], tensors => tensors.Reverse());

        Assert.Equal(ModelFingerprint.Compute(folder["a.gguf"]), ModelFingerprint.Compute(folder["b.gguf"]));
        Assert.Equal(ModelFingerprint.Compute(folder["a.gguf"]), ModelFingerprint.Compute(folder["c.gguf"]));
    }

    [Fact]
    public void Changed_weight_of_a_small_tensor_changes_the_fingerprint()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["model.gguf"], TinyModel.Spec);
        string before = ModelFingerprint.Compute(folder["model.gguf"]);
        GgufFile header = GgufReader.Read(folder["model.gguf"]);
        foreach (GgufTensor tensor in header.Tensors)
        {
            long at = header.DataOffset + tensor.Offset + (tensor.ByteLength / 2);
            Flip(folder["model.gguf"], at);
            Assert.NotEqual(before, ModelFingerprint.Compute(folder["model.gguf"]));
            Flip(folder["model.gguf"], at);
        }

        Assert.Equal(before, ModelFingerprint.Compute(folder["model.gguf"]));
    }

    [Fact]
    public void Large_tensors_are_sampled_from_their_beginning_to_their_end()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["model.gguf"], TinyModel.Spec with { WeightType = GgufTensorType.F32 });
        string before = ModelFingerprint.Compute(folder["model.gguf"]);
        GgufFile header = GgufReader.Read(folder["model.gguf"]);
        GgufTensor large = header.Tensors.MaxBy(tensor => tensor.ByteLength)!;
        Assert.True(large.ByteLength > 64 * 1024);
        foreach (long at in new[] { 0, large.ByteLength / 3, large.ByteLength - 1 })
        {
            Flip(folder["model.gguf"], header.DataOffset + large.Offset + at);
            Assert.NotEqual(before, ModelFingerprint.Compute(folder["model.gguf"]));
            Flip(folder["model.gguf"], header.DataOffset + large.Offset + at);
        }
    }

    [Fact]
    public void Another_quantisation_or_other_weights_are_another_model()
    {
        using TemporaryFolder folder = new();
        string[] fingerprints =
        [
            Of(TinyModel.Spec),
            Of(TinyModel.Spec with { WeightType = GgufTensorType.Q80 }),
            Of(TinyModel.Spec with { Seed = 1 }),
        ];
        Assert.Equal(fingerprints.Length, fingerprints.Distinct().Count());
        Assert.All(fingerprints, fingerprint => Assert.Matches("^[0-9a-f]{64}$", fingerprint));

        string Of(SyntheticModelSpec spec)
        {
            SyntheticModel.Write(folder["model.gguf"], spec);
            return ModelFingerprint.Compute(folder["model.gguf"]);
        }
    }

    private static void Flip(string path, long offset)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.ReadWrite);
        stream.Position = offset;
        int value = stream.ReadByte();
        stream.Position = offset;
        stream.WriteByte((byte)(value ^ 1));
    }

    private static void Rewrite(
        string source,
        string target,
        Func<IEnumerable<GgufTensor>, IEnumerable<GgufTensor>> order
    )
    {
        byte[] bytes = File.ReadAllBytes(source);
        GgufFile file = GgufReader.Read(source);
        GgufWriter writer = new();
        foreach ((string key, GgufValue value) in file.Metadata)
        {
            writer.Set(key, value);
        }

        foreach (GgufTensor tensor in order(file.Tensors))
        {
            writer.AddTensor(tensor.Name, tensor.Type, [.. tensor.Shape]);
        }

        Dictionary<string, GgufTensor> sources = file.Tensors.ToDictionary(tensor => tensor.Name);
        writer.WriteFile(
            target,
            (tensor, output) =>
                output.Write(bytes, (int)(file.DataOffset + sources[tensor.Name].Offset), (int)tensor.ByteLength)
        );
    }
}

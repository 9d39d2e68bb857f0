using System.Runtime.InteropServices;
using Foretoken.Gguf;
using Foretoken.Plans;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

public class SyntheticModelTests
{
    [Fact]
    public void Every_named_shape_can_be_declared_and_is_about_as_large_as_its_name_says()
    {
        Dictionary<string, (double Min, double Max)> gigabytes = new()
        {
            ["smollm2-135m"] = (0.07, 0.08),
            ["llama-3.2-1b"] = (0.68, 0.72),
            ["llama-3.2-3b"] = (1.7, 1.9),
            ["llama-3.1-8b"] = (4.4, 4.7),
            // 70.6e9 and 405.9e9 weights of 4.5 bits
            ["llama-3.1-70b"] = (39.5, 40),
            ["llama-3.1-405b"] = (228, 229),
        };
        Assert.Equal(gigabytes.Keys.Order(), SyntheticModelSpec.Names.Order());
        foreach (string name in SyntheticModelSpec.Names)
        {
            double size = SyntheticModel.GetFileLength(SyntheticModelSpec.Parse(name)) / 1e9;
            Assert.InRange(size, gigabytes[name].Min, gigabytes[name].Max);
        }
    }

    [Theory]
    [InlineData("", 2)]
    [InlineData(",type=q8_0", 8)]
    [InlineData(",type=f16", 1)]
    [InlineData(",type=f32,tied=false", 0)]
    public void What_is_written_is_a_consistent_model(string settings, int type)
    {
        using TemporaryFolder folder = new();
        SyntheticModelSpec spec = SyntheticModelSpec.Parse(TinyModel.Text + settings);
        SyntheticModel.Write(folder["x.gguf"], spec);
        ModelFileInfo info = ModelFileCheck.Check(folder["x.gguf"]);
        Assert.Equal(spec.Shape, info.Shape);
        Assert.Equal(SyntheticModel.GetFileLength(spec), new FileInfo(folder["x.gguf"]).Length);
        Assert.Equal((GgufTensorType)type, info.Header.Tensors.Single(t => t.Name == "blk.2.ffn_down.weight").Type);
        Assert.Equal(!spec.TiesEmbeddings, info.Header.Tensors.Any(t => t.Name == "output.weight"));
    }

    [Fact]
    public void The_same_seed_gives_the_same_file_and_another_another()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["a.gguf"], TinyModel.Spec);
        SyntheticModel.Write(folder["b.gguf"], TinyModel.Spec);
        SyntheticModel.Write(folder["c.gguf"], TinyModel.Spec with { Seed = 1 });
        byte[] a = File.ReadAllBytes(folder["a.gguf"]);
        Assert.Equal(a, File.ReadAllBytes(folder["b.gguf"]));
        Assert.NotEqual(a, File.ReadAllBytes(folder["c.gguf"]));
    }

    [Theory]
    [InlineData("q4_0")]
    [InlineData("q8_0")]
    [InlineData("f16")]
    [InlineData("f32")]
    public void Weights_have_no_mean_and_the_variance_of_one_over_the_inputs(string type)
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(
            folder["x.gguf"],
            SyntheticModelSpec.Parse($"layers=1,embd=256,heads=4,ffn=512,vocab=320,type={type}")
        );
        GgufFile file = GgufReader.Read(folder["x.gguf"]);
        GgufTensor tensor = file.Tensors.Single(t => t.Name == "blk.0.ffn_up.weight");
        double[] weights = Dequantise(
            File.ReadAllBytes(folder["x.gguf"]).AsSpan((int)(file.DataOffset + tensor.Offset), (int)tensor.ByteLength),
            tensor.Type
        );
        Assert.Equal(256 * 512, weights.Length);
        double deviation = Math.Sqrt(weights.Average(w => w * w));
        Assert.InRange(deviation, 0.97 / 16, 1.06 / 16);
        // the mean of so many weights deviates by deviation / 362
        Assert.InRange(Math.Abs(weights.Average()), 0, 4 * deviation / 362);
    }

    [Fact]
    public void Settings_override_a_named_shape()
    {
        SyntheticModelSpec spec = SyntheticModelSpec.Parse("llama-3.2-1b, layers=4, seed=-3, ctx=1024, type=F16");
        Assert.Equal(4, spec.Shape.LayerCount);
        Assert.Equal(2048, spec.Shape.EmbeddingSize);
        Assert.Equal((-3, 1024, GgufTensorType.F16), (spec.Seed, spec.ContextSize, spec.WeightType));
        Assert.Equal(
            new ModelShape
            {
                LayerCount = 2,
                EmbeddingSize = 64,
                HeadCount = 4,
                KvHeadCount = 4,
                HeadSize = 16,
                FeedForwardSize = 96,
                VocabularySize = 320,
            },
            SyntheticModelSpec.Parse("layers=2,embd=64,heads=4,ffn=96,vocab=320").Shape
        );
    }

    [Theory]
    [InlineData("llama-99b", "llama-3.2-1b")]
    [InlineData("layers=2", "'embd' is missing")]
    [InlineData("layers=two,embd=64,heads=4,ffn=96,vocab=320", "layers=two")]
    [InlineData("layers=0,embd=64,heads=4,ffn=96,vocab=320", "positive")]
    [InlineData("smollm2-135m,colour=red", "colour")]
    [InlineData("smollm2-135m,type=q2_k", "q4_0")]
    [InlineData("smollm2-135m,tied=maybe", "true or false")]
    [InlineData("smollm2-135m,seed=x", "whole number")]
    [InlineData("smollm2-135m,layers=2,layers=3", "twice")]
    [InlineData("layers=2,smollm2-135m", "first")]
    public void A_specification_that_cannot_be_read_is_refused_with_what_is_possible(string text, string reason)
    {
        FormatException e = Assert.Throws<FormatException>(() => SyntheticModelSpec.Parse(text));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("layers=2,embd=66,heads=3,ffn=96,vocab=320")] // no multiple of a block
    [InlineData("layers=2,embd=64,heads=4,kv-heads=3,ffn=96,vocab=320")]
    [InlineData("layers=2,embd=64,heads=4,ffn=96,vocab=256")] // no room for control tokens
    [InlineData("layers=2,embd=96,heads=32,ffn=96,vocab=320")] // heads of 3
    public void Sizes_that_cannot_be_written_are_refused(string text)
    {
        using TemporaryFolder folder = new();
        Assert.Throws<ArgumentException>(() => SyntheticModel.Write(folder["x.gguf"], SyntheticModelSpec.Parse(text)));
        Assert.Empty(Directory.GetFiles(folder[""]));
    }

    [Fact]
    public void Cancelling_leaves_no_file()
    {
        using TemporaryFolder folder = new();
        Assert.Throws<OperationCanceledException>(() =>
            SyntheticModel.Write(folder["x.gguf"], TinyModel.Spec, new CancellationToken(canceled: true))
        );
        Assert.Empty(Directory.GetFiles(folder[""]));
    }

    private static double[] Dequantise(ReadOnlySpan<byte> data, GgufTensorType type)
    {
        List<double> weights = [];
        for (; data.Length > 0; data = data[type.BlockBytes()..])
        {
            switch (type)
            {
                case GgufTensorType.Q40:
                    double d = (double)MemoryMarshal.Read<Half>(data);
                    for (int i = 2; i < 18; i++)
                    {
                        weights.Add(d * ((data[i] & 15) - 8));
                        weights.Add(d * ((data[i] >> 4) - 8));
                    }

                    break;
                case GgufTensorType.Q80:
                    double scale = (double)MemoryMarshal.Read<Half>(data);
                    for (int i = 2; i < 34; i++)
                    {
                        weights.Add(scale * (sbyte)data[i]);
                    }

                    break;
                case GgufTensorType.F16:
                    weights.Add((double)MemoryMarshal.Read<Half>(data));
                    break;
                default:
                    weights.Add(MemoryMarshal.Read<float>(data));
                    break;
            }
        }

        return [.. weights];
    }
}

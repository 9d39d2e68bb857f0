using System.Text;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Gguf;

public class ModelFileCheckTests
{
    [Fact]
    public void A_good_file_passes_with_its_facts()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], TinyModel.Spec);
        ModelFileInfo info = ModelFileCheck.Check(folder["tiny.gguf"]);
        Assert.Equal("llama", info.Architecture);
        Assert.Equal(TinyModel.Spec.Shape, info.Shape);
        Assert.Equal(8192, info.TrainingContextSize);
        Assert.Null(info.StagingObstacle);
        Assert.Equal([folder["tiny.gguf"]], info.Shards);
        Assert.Equal(info.Header.Tensors.Sum(t => t.ByteLength), info.WeightBytes);
        Assert.True(info.EstimatedMemoryBytes > info.WeightBytes);
    }

    [Fact]
    public void A_missing_file_and_a_folder_are_not_found()
    {
        using TemporaryFolder folder = new();
        Assert.Contains(
            "no such file",
            Fails<ModelFileNotFoundException>(folder["absent.gguf"]).Message,
            StringComparison.Ordinal
        );
        Assert.Contains("folder", Fails<ModelFileNotFoundException>(folder[""]).Message, StringComparison.Ordinal);
        Fails<ModelFileNotFoundException>(folder["absent/absent.gguf"]);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void An_epsilon_that_no_norm_can_be_computed_with_is_refused_by_name(float epsilon)
    {
        using TemporaryFolder folder = new();
        const string Key = "llama.attention.layer_norm_rms_epsilon";
        TinyModel.WriteVariant(folder["x.gguf"], (Key, GgufValue.From(epsilon)));
        Assert.Contains(Key, Fails<ModelFileFormatException>(folder["x.gguf"]).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("# A text file renamed .gguf, with some more text", "Only GGUF")]
    [InlineData("version https://git-lfs.github.com/spec/v1", "git lfs pull")]
    [InlineData("<!DOCTYPE html><html>", "web page")]
    [InlineData("PK\u0003\u0004\u0014\0\0\0\0\0", "archive")]
    [InlineData("GGUF\u0003\0\0\0", "Download")]
    public void What_is_no_model_is_refused_with_advice(string content, string advice)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["x.gguf"], content, new UTF8Encoding(false));
        ModelFileFormatException e = Fails<ModelFileFormatException>(folder["x.gguf"]);
        Assert.Contains(advice, e.Advice, StringComparison.Ordinal);
        Assert.IsType<GgufFormatException>(e.InnerException);
        Assert.Equal(folder["x.gguf"], e.Path);
    }

    [Fact]
    public void A_truncated_file_is_refused_with_both_lengths()
    {
        using TemporaryFolder folder = new();
        byte[] bytes = TinyModel.Bytes();
        File.WriteAllBytes(folder["x.gguf"], bytes[..^1000]);
        ModelFileTruncatedException e = Fails<ModelFileTruncatedException>(folder["x.gguf"]);
        Assert.Equal(bytes.Length - 1000, e.ActualBytes);
        Assert.InRange(e.RequiredBytes, bytes.Length - 31, bytes.Length);
    }

    [Theory]
    [InlineData("mamba", "recurrent")]
    [InlineData("gemma2", "sliding")]
    [InlineData("deepseek2", "MLA")]
    [InlineData("bert", "encoder")]
    [InlineData("llada", "diffusion")]
    public void An_architecture_that_cannot_be_staged_is_refused_unless_staging_is_off(
        string architecture,
        string reason
    )
    {
        using TemporaryFolder folder = new();
        TinyModel.WriteVariant(folder["x.gguf"], ("general.architecture", GgufValue.From(architecture)));
        ModelFileUnsupportedException e = Fails<ModelFileUnsupportedException>(folder["x.gguf"]);
        Assert.Equal(architecture, e.Architecture);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);

        ModelFileInfo info = ModelFileCheck.Check(folder["x.gguf"], new() { RequireStaging = false });
        Assert.Contains(reason, info.StagingObstacle!, StringComparison.Ordinal);
        Assert.Null(info.Shape);
    }

    [Fact]
    public void An_unknown_architecture_is_refused_always()
    {
        using TemporaryFolder folder = new();
        TinyModel.WriteVariant(folder["x.gguf"], ("general.architecture", GgufValue.From("llama99")));
        Fails<ModelFileUnsupportedException>(folder["x.gguf"]);
        Assert.Throws<ModelFileUnsupportedException>(() =>
            ModelFileCheck.Check(folder["x.gguf"], new() { RequireStaging = false })
        );
    }

    public static TheoryData<string, object?> Contradictions =>
        new()
        {
            { "general.architecture", null },
            { "general.architecture", GgufValue.From(1) },
            { "llama.block_count", null },
            { "llama.block_count", GgufValue.From(4u) },
            { "llama.block_count", GgufValue.From(2u) },
            { "llama.block_count", GgufValue.From(0u) },
            { "llama.block_count", GgufValue.From(ulong.MaxValue) },
            { "llama.embedding_length", GgufValue.From(128u) },
            { "llama.attention.head_count", GgufValue.From("four") },
            { "llama.attention.head_count_kv", GgufValue.From(3u) },
            { "llama.feed_forward_length", GgufValue.From(-1) },
            { "tokenizer.ggml.model", null },
            { "tokenizer.ggml.tokens", null },
            { "tokenizer.ggml.tokens", GgufValue.FromArray<int>([1, 2, 3]) },
            { "tokenizer.ggml.tokens", GgufValue.FromStrings([.. Enumerable.Range(0, 321).Select(i => $"{i}")]) },
            { "tokenizer.ggml.merges", null },
            { "tokenizer.ggml.merges", GgufValue.From("a b") },
            { "tokenizer.ggml.token_type", GgufValue.FromArray<float>([1]) },
            { "tokenizer.ggml.token_type", GgufValue.FromArray<int>([1, 1]) },
            { "tokenizer.ggml.scores", GgufValue.FromArray<int>([1]) },
        };

    [Theory]
    [MemberData(nameof(Contradictions))]
    public void A_header_that_contradicts_itself_is_refused(string key, object? value)
    {
        using TemporaryFolder folder = new();
        TinyModel.WriteVariant(folder["x.gguf"], (key, (GgufValue?)value));
        Fails<ModelFileFormatException>(folder["x.gguf"]);
    }

    [Fact]
    public void A_model_beyond_the_memory_is_refused_with_both_sizes()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], TinyModel.Spec);
        ModelFileTooLargeException e = Assert.Throws<ModelFileTooLargeException>(() =>
            ModelFileCheck.Check(folder["tiny.gguf"], new() { AvailableMemoryBytes = 1000 })
        );
        Assert.Equal(1000, e.AvailableBytes);
        Assert.True(e.RequiredBytes > 1000);
    }

    [Fact]
    public void More_context_needs_more_memory_and_a_gpu_takes_it_over()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], TinyModel.Spec);
        long Estimate(ModelFileCheckOptions options) =>
            ModelFileCheck.Check(folder["tiny.gguf"], options).EstimatedMemoryBytes;

        long small = Estimate(new() { ContextSize = 1000 });
        // 3 layers, keys and values, 2 KV heads of 16, 2 bytes
        Assert.Equal(3 * 2 * 32 * 2 * 1000, Estimate(new() { ContextSize = 2000 }) - small);
        Assert.True(Estimate(new() { ContextSize = 1000, GpuLayers = 2 }) < small);
        Assert.True(
            Estimate(new() { ContextSize = 1000, GpuLayers = -1 })
                < Estimate(new() { ContextSize = 1000, GpuLayers = 2 })
        );
    }

    [Fact]
    public void A_split_model_is_checked_as_a_whole()
    {
        using TemporaryFolder folder = new();
        SyntheticModel.Write(folder["tiny.gguf"], TinyModel.Spec);
        IReadOnlyList<string> shards = GgufSplitter.Split(folder["tiny.gguf"], folder["part"], 30_000);
        Assert.True(shards.Count >= 3);
        ModelFileInfo whole = ModelFileCheck.Check(folder["tiny.gguf"]);
        ModelFileInfo split = ModelFileCheck.Check(shards[0]);
        Assert.Equal(shards, split.Shards);
        Assert.Equal(
            (whole.WeightBytes, whole.ParameterCount, whole.Shape),
            (split.WeightBytes, split.ParameterCount, split.Shape)
        );

        Assert.Contains(shards[0], Fails<ModelFileFormatException>(shards[1]).Advice, StringComparison.Ordinal);

        File.Copy(shards[0], folder["renamed.gguf"]);
        Assert.Contains(
            "-00001-of-",
            Fails<ModelFileFormatException>(folder["renamed.gguf"]).Advice,
            StringComparison.Ordinal
        );

        byte[] second = File.ReadAllBytes(shards[1]);
        File.WriteAllBytes(shards[1], second[..^200]);
        Assert.Equal(shards[1], Fails<ModelFileTruncatedException>(shards[0]).Path);

        File.Copy(shards[2], shards[1], overwrite: true);
        Fails<ModelFileFormatException>(shards[0]);

        File.Delete(shards[1]);
        Assert.Equal(shards[1], Fails<ModelFileNotFoundException>(shards[0]).Path);
    }

    [Fact]
    public void Random_damage_passes_or_is_a_model_file_exception()
    {
        using TemporaryFolder folder = new();
        byte[] original = TinyModel.Bytes();
        int header = (int)GgufReader.Read(new MemoryStream(original)).DataOffset;
        Random random = new(7);
        int refused = 0;
        for (int round = 0; round < 500; round++)
        {
            byte[] bytes = [.. original];
            GgufReaderTests.Damage(bytes, header, random);
            File.WriteAllBytes(folder["x.gguf"], bytes);
            try
            {
                ModelFileCheck.Check(folder["x.gguf"]);
            }
            catch (ModelFileException e)
            {
                Assert.NotEmpty(e.Advice);
                refused++;
            }
        }

        Assert.InRange(refused, 50, 500);
    }

    [Fact]
    public void The_model_in_the_repository_passes()
    {
        ModelFileInfo info = ModelFileCheck.Check(
            Path.Combine(Repository.Root, "samples", "models", "SmolLM2-135M-Instruct.Q4_1-00001-of-00003.gguf")
        );
        Assert.Equal(SyntheticModelSpec.Parse("smollm2-135m").Shape, info.Shape);
        Assert.Equal(134_515_008, info.ParameterCount);
        Assert.Equal(272, info.Header.GetInt64("split.tensors.count"));
    }

    private static T Fails<T>(string path)
        where T : ModelFileException => Assert.Throws<T>(() => ModelFileCheck.Check(path));
}

using Foretoken.Gguf;
using Foretoken.Machine;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Machine;

public sealed class WeightKernelsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Weights_without_a_kernel_name_the_types_that_have_one()
    {
        IReadOnlyList<WeightKernel> kernels = WeightKernels.Find(
            Tensors(),
            (type, _, _) => type is GgufTensorType.Q80 or GgufTensorType.IQ4NL ? "fast" : null
        );

        WeightKernel only = Assert.Single(kernels);
        Assert.Equal("q4_0", only.Type);
        Assert.Null(only.Kernel);
        Assert.Equal(["iq4_nl", "q8_0"], only.FasterTypes);
        Assert.Same(only, WeightKernels.FindSlow(kernels));
    }

    [Fact]
    public void A_type_that_only_some_of_the_shapes_have_a_kernel_for_is_not_advised()
    {
        // the feed-forward block's matrices are of another shape than those of attention
        IReadOnlyList<WeightKernel> kernels = WeightKernels.Find(
            Tensors(),
            (type, inputs, outputs) =>
                type == GgufTensorType.Q80 || (type == GgufTensorType.IQ4NL && inputs == outputs) ? "fast" : null
        );

        Assert.Equal(["q8_0"], Assert.Single(kernels).FasterTypes);
    }

    [Fact]
    public void Only_weights_that_each_token_of_a_prompt_is_multiplied_with_count()
    {
        IReadOnlyList<WeightKernel> kernels = WeightKernels.Find(Tensors(), (_, _, _) => "fast");

        WeightKernel only = Assert.Single(kernels);
        // 3 layers of query, key, value, output, gate, up and down; neither embeddings nor norms
        Assert.Equal(21, only.TensorCount);
        Assert.Empty(only.FasterTypes);
        Assert.Null(WeightKernels.FindSlow(kernels));
    }

    [Fact]
    public void The_backend_in_use_is_of_the_build_that_was_loaded()
    {
        CpuBackend backend = WeightKernels.GetBackend();

        Assert.Contains("ggml-cpu", backend.Library, StringComparison.Ordinal);
        Assert.True(
            File.Exists(Path.Combine(Path.GetDirectoryName(ForetokenModel.GetNativeLibrary().Path)!, backend.Library))
        );
        Assert.Contains("REPACK", backend.Features);
        if (HostProcessor.FindSupport() is { Libraries: [{ } only] })
        {
            Assert.Equal(only.Features.Contains("avx2"), backend.Features.Contains("AVX2"));
            Assert.Equal(only.Features.Contains("amx_int8"), backend.Features.Contains("AMX_INT8"));
        }
    }

    [Fact]
    public void Kernels_are_those_of_the_features_that_the_backend_was_compiled_with()
    {
        SyntheticModel.Write(_folder["tiny.gguf"], TinyModel.Spec);
        IReadOnlyList<string> features = WeightKernels.GetBackend().Features;

        WeightKernel kernel = Assert.Single(WeightKernels.Find(ModelFileCheck.Check(_folder["tiny.gguf"])));

        Assert.Equal("q4_0", kernel.Type);
        if (features.Contains("AMX_INT8"))
        {
            Assert.Equal("AMX", kernel.Kernel);
        }
        else if (features.Contains("AVX2") || features.Contains("DOTPROD"))
        {
            Assert.Equal("CPU_REPACK", kernel.Kernel);
        }
    }

    [Fact]
    public void The_model_of_the_samples_is_told_of_where_the_processor_has_no_kernel_for_its_weights()
    {
        ModelFileInfo file = ModelFileCheck.Check(TestModel.FindPath());
        IReadOnlyList<WeightKernel> kernels = WeightKernels.Find(file);

        // of every layer the seven matrices, over all shards
        Assert.Equal(7 * file.Shape!.LayerCount, kernels.Sum(kernel => kernel.TensorCount));
        using ForetokenModel model = ForetokenModel.Load(file.Path, new ModelOptions { VocabularyOnly = true });
        Assert.Equal(WeightKernels.FindSlow(kernels)?.Type, model.FindSlowWeights()?.Type);
    }

    private static IReadOnlyList<GgufTensor> Tensors() => GgufReader.Read(new MemoryStream(TinyModel.Bytes())).Tensors;
}

using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Interop;

namespace Foretoken.Machine;

/// <summary>Which of the CPU backend's kernels a model meets on this machine. Thread-safe.</summary>
internal static class WeightKernels
{
    // what models are commonly quantised to, fewest bits first
    private static readonly GgufTensorType[] Common =
    [
        GgufTensorType.Q40,
        GgufTensorType.IQ4NL,
        GgufTensorType.Q41,
        GgufTensorType.Q4K,
        GgufTensorType.Q50,
        GgufTensorType.Q5K,
        GgufTensorType.Q6K,
        GgufTensorType.Q80,
    ];

    /// <summary>
    /// Looks at the weights that every row of a prompt is multiplied with: the matrices of the layers. Weights that are computed
    /// on other devices count as if they were on the processor.
    /// </summary>
    /// <param name="file">The model; its headers are read again.</param>
    /// <returns>For each type and kernel, most bytes first.</returns>
    /// <exception cref="NativeLibraryException">The native library could not be loaded.</exception>
    /// <exception cref="IOException">A file of the model could not be read.</exception>
    /// <exception cref="GgufFormatException">A file of the model is damaged.</exception>
    public static IReadOnlyList<WeightKernel> Find(ModelFileInfo file)
    {
        ArgumentNullException.ThrowIfNull(file);
        NativeLoader.EnsureLoaded();
        return Find(file.Shards.SelectMany(shard => GgufReader.Read(shard).Tensors), FindKernel);
    }

    /// <summary>What the CPU backend in use is made of.</summary>
    /// <exception cref="NativeLibraryException">The native library could not be loaded.</exception>
    public static unsafe CpuBackend GetBackend()
    {
        NativeLoader.EnsureLoaded();
        string json = NativeCall.ReadText(NativeMethods.ftk_cpu_info);
        return System.Text.Json.JsonSerializer.Deserialize(json, MachineJsonContext.Default.CpuBackend)!;
    }

    /// <param name="tensors">All tensors of a model.</param>
    /// <param name="findKernel">The kernel for a type and a matrix of so many inputs and outputs; null for none.</param>
    internal static IReadOnlyList<WeightKernel> Find(
        IEnumerable<GgufTensor> tensors,
        Func<GgufTensorType, long, long, string?> findKernel
    )
    {
        // asked once for each type and shape: a model has hundreds of tensors of a few shapes
        Dictionary<(GgufTensorType, long, long), string?> known = [];
        string? KernelOf(GgufTensorType type, GgufTensor tensor)
        {
            (GgufTensorType, long, long) key = (type, tensor.Shape[0], tensor.Shape[1]);
            if (!known.TryGetValue(key, out string? kernel))
            {
                kernel = key.Item2 % type.BlockLength() == 0 ? findKernel(type, key.Item2, key.Item3) : null;
                known.Add(key, kernel);
            }
            return kernel;
        }

        return
        [
            .. tensors
                .Where(IsMultiplied)
                .GroupBy(tensor => (tensor.Type, Kernel: KernelOf(tensor.Type, tensor)))
                .Select(group => new WeightKernel
                {
                    Type = group.Key.Type.Name(),
                    TensorCount = group.Count(),
                    Bytes = group.Sum(tensor => tensor.ByteLength),
                    Kernel = group.Key.Kernel,
                    FasterTypes = group.Key.Kernel is not null
                        ? []
                        :
                        [
                            .. Common
                                .Where(type => group.All(tensor => KernelOf(type, tensor) is not null))
                                .Select(type => type.Name()),
                        ],
                })
                .OrderByDescending(kernel => kernel.Bytes),
        ];
    }

    /// <summary>The kernels of which a model has most, where most of its weights have none; null where they have.</summary>
    internal static WeightKernel? FindSlow(IReadOnlyList<WeightKernel> kernels)
    {
        long slow = kernels.Where(kernel => kernel.Kernel is null).Sum(kernel => kernel.Bytes);
        return 2 * slow > kernels.Sum(kernel => kernel.Bytes) ? kernels.First(kernel => kernel.Kernel is null) : null;
    }

    // embeddings are looked up, and of the output matrix only the last row of a prompt needs the product
    private static bool IsMultiplied(GgufTensor tensor) =>
        tensor.Shape.Count >= 2
        && tensor.Shape[1] > 1
        && tensor.Name.StartsWith("blk.", StringComparison.Ordinal)
        && tensor.Name.EndsWith(".weight", StringComparison.Ordinal);

    private static unsafe string? FindKernel(GgufTensorType type, long inputs, long outputs)
    {
        string kernel = NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_cpu_kernel((int)type, inputs, outputs, buffer, capacity, out needed)
        );
        return kernel.Length == 0 ? null : kernel;
    }
}

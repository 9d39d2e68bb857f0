namespace Foretoken.Machine;

/// <summary>How the products of a model's weights of one type are computed on this machine's processor. Immutable.</summary>
internal sealed record WeightKernel
{
    /// <summary>Type of the weights as ggml names it, for example <c>q4_1</c>.</summary>
    public required string Type { get; init; }

    /// <summary>Tensors of this type that are multiplied with every row of a prompt.</summary>
    public required int TensorCount { get; init; }

    /// <summary>Their bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>
    /// The kernel that multiplies them with several rows of a prompt at once, for example <c>CPU_REPACK</c>, <c>AMX</c> or
    /// <c>tinyBLAS</c>; null where there is none, so that a prompt takes as long per token as an answer computes.
    /// </summary>
    public required string? Kernel { get; init; }

    /// <summary>Of the common quantisations, those that have such a kernel here; empty where <see cref="Kernel"/> is not null.</summary>
    public required IReadOnlyList<string> FasterTypes { get; init; }
}

using Foretoken.Plans;

namespace Foretoken.Gguf;

/// <summary>What <see cref="ModelFileCheck"/> found out about a model. Immutable.</summary>
internal sealed record ModelFileInfo
{
    /// <summary>The file; of a split model, its first shard.</summary>
    public required string Path { get; init; }

    /// <summary>All files of the model, in order.</summary>
    public required IReadOnlyList<string> Shards { get; init; }

    /// <summary>Header of the first file, which has the model's metadata.</summary>
    public required GgufFile Header { get; init; }

    /// <summary>Architecture, for example <c>llama</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Why the prefill of this model cannot be staged; <see langword="null"/> where nothing speaks against it.</summary>
    public required string? StagingObstacle { get; init; }

    /// <summary>The model's sizes; <see langword="null"/> where <see cref="StagingObstacle"/> is not.</summary>
    public required ModelShape? Shape { get; init; }

    /// <summary>Tokens of context that the model was trained for; 0 when the file does not say.</summary>
    public required int TrainingContextSize { get; init; }

    /// <summary>Number of weights.</summary>
    public required long ParameterCount { get; init; }

    /// <summary>Bytes of all tensors.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Estimated bytes of main memory: weights, KV cache and buffers, without what goes to a GPU.</summary>
    public required long EstimatedMemoryBytes { get; init; }
}

namespace Foretoken.Gguf;

/// <summary>What <see cref="ModelFileCheck"/> shall insist on.</summary>
internal sealed record ModelFileCheckOptions
{
    /// <summary>Whether an architecture whose prefill cannot be staged is an error. Default <see langword="true"/>.</summary>
    public bool RequireStaging { get; init; } = true;

    /// <summary>Tokens of context for which the KV cache is counted. Default 0: the smaller of the model's own and 8,192.</summary>
    public int ContextSize { get; init; }

    /// <summary>Bytes of one number in the KV cache. Default 2 (f16).</summary>
    public double KvBytesPerNumber { get; init; } = 2;

    /// <summary>Layers that go to a GPU and are not counted against main memory; negative for all. Default 0.</summary>
    public int GpuLayers { get; init; }

    /// <summary>
    /// Bytes of main memory that may be used. Default <see langword="null"/>: what the machine, or the container's limit, has.
    /// <see cref="long.MaxValue"/> turns the check off.
    /// </summary>
    public long? AvailableMemoryBytes { get; init; }
}

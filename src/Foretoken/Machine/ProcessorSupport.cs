namespace Foretoken.Machine;

/// <summary>What the processor and its operating system offer, against what the native library was compiled for. Immutable.</summary>
internal sealed record ProcessorSupport
{
    /// <summary>The folder of the native library.</summary>
    public required string LibraryFolder { get; init; }

    /// <summary>
    /// Features of the processor whose registers the operating system saves, of those that compilers and kernels use; named as in
    /// <c>/proc/cpuinfo</c>, for example <c>avx512f</c>.
    /// </summary>
    public required IReadOnlyList<string> Found { get; init; }

    /// <summary>The CPU backends of the build: one, or a variant for each kind of processor, of which the best that fits is used.</summary>
    public required IReadOnlyList<CompiledLibrary> Libraries { get; init; }

    /// <summary>What is missing for any of them to run; empty when the library can be used.</summary>
    public required IReadOnlyList<string> Missing { get; init; }
}

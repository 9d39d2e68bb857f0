using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Machine;

namespace Foretoken.Cli.Doctor;

/// <summary>What <c>foretoken doctor --json</c> prints.</summary>
internal sealed record DoctorReport
{
    /// <summary>Version of this program.</summary>
    public required string Version { get; init; }
    public required string OperatingSystem { get; init; }
    public required string Runtime { get; init; }

    public required DoctorProcessor Processor { get; init; }
    public required DoctorMemory Memory { get; init; }
    public required DoctorLibrary Library { get; init; }

    /// <summary>Devices that the library can compute on; empty when it cannot be loaded.</summary>
    public required IReadOnlyList<DeviceInfo> Devices { get; init; }

    /// <summary>The model that was looked at; null when there is none.</summary>
    public required DoctorModel? Model { get; init; }

    /// <summary>What is wrong, or slower than it could be, each with what to do; empty when nothing is.</summary>
    public required IReadOnlyList<string> Findings { get; init; }

    internal string ToJson() => JsonSerializer.Serialize(this, DoctorJsonContext.Default.DoctorReport);
}

/// <summary>The processor, and how much of it this process may use.</summary>
internal sealed record DoctorProcessor
{
    public required string Name { get; init; }
    public required string Architecture { get; init; }

    /// <summary>Logical processors that the process may run on.</summary>
    public required int Processors { get; init; }

    /// <summary>Processors' worth of time that a container or service manager allows; null for no limit.</summary>
    public required double? Limit { get; init; }

    /// <summary>Features that processor and operating system offer; null without a native library to ask.</summary>
    public required IReadOnlyList<string>? Features { get; init; }
}

/// <summary>Memory in bytes.</summary>
internal sealed record DoctorMemory
{
    /// <summary>What this process may use.</summary>
    public required long TotalBytes { get; init; }

    /// <summary>What the machine has left; null where the system does not say.</summary>
    public required long? FreeBytes { get; init; }

    /// <summary>What a container or service manager allows; null for no limit.</summary>
    public required long? LimitBytes { get; init; }
}

/// <summary>The native library.</summary>
internal sealed record DoctorLibrary
{
    /// <summary>The file in use; null when it cannot be loaded.</summary>
    public required string? Path { get; init; }
    public required string? Release { get; init; }
    public required string? PatchHash { get; init; }

    /// <summary>Compiler, options, backends.</summary>
    public required JsonElement? Build { get; init; }

    /// <summary>The CPU backends in its folder, with what each was compiled for.</summary>
    public required IReadOnlyList<CompiledLibrary> Compiled { get; init; }

    /// <summary>The CPU backend in use, with what its kernels use.</summary>
    public required CpuBackend? Kernels { get; init; }

    /// <summary>Why it cannot be loaded; null when it is.</summary>
    public required string? Error { get; init; }
}

/// <summary>The model, and what it needs.</summary>
internal sealed record DoctorModel
{
    public required string Path { get; init; }
    public required string Architecture { get; init; }
    public required long WeightBytes { get; init; }

    /// <summary>Tokens of context that are counted.</summary>
    public required int ContextSize { get; init; }

    /// <summary>Weights, KV cache of the context, and buffers.</summary>
    public required long NeededBytes { get; init; }

    /// <summary>For each type of weights the kernel that they meet here; empty when the library cannot be loaded.</summary>
    public required IReadOnlyList<WeightKernel> Kernels { get; init; }

    /// <summary>Why prefill cannot be staged; null when it can.</summary>
    public required string? StagingObstacle { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DoctorReport))]
internal sealed partial class DoctorJsonContext : JsonSerializerContext;

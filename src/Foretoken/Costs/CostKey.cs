using System.Security.Cryptography;
using System.Text;
using Foretoken.Gguf;
using Foretoken.Plans;

namespace Foretoken.Costs;

/// <summary>Everything that the time of a prefill depends on, beside the prompt. A cost profile is for one of these.</summary>
internal sealed record CostKey
{
    /// <summary>Fingerprint of the weights (<see cref="ModelFingerprint"/>).</summary>
    public required string Model { get; init; }
    public required string Processor { get; init; }
    public required int Cores { get; init; }

    /// <summary>Threads that were asked for; 0 for the default of this machine.</summary>
    public required int Threads { get; init; }

    /// <summary>Where layers are computed, for example <c>host</c>.</summary>
    public required string Devices { get; init; }

    /// <summary>First layer that is not on the host; the number of layers when all are.</summary>
    public required int FirstDeviceLayer { get; init; }
    public required int UBatchSize { get; init; }
    public required string KvCacheType { get; init; }
    public required string FlashAttention { get; init; }

    /// <summary>Release, patches and build of the native library.</summary>
    public required string NativeBuild { get; init; }

    /// <summary>Fingerprints of the LoRA adapters, whatever their scales; empty for the model alone.</summary>
    public string Adapters { get; init; } = "";

    /// <summary>How layers are computed, for the planner.</summary>
    internal PrefillLayout LayoutOf(ModelShape shape) => PrefillLayout.Of(shape, FirstDeviceLayer, UBatchSize);

    /// <summary>Name of the file, the same for equal keys.</summary>
    internal string FileName(string modelName) =>
        $"{modelName}-{Hash(string.Join('\n', Model, Processor, Cores, Threads, Devices, FirstDeviceLayer, UBatchSize, KvCacheType, FlashAttention, NativeBuild) + (Adapters.Length > 0 ? $"\n{Adapters}" : ""))}.json";

    internal static string Hash(string text) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
}

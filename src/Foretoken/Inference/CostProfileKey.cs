using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Foretoken.Planning;

namespace Foretoken.Inference;

/// <summary>Everything that the time of a prefill depends on, beside the prompt. A cost profile is for one of these.</summary>
internal sealed record CostProfileKey
{
    /// <summary>Fingerprint of the weights (<see cref="Profiles.ModelFingerprint"/>).</summary>
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

    /// <summary>The key of sessions on a model.</summary>
    /// <param name="fingerprint">Fingerprint of the weights.</param>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="model">How the model is loaded.</param>
    /// <param name="session">How its sessions are created.</param>
    /// <param name="library">The native library.</param>
    internal static CostProfileKey Create(
        string fingerprint,
        ModelShape shape,
        ModelOptions model,
        SessionOptions session,
        NativeLibraryInfo library
    )
    {
        return new CostProfileKey
        {
            Model = fingerprint,
            Processor = HostProcessor.Name,
            Cores = Environment.ProcessorCount,
            Threads = session.BatchThreads > 0 ? session.BatchThreads : session.Threads,
            Devices = DescribeDevices(model, session),
            FirstDeviceLayer = FirstOffloaded(model, shape.LayerCount),
            UBatchSize = Math.Min(session.UBatchSize, session.BatchSize),
            KvCacheType = session.KvCacheType.ToString(),
            FlashAttention = session.FlashAttention.ToString(),
            NativeBuild = $"{library.LlamaRelease} {library.PatchHash} {Hash(library.BuildInfo)}",
        };
    }

    /// <summary>How layers are computed, for the planner.</summary>
    internal PrefillLayout LayoutOf(ModelShape shape) => PrefillLayout.Of(shape, FirstDeviceLayer, UBatchSize);

    /// <summary>Name of the file, the same for equal keys.</summary>
    internal string FileName(string modelName) =>
        $"{modelName}-{Hash(string.Join('\n', Model, Processor, Cores, Threads, Devices, FirstDeviceLayer, UBatchSize, KvCacheType, FlashAttention, NativeBuild) + (Adapters.Length > 0 ? $"\n{Adapters}" : ""))}.json";

    private static string DescribeDevices(ModelOptions model, SessionOptions session)
    {
        StringBuilder text = new();
        if (model.OffloadedLayers != 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"gpu layers {model.OffloadedLayers}");
            text.Append(session.OffloadKvCache ? "" : ", KV cache on the host");
            foreach (DeviceInfo device in ForetokenModel.GetDevices().Where(IsLocal))
            {
                text.Append(CultureInfo.InvariantCulture, $", {device.Name} {device.Description}");
            }
        }
        Append("devices", model.Devices);
        Append("rpc", model.RpcServers);
        return text.Length == 0 ? "host" : text.ToString();

        // servers are listed only once a model has named them, and are appended by their addresses
        static bool IsLocal(DeviceInfo device) =>
            device.Type != "cpu" && !device.Name.StartsWith("RPC", StringComparison.Ordinal);

        void Append(string what, IReadOnlyList<string>? names)
        {
            if (names is { Count: > 0 })
            {
                text.Append(text.Length > 0 ? ", " : "").Append(what).Append(' ').AppendJoin(' ', names);
            }
        }
    }

    // llama.cpp offloads the layers from the last one on; the output counts as one more
    private static int FirstOffloaded(ModelOptions model, int layerCount) =>
        model.OffloadedLayers < 0 ? 0 : Math.Clamp(layerCount + 1 - model.OffloadedLayers, 0, layerCount);

    private static string Hash(string text) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
}

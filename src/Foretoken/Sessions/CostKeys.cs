using System.Globalization;
using System.Text;
using Foretoken.Costs;
using Foretoken.Interop;
using Foretoken.Machine;
using Foretoken.Plans;

namespace Foretoken.Sessions;

/// <summary>What the times of a session belong to.</summary>
internal static class CostKeys
{
    /// <summary>The key of sessions on a model.</summary>
    /// <param name="fingerprint">Fingerprint of the weights.</param>
    /// <param name="shape">The model's sizes.</param>
    /// <param name="model">How the model is loaded.</param>
    /// <param name="session">How its sessions are created.</param>
    /// <param name="library">The native library.</param>
    internal static CostKey Of(
        string fingerprint,
        ModelShape shape,
        ModelOptions model,
        SessionOptions session,
        NativeLibraryInfo library
    )
    {
        return new CostKey
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
            NativeBuild = $"{library.LlamaRelease} {library.PatchHash} {CostKey.Hash(library.BuildInfo)}",
        };
    }

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
}

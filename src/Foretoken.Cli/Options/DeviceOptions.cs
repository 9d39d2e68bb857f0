using System.CommandLine;
using Foretoken.Cli.Console;

namespace Foretoken.Cli.Options;

/// <summary><c>--gpu-layers</c>, <c>--device</c> and <c>--rpc</c>, of every command that computes with a model.</summary>
internal sealed class DeviceOptions
{
    private readonly Option<int> _gpuLayers = new("--gpu-layers")
    {
        HelpName = "n",
        Description =
            "Layers on the GPU, or on the devices and servers that are named; -1 for all. Default: all where any are named, otherwise none.",
    };
    private readonly Option<string[]> _devices = NameList.Option(
        "--device",
        "name,...",
        "Devices that take layers, such as CUDA0 or RPC0. Default: those of --rpc, then all GPUs."
    );
    private readonly Option<string[]> _rpcServers = NameList.Option(
        "--rpc",
        "host:port,...",
        "RPC servers that take layers; './run rpc-server' starts one."
    );

    internal DeviceOptions() => _gpuLayers.Whole(-1);

    internal void AddTo(Command command)
    {
        command.Add(_gpuLayers);
        command.Add(_devices);
        command.Add(_rpcServers);
    }

    internal DeviceChoice Read(ParseResult parsed) =>
        new()
        {
            GpuLayers = parsed.GetValue(_gpuLayers),
            Devices = parsed.GetValue(_devices) ?? [],
            RpcServers = parsed.GetValue(_rpcServers) ?? [],
        };
}

using Foretoken.Sessions;

namespace Foretoken.Cli.Options;

/// <summary>Where layers are computed; the defaults are those of <see cref="ModelOptions"/>.</summary>
internal sealed record DeviceChoice
{
    public int GpuLayers { get; init; }
    public IReadOnlyList<string> Devices { get; init; } = [];
    public IReadOnlyList<string> RpcServers { get; init; } = [];

    /// <summary>Adds the choice to the options of a model.</summary>
    /// <returns><paramref name="options"/>.</returns>
    internal ModelOptions ApplyTo(ModelOptions options)
    {
        options.GpuLayers = GpuLayers;
        options.Devices = Devices;
        options.RpcServers = RpcServers;
        return options;
    }
}

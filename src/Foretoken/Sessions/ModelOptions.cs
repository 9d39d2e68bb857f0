using Foretoken.Costs;
using Foretoken.Errors;

namespace Foretoken.Sessions;

/// <summary>How a model is loaded. All of it is fixed once the model is loaded.</summary>
public sealed class ModelOptions
{
    private int _gpuLayers;
    private string? _profilePath;
    private string? _cacheFolder;

    /// <summary>
    /// Layers whose weights go to the GPU, or to the devices and servers that are named; -1 for all. Default 0: all of them when
    /// <see cref="Devices"/> or <see cref="RpcServers"/> name any, otherwise none.
    /// </summary>
    /// <remarks>
    /// Where there is no device for them, loading fails with <see cref="DeviceUnavailableException"/>; it never falls back to
    /// the CPU.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">Less than -1.</exception>
    public int GpuLayers
    {
        get => _gpuLayers;
        set => _gpuLayers = OptionCheck.AtLeast(value, -1);
    }

    /// <summary>Map the file into memory instead of reading it. Default true.</summary>
    public bool UseMemoryMap { get; set; } = true;

    /// <summary>Keep the weights in RAM, never swapped out. Default false.</summary>
    public bool UseMemoryLock { get; set; }

    /// <summary>Load the vocabulary only: enough to tokenise, not to compute. Default false.</summary>
    public bool VocabularyOnly { get; set; }

    /// <summary>
    /// The model's profile, which <c>foretoken tune</c> makes. Default null: <c>model.foretoken.gguf</c> beside
    /// <c>model.gguf</c>, where there is one.
    /// </summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string? ProfilePath
    {
        get => _profilePath;
        set => _profilePath = OptionCheck.NotEmpty(value);
    }

    /// <summary>
    /// Whether a profile is used. Default true. False: none is looked for, and <see cref="ProfilePath"/> does not matter.
    /// </summary>
    public bool UseProfile { get; set; } = true;

    /// <summary>
    /// Whether plans rest on times that were measured on this machine, see <see cref="MeasuredPrefillCost"/>: those that are
    /// cached from before, and those of the prefills that run. Default true. False: operations are counted, nothing is learned
    /// and nothing is cached, so that the same request always gets the same plan.
    /// </summary>
    public bool UseMeasuredCosts { get; set; } = true;

    /// <summary>
    /// Folder for what is measured on this machine. Default null: the environment variable <c>FORETOKEN_CACHE</c>, otherwise
    /// <c>foretoken</c> in the user's cache folder (<c>XDG_CACHE_HOME</c> or <c>~/.cache</c>; on Windows the local application
    /// data).
    /// </summary>
    /// <exception cref="ArgumentException">Empty.</exception>
    public string? CacheFolder
    {
        get => _cacheFolder;
        set => _cacheFolder = OptionCheck.NotEmpty(value);
    }

    /// <summary>
    /// Names of the devices to use, as <see cref="ForetokenModel.GetDevices"/> lists them. Default: all servers of
    /// <see cref="RpcServers"/>, then all GPUs of this machine.
    /// </summary>
    /// <exception cref="ArgumentException">A name is null or empty.</exception>
    public IReadOnlyList<string>? Devices
    {
        get;
        set => field = OptionCheck.Names(value);
    }

    /// <summary>
    /// Programs on this or other machines that take part of the layers (<c>host:port</c>): llama.cpp's <c>ggml-rpc-server</c>, of the
    /// release that <see cref="ForetokenModel.GetNativeLibrary"/> names. Default none.
    /// </summary>
    /// <remarks>
    /// Each serves one process at a time, and trusts it: keep the ports within a network of your own. When one goes away, calls
    /// fail with <see cref="DeviceLostException"/>.
    /// </remarks>
    /// <exception cref="ArgumentException">A name is null or empty.</exception>
    public IReadOnlyList<string>? RpcServers
    {
        get;
        set => field = OptionCheck.Names(value);
    }

    /// <summary><see cref="GpuLayers"/> with its default resolved: naming devices is asking for them.</summary>
    public int OffloadedLayers =>
        GpuLayers == 0
        && (
            RpcServers is { Count: > 0 }
            || Devices?.Any(name => !name.Equals("CPU", StringComparison.OrdinalIgnoreCase)) == true
        )
            ? -1
            : GpuLayers;

    /// <summary>A copy whose paths mean the same when the working folder changes.</summary>
    internal ModelOptions Clone()
    {
        ModelOptions copy = (ModelOptions)MemberwiseClone();
        copy._profilePath = OptionCheck.FullPath(_profilePath);
        copy._cacheFolder = OptionCheck.FullPath(_cacheFolder);
        return copy;
    }
}

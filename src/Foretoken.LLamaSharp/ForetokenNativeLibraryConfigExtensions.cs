using Foretoken.Inference;
using LLama.Abstractions;
using LLama.Native;

namespace Foretoken.LLamaSharp;

/// <summary>Points LLamaSharp at the native library of Foretoken.</summary>
public static class ForetokenNativeLibraryConfigExtensions
{
    /// <summary>
    /// Makes LLamaSharp load the native library of Foretoken, and nothing else in its place. What was configured about backends
    /// and search directories no longer counts: the library is the one that <see cref="ForetokenModel.GetNativeLibrary"/>
    /// tells of, with the backends that it was built with.
    /// </summary>
    /// <param name="config"><see cref="NativeLibraryConfig.LLama"/>, before anything else of LLamaSharp is used.</param>
    /// <returns><paramref name="config"/>.</returns>
    /// <exception cref="InvalidOperationException">LLamaSharp has loaded a library already.</exception>
    /// <exception cref="NativeLibraryException">The library of Foretoken could not be loaded.</exception>
    public static NativeLibraryConfig WithForetoken(this NativeLibraryConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return config
            .WithLibrary(null)
            .WithAutoFallback(false)
            .WithSelectingPolicy(new Policy(ForetokenModel.GetNativeLibrary().Path));
    }

    /// <summary>Whether LLamaSharp runs on the native library of Foretoken; loads what is configured when nothing is loaded yet.</summary>
    internal static bool IsLoaded => NativeApi.GetLoadedNativeLibrary(NativeLibraryName.LLama) is Library;

    private sealed class Policy(string path) : INativeLibrarySelectingPolicy
    {
        public IEnumerable<INativeLibrary> Apply(
            NativeLibraryConfig.Description description,
            SystemInfo systemInfo,
            NativeLogConfig.LLamaLogCallback? logCallback = null
        ) => [new Library(path)];
    }

    private sealed class Library(string path) : INativeLibrary
    {
        public NativeLibraryMetadata? Metadata => null;

        public IEnumerable<string> Prepare(
            SystemInfo systemInfo,
            NativeLogConfig.LLamaLogCallback? logCallback = null
        ) => [path];
    }
}

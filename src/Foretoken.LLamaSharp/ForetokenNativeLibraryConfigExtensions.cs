using System.Runtime.InteropServices;
using Foretoken.Errors;
using Foretoken.Sessions;
using LLama.Abstractions;
using LLama.Native;

namespace Foretoken.LLamaSharp;

/// <summary>Points LLamaSharp at the native library of Foretoken.</summary>
public static class ForetokenNativeLibraryConfigExtensions
{
    /// <summary>
    /// Makes LLamaSharp run on the native library of Foretoken, and load nothing else in its place. What was configured about
    /// backends and search directories no longer counts: the library is the one that
    /// <see cref="ForetokenModel.GetNativeLibrary"/> tells of, with the backends that it was built with.
    /// </summary>
    /// <param name="config"><see cref="NativeLibraryConfig.LLama"/>, before anything else of LLamaSharp is used.</param>
    /// <returns><paramref name="config"/>.</returns>
    /// <remarks>
    /// What LLamaSharp loads is a small library beside Foretoken's that has the structs of this version of LLamaSharp where they
    /// differ, and leads to Foretoken's for everything else. Not thread-safe, like the configuration of LLamaSharp.
    /// </remarks>
    /// <exception cref="ArgumentException">It is the configuration of another library than llama.</exception>
    /// <exception cref="InvalidOperationException">LLamaSharp has loaded a library already.</exception>
    /// <exception cref="NotSupportedException">This version of LLamaSharp was not checked; the message names those that were.</exception>
    /// <exception cref="NativeLibraryException">The library of Foretoken, or the one in front of it, could not be loaded.</exception>
    public static NativeLibraryConfig WithForetoken(this NativeLibraryConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (!ReferenceEquals(config, NativeLibraryConfig.LLama))
        {
            throw new ArgumentException(
                "Foretoken has no multimodal library (mtmd): call NativeLibraryConfig.LLama.WithForetoken().",
                nameof(config)
            );
        }
        CheckedVersion version = CheckedVersion.Of(typeof(NativeLibraryConfig).Module);
        // refused where LLamaSharp has loaded a library: the one in front of ours would be bound to that one's libllama
        config.WithLibrary(null);
        string shim = LoadShim(ForetokenModel.GetNativeLibrary().Path, version);
        return config.WithAutoFallback(false).WithSelectingPolicy(new Policy(shim));
    }

    /// <summary>Whether LLamaSharp runs on the native library of Foretoken; loads what is configured when nothing is loaded yet.</summary>
    internal static bool IsLoaded => NativeApi.GetLoadedNativeLibrary(NativeLibraryName.LLama) is Library;

    /// <summary>Loads the library in front of libllama, which lies beside it. LLamaSharp would only say that it failed.</summary>
    /// <returns>Its path.</returns>
    /// <exception cref="NativeLibraryException">It is missing or cannot be loaded.</exception>
    internal static string LoadShim(string library, CheckedVersion version)
    {
        string shim = Path.Combine(Path.GetDirectoryName(library)!, version.ShimFileName);
        if (!File.Exists(shim))
        {
            throw new NativeLibraryException(
                $"'{shim}' is missing, through which LLamaSharp {version.Version} runs on '{library}'. The native library is of another version of Foretoken, or was copied without it: "
                    + "install the packages Foretoken.LLamaSharp and Foretoken.Native.* of one version; in a source tree, run './run build'."
            );
        }
        try
        {
            NativeLibrary.Load(shim);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            throw new NativeLibraryException($"'{shim}' could not be loaded: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        return shim;
    }

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

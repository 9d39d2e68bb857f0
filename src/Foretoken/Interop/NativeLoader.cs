using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using Foretoken.Errors;

namespace Foretoken.Interop;

/// <summary>
/// Finds, loads and checks the native library, on first use and never in a static constructor: a failed attempt throws a
/// message that names every path tried, and the next call tries again.
/// </summary>
internal static unsafe class NativeLoader
{
    /// <summary>FTK_ABI_VERSION of the header that <see cref="NativeMethods"/> mirrors.</summary>
    internal const int ExpectedAbiVersion = 8;

    /// <summary>A folder that is searched before all others.</summary>
    internal const string DirectoryVariable = "FORETOKEN_NATIVE_DIR";

    private static readonly Lock Gate = new();
    private static nint _library;
    private static string _path = "";
    private static bool _resolverInstalled;
    private static NativeLibraryInfo? _info;

    /// <summary>Loads the library when it is not loaded yet.</summary>
    /// <exception cref="UnsupportedProcessorException">It was compiled for more than this machine has.</exception>
    /// <exception cref="NativeLibraryException">It was not found, could not be loaded, or has another ABI version.</exception>
    internal static NativeLibraryInfo EnsureLoaded()
    {
        if (Volatile.Read(ref _info) is { } loaded)
        {
            return loaded;
        }
        lock (Gate)
        {
            if (_info is not null)
            {
                return _info;
            }
            if (!_resolverInstalled)
            {
                NativeLibrary.SetDllImportResolver(typeof(NativeLoader).Assembly, Resolve);
                _resolverInstalled = true;
            }
            if (_library == 0)
            {
                (_library, _path) = Load(CandidateDirectories(), LibraryFileName);
            }
            string path = _path;
            NativeLibraryInfo info;
            try
            {
                info = Handshake(path);
            }
            catch (Exception e) when (e is EntryPointNotFoundException or NativeLibraryException)
            {
                _library = 0;
                throw e as NativeLibraryException
                    ?? new NativeLibraryException(
                        $"'{path}' is a llama.cpp library, but not the one of Foretoken: {e.Message} "
                            + $"Build it with './run build', or point {DirectoryVariable} at a folder that holds it.",
                        e
                    );
            }
            if (ProcessorProbe.Ask(Path.GetDirectoryName(path)!) is null)
            {
                // nothing of the CPU backend has run yet, and nothing may
                throw new NativeLibraryException(
                    $"There is no '{ProcessorProbe.FileName}' beside '{path}', which tells what the library was compiled for. "
                        + "Take the whole folder of a build or a package, or build it with './run build'."
                );
            }
            NativeCall.Check(NativeMethods.ftk_backend_init(Path.GetDirectoryName(path)));
            Volatile.Write(ref _info, info);
            return info;
        }
    }

    internal static string LibraryFileName =>
        OperatingSystem.IsWindows() ? "llama.dll"
        : OperatingSystem.IsMacOS() ? "libllama.dylib"
        : "libllama.so";

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name == NativeMethods.LibraryName ? _library : 0;

    private static NativeLibraryInfo Handshake(string path)
    {
        int abi = NativeMethods.ftk_abi_version();
        string release = Text(NativeMethods.ftk_llama_release());
        string patchHash = Text(NativeMethods.ftk_patch_hash());
        CheckAbi(abi, release, patchHash, path);
        return new NativeLibraryInfo(path, abi, release, patchHash, Text(NativeMethods.ftk_build_info()));

        static string Text(byte* utf8) => Marshal.PtrToStringUTF8((nint)utf8) ?? "";
    }

    internal static void CheckAbi(int abi, string release, string patchHash, string path)
    {
        if (abi != ExpectedAbiVersion)
        {
            throw new NativeLibraryException(
                $"'{path}' has ABI version {abi} (llama.cpp {release}, patches {patchHash}), and this assembly "
                    + $"({typeof(NativeLoader).Assembly.GetName().Version}) needs version {ExpectedAbiVersion}. "
                    + "Build the native library and the assembly from the same source: './run build'."
            );
        }
    }

    /// <summary>Folders that may hold the library, best first.</summary>
    internal static IEnumerable<string> CandidateDirectories()
    {
        if (Environment.GetEnvironmentVariable(DirectoryVariable) is { Length: > 0 } chosen)
        {
            yield return chosen;
            // a folder chosen by hand is the only one: falling back silently would run another build than asked for
            yield break;
        }

        List<string> bases = [AppContext.BaseDirectory];
        string beside = AssemblyDirectory();
        if (beside.Length > 0 && !bases.Contains(beside, StringComparer.Ordinal))
        {
            bases.Add(beside);
        }
        foreach (string folder in bases)
        {
            yield return Path.Combine(folder, "runtimes", RuntimeInformation.RuntimeIdentifier, "native");
            string portable = PortableRuntimeIdentifier();
            if (portable != RuntimeInformation.RuntimeIdentifier)
            {
                yield return Path.Combine(folder, "runtimes", portable, "native");
            }
            yield return folder;
        }

        // a source tree: artifacts/native/<key>/lib, the key in the file `current`
        for (DirectoryInfo? folder = new(bases[^1]); folder is not null; folder = folder.Parent)
        {
            string artifacts = Path.Combine(folder.FullName, "artifacts", "native");
            string current = Path.Combine(artifacts, "current");
            if (File.Exists(current))
            {
                yield return Path.Combine(artifacts, File.ReadAllText(current).Trim(), "lib");
                yield break;
            }
        }
    }

    /// <summary>Loads <paramref name="fileName"/> from the first folder that has a loadable one.</summary>
    /// <exception cref="UnsupportedProcessorException">One was found that this machine cannot run, and no other.</exception>
    /// <exception cref="NativeLibraryException">None has; the message names each path and what the system said.</exception>
    internal static (nint Handle, string Path) Load(IEnumerable<string> directories, string fileName)
    {
        StringBuilder tried = new();
        IReadOnlyList<string>? refused = null;
        foreach (string directory in directories)
        {
            string path = Path.GetFullPath(Path.Combine(directory, fileName));
            if (!File.Exists(path))
            {
                tried.Append("\n  ").Append(path).Append(": no such file");
                continue;
            }
            if (ProcessorProbe.Ask(directory)?.FindMissing() is { Count: > 0 } missing)
            {
                refused ??= missing;
                tried
                    .Append("\n  ")
                    .Append(path)
                    .Append(": it was compiled for a processor with ")
                    .AppendJoin(", ", missing)
                    .Append(", which this machine does not offer");
                continue;
            }
            try
            {
                return (NativeLibrary.Load(path), path);
            }
            catch (Exception first) when (first is DllNotFoundException or BadImageFormatException)
            {
                // the ggml libraries lie in the same folder; a build without a relative search path needs them loaded first
                PreloadDependencies(Path.GetDirectoryName(path)!);
                if (NativeLibrary.TryLoad(path, out nint handle))
                {
                    return (handle, path);
                }
                tried.Append("\n  ").Append(path).Append(": ").Append(first.Message.ReplaceLineEndings(" "));
            }
        }
        if (refused is not null)
        {
            throw new UnsupportedProcessorException(
                $"The native library of Foretoken was compiled for a processor with {string.Join(", ", refused)}, which this machine "
                    + $"or its operating system does not offer: its code would end the process. Tried:{tried}\n"
                    + "In a source tree, build it on this machine with './run build', or for any processor with './run build --portable'; "
                    + "a package such as Foretoken.Native.Cpu runs on any, too. "
                    + $"Or set {DirectoryVariable} to the folder of another build.",
                refused
            );
        }
        throw new NativeLibraryException(
            $"The native library of Foretoken ({fileName}, {RuntimeInformation.RuntimeIdentifier}) could not be loaded. Tried:{tried}\n"
                + "Install a package that holds it, such as Foretoken.Native.Cpu; in a source tree, build it with './run build'. "
                + $"Or set {DirectoryVariable} to the folder that holds it."
        );
    }

    private static void PreloadDependencies(string directory)
    {
        foreach (string stem in (ReadOnlySpan<string>)["ggml-base", "ggml-cpu", "ggml"])
        {
            string file =
                OperatingSystem.IsWindows() ? $"{stem}.dll"
                : OperatingSystem.IsMacOS() ? $"lib{stem}.dylib"
                : $"lib{stem}.so";
            NativeLibrary.TryLoad(Path.Combine(directory, file), out _);
        }
    }

    [UnconditionalSuppressMessage(
        "SingleFile",
        "IL3000",
        Justification = "Empty in a single-file application, where AppContext.BaseDirectory is the right answer."
    )]
    private static string AssemblyDirectory()
    {
        string location = typeof(NativeLoader).Assembly.Location;
        return location.Length == 0 ? "" : Path.GetDirectoryName(location)! + Path.DirectorySeparatorChar;
    }

    private static string PortableRuntimeIdentifier()
    {
        string system =
            OperatingSystem.IsWindows() ? "win"
            : OperatingSystem.IsMacOS() ? "osx"
            : "linux";
        string architecture = RuntimeInformation.ProcessArchitecture switch
        {
            Architecture.X64 => "x64",
            Architecture.Arm64 => "arm64",
            Architecture.X86 => "x86",
            Architecture other => other.ToString().ToUpperInvariant(),
        };
        return $"{system}-{architecture}";
    }
}

using System.Diagnostics;
using System.Reflection;
using System.Security.Cryptography;
using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Interop;

namespace Foretoken.Cli.Machine;

/// <summary>The result of one native build: the library in use and the unpatched llama.cpp that was built beside it.</summary>
internal sealed record NativeBuild
{
    private const string BaselineName = "foretoken-baseline";

    public required string Folder { get; init; }
    public required string Baseline { get; init; }
    public required string Key { get; init; }
    public required string Release { get; init; }
    public required string PatchHash { get; init; }
    public required string Options { get; init; }
    public required string Compiler { get; init; }
    public required string BuildType { get; init; }

    /// <summary>Hash of the source tree before patches.</summary>
    public required string Tree { get; init; }

    /// <summary>
    /// The build that the library in use came from, so that both sides of the comparison share pin, flags and the very same
    /// ggml. Anything else is refused: a difference between builds would pass for a speedup.
    /// </summary>
    /// <param name="library">The library in use.</param>
    /// <param name="builds">The folder of all builds, <c>artifacts/native</c>.</param>
    /// <exception cref="CliException">No build fits, or it is a Debug build.</exception>
    internal static NativeBuild Find(NativeLibraryInfo library, string builds)
    {
        string libraryFolder = Path.GetDirectoryName(library.Path)!;
        List<string> reasons = [];
        foreach (string file in Directory.EnumerateFiles(builds, "build.json", SearchOption.AllDirectories))
        {
            NativeBuild build = Read(file);
            if (Mismatch(build, library) is { } mismatch)
            {
                reasons.Add($"{build.Key}: {mismatch}");
            }
            else if (DifferentFile(Path.Combine(build.Folder, "lib"), libraryFolder) is { } different)
            {
                reasons.Add($"{build.Key}: its {different} is not the one in use");
            }
            else if (!File.Exists(build.Baseline))
            {
                reasons.Add($"{build.Key}: it has no {BaselineName}");
            }
            else
            {
                return build;
            }
        }
        throw new CliException(
            $"There is no unpatched llama.cpp to compare with that belongs to '{library.Path}' "
                + $"(llama.cpp {library.LlamaRelease}, patches {library.PatchHash}). "
                + (reasons.Count == 0 ? $"'{builds}' holds no build. " : $"Looked at: {string.Join("; ", reasons)}. ")
                + "Build both from the same source with './run build', then run this again."
        );
    }

    /// <summary>Why a build is not the one that a library came from; null when nothing speaks against it.</summary>
    /// <exception cref="CliException">It is, and it is a Debug build.</exception>
    internal static string? Mismatch(NativeBuild build, NativeLibraryInfo library)
    {
        if (build.Release != library.LlamaRelease)
        {
            return $"it is llama.cpp {build.Release}";
        }
        if (build.PatchHash != library.PatchHash)
        {
            return $"its patches are {build.PatchHash}";
        }
        using JsonDocument info = JsonDocument.Parse(library.BuildInfo);
        string? type = Told("build_type");
        if (build.BuildType != "Release" || type != "Release")
        {
            throw new CliException(
                $"Native builds of type '{type}' (library) and '{build.BuildType}' (baseline) are not measured: only Release builds are. './run build' makes one."
            );
        }
        // of a library that does not say, the files are compared anyway
        return Told("options") is { } options && options != build.Options
            ? $"it was built with '{build.Options}', the library with '{options}'"
            : null;

        string? Told(string name) =>
            info.RootElement.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;
    }

    /// <summary>Refuses assemblies that were compiled without optimisation.</summary>
    /// <exception cref="CliException">One was.</exception>
    internal static void RefuseDebug(params IEnumerable<Assembly> assemblies)
    {
        foreach (Assembly assembly in assemblies)
        {
            if (assembly.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled == true)
            {
                throw new CliException(
                    $"{assembly.GetName().Name} is a Debug build, which is not measured. Use './run bench', or build with -c Release."
                );
            }
        }
    }

    internal static NativeBuild Read(string buildJson)
    {
        string folder = Path.GetDirectoryName(buildJson)!;
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(buildJson));
        string Text(string name) =>
            json.RootElement.TryGetProperty(name, out JsonElement value) ? value.GetString() ?? "" : "";
        return new NativeBuild
        {
            Folder = folder,
            Baseline = Path.Combine(
                folder,
                "stock",
                OperatingSystem.IsWindows() ? BaselineName + ".exe" : BaselineName
            ),
            Key = Text("key"),
            Release = Text("release"),
            PatchHash = Text("patch_hash"),
            Options = Text("options"),
            Compiler = Text("compiler"),
            BuildType = Text("build_type"),
            Tree = Text("tree"),
        };
    }

    /// <summary>The first library of a build whose bytes are not those in use; null when all are the same.</summary>
    private static string? DifferentFile(string buildFolder, string folderInUse)
    {
        if (!Directory.Exists(buildFolder))
        {
            return "lib folder";
        }
        foreach (string file in Directory.EnumerateFiles(buildFolder).Order(StringComparer.Ordinal))
        {
            string inUse = Path.Combine(folderInUse, Path.GetFileName(file));
            if (!File.Exists(inUse) || !Hash(file).AsSpan().SequenceEqual(Hash(inUse)))
            {
                return Path.GetFileName(file);
            }
        }
        return null;

        static byte[] Hash(string path)
        {
            using FileStream stream = File.OpenRead(path);
            return SHA256.HashData(stream);
        }
    }
}

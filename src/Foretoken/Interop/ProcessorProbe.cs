using System.Runtime.InteropServices;

namespace Foretoken.Interop;

/// <summary>
/// Asks whether this machine can run a native library before it is loaded: loading already runs what the compiler made of it. The
/// answer comes from a small library beside it, which is compiled for the oldest processor and knows what the others were
/// compiled for (foretoken-cpu.h). Managed code could ask the processor, but not the operating system.
/// </summary>
internal sealed unsafe record ProcessorProbe
{
    /// <summary>The entry that stands for all that is compiled with the flags of the build alone.</summary>
    internal const string Common = "*";

    /// <summary>Features that processor and operating system offer.</summary>
    internal required IReadOnlyList<string> Found { get; init; }

    /// <summary>What each library was compiled for: <see cref="Common"/>, and ggml's CPU backends, of which one must fit.</summary>
    internal required IReadOnlyList<(string Name, IReadOnlyList<string> Features)> Libraries { get; init; }

    internal static string FileName =>
        OperatingSystem.IsWindows() ? "foretoken-cpu.dll"
        : OperatingSystem.IsMacOS() ? "libforetoken-cpu.dylib"
        : "libforetoken-cpu.so";

    /// <summary>Asks the library in a folder.</summary>
    /// <returns>The answer; null where there is none, or it cannot be loaded.</returns>
    internal static ProcessorProbe? Ask(string directory)
    {
        string path = Path.GetFullPath(Path.Combine(directory, FileName));
        if (!File.Exists(path) || !NativeLibrary.TryLoad(path, out nint library))
        {
            return null;
        }
        // never unloaded: it is small, and it may be asked again
        if (
            !NativeLibrary.TryGetExport(library, "ftk_cpu_found", out nint found)
            || !NativeLibrary.TryGetExport(library, "ftk_cpu_compiled_for", out nint compiledFor)
        )
        {
            return null;
        }

        List<string> libraries = [];
        var read = (delegate* unmanaged[Cdecl]<int, byte*>)compiledFor;
        for (int i = 0; Marshal.PtrToStringUTF8((nint)read(i)) is { } text; i++)
        {
            libraries.Add(text);
        }
        return Parse(Marshal.PtrToStringUTF8((nint)((delegate* unmanaged[Cdecl]<byte*>)found)()) ?? "", libraries);
    }

    /// <param name="found">Names, separated by spaces.</param>
    /// <param name="libraries">For each <c>name: feature feature</c>.</param>
    internal static ProcessorProbe Parse(string found, IEnumerable<string> libraries) =>
        new()
        {
            Found = Words(found),
            Libraries =
            [
                .. libraries
                    .Select(text => text.Split(':', 2))
                    .Select(parts => (parts[0], Words(parts.Length > 1 ? parts[1] : ""))),
            ],
        };

    /// <summary>
    /// What is missing for any of it to run; empty when nothing is. Of several CPU backends, one that fits is enough: where none
    /// does, what the most modest one lacks.
    /// </summary>
    internal IReadOnlyList<string> FindMissing()
    {
        HashSet<string> found = [.. Found];
        List<string> missing =
        [
            .. Libraries.Where(library => library.Name == Common).SelectMany(library => library.Features.Except(found)),
        ];
        missing.AddRange(
            Libraries
                .Where(library => library.Name != Common)
                .Select(library => library.Features.Except(found).ToList())
                .MinBy(lacks => lacks.Count)
                ?? []
        );
        return [.. missing.Distinct()];
    }

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}

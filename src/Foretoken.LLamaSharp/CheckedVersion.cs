using System.Reflection;

namespace Foretoken.LLamaSharp;

/// <summary>
/// A LLamaSharp whose structs and functions were compared, one by one, with those of the native library. Any other may have them
/// elsewhere, which would be noticed as garbage in memory.
/// </summary>
/// <param name="Version">Version of the package.</param>
/// <param name="Module">Identity of its assembly for .NET 10; the assembly itself names no version.</param>
/// <param name="Shim">The library in front of libllama that has its structs, without prefix and extension.</param>
internal sealed record CheckedVersion(string Version, Guid Module, string Shim)
{
    internal static IReadOnlyList<CheckedVersion> All { get; } =
    [new("0.30.0", new Guid("d9a8d2ba-5592-4288-9804-6d95a996edaa"), "foretoken-llamasharp-0.30")];

    /// <summary>File name of <see cref="Shim"/> on this system.</summary>
    internal string ShimFileName =>
        OperatingSystem.IsWindows() ? $"{Shim}.dll"
        : OperatingSystem.IsMacOS() ? $"lib{Shim}.dylib"
        : $"lib{Shim}.so";

    /// <exception cref="NotSupportedException">It was not checked.</exception>
    internal static CheckedVersion Of(Module module) => Of(module.Name, module.ModuleVersionId);

    /// <exception cref="NotSupportedException">It was not checked.</exception>
    internal static CheckedVersion Of(string name, Guid module) =>
        All.FirstOrDefault(version => version.Module == module)
        ?? throw new NotSupportedException(
            $"This {name} (module {module}) was not checked with the native library of Foretoken, and its structs may differ. "
                + $"Checked: LLamaSharp {string.Join(", ", All.Select(version => version.Version))}, as its package has it. "
                + "Install a checked version of the package LLamaSharp, or a Foretoken.LLamaSharp that knows yours. "
                + "A trimmed assembly is another one: leave LLamaSharp out of trimming."
        );
}

using System.Reflection;
using System.Runtime.InteropServices;
using System.Xml.Linq;
using Foretoken.Errors;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using LLama.Native;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>What LLamaSharp finds in the library that it is given.</summary>
[Collection(nameof(ForetokenLibrary))]
public sealed class ForetokenLibraryTests(ForetokenLibrary library)
{
    // LLamaSharp declares these and its own native library has none of them either: nothing calls them
    private static readonly string[] ExportedByNobody =
    [
        "llama_adapter_meta_val_by_index",
        "llama_model_apply_lora_from_file",
        "llama_print_timings",
    ];

    [Fact]
    public void Every_function_that_LLamaSharp_imports_is_found()
    {
        string folder = Path.GetDirectoryName(library.Shim)!;
        Dictionary<string, nint> libraries = new()
        {
            ["llama"] = NativeLibrary.Load(library.Shim),
            ["ggml"] = NativeLibrary.Load(Path.Combine(folder, FileName("ggml"))),
            ["ggml-base"] = NativeLibrary.Load(Path.Combine(folder, FileName("ggml-base"))),
        };
        string[] missing =
        [
            .. Imports
                .Where(import => libraries.ContainsKey(import.Library))
                .Where(import => !NativeLibrary.TryGetExport(libraries[import.Library], import.Function, out _))
                .Select(import => import.Function)
                .Order(StringComparer.Ordinal),
        ];
        Assert.Equal(ExportedByNobody, missing);
        Assert.True(Imports.Count(import => libraries.ContainsKey(import.Library)) > 150);
    }

    [Fact]
    public void LLamaSharp_imports_nothing_else_but_multimodal_and_system_libraries() =>
        Assert.Equal(
            ["ggml", "ggml-base", "kernel32.dll", "libvulkan.so.1", "llama", "mtmd", "vulkan-1"],
            Imports.Select(import => import.Library).Distinct().Order(StringComparer.Ordinal)
        );

    [Fact]
    public void What_LLamaSharp_has_loaded_leads_to_the_library_that_Foretoken_uses()
    {
        Assert.True(NativeApi.llama_max_devices() > 0);
        Assert.True(ForetokenNativeLibraryConfigExtensions.IsLoaded);
        Assert.Equal(
            Path.GetDirectoryName(ForetokenModel.GetNativeLibrary().Path),
            Path.GetDirectoryName(library.Shim)
        );
        // a function that only Foretoken's libllama has
        Assert.Equal(
            NativeLibrary.GetExport(NativeLibrary.Load(ForetokenModel.GetNativeLibrary().Path), "ftk_abi_version"),
            NativeLibrary.GetExport(NativeLibrary.Load(library.Shim), "ftk_abi_version")
        );
    }

    [Fact]
    public void A_second_call_comes_too_late()
    {
        Assert.True(NativeApi.llama_max_devices() > 0);
        Assert.Throws<InvalidOperationException>(() => NativeLibraryConfig.LLama.WithForetoken());
    }

    [Fact]
    public void There_is_no_multimodal_library() =>
        Assert.Contains(
            "NativeLibraryConfig.LLama",
            Assert.Throws<ArgumentException>(() => NativeLibraryConfig.Mtmd.WithForetoken()).Message,
            StringComparison.Ordinal
        );

    [Fact]
    public void A_LLamaSharp_that_was_not_checked_is_refused_with_those_that_were()
    {
        string message = Assert
            .Throws<NotSupportedException>(() => CheckedVersion.Of("LLamaSharp.dll", Guid.NewGuid()))
            .Message;
        Assert.Contains("LLamaSharp 0.30.0", message, StringComparison.Ordinal);
        Assert.Throws<NotSupportedException>(() => CheckedVersion.Of(typeof(ForetokenLibraryTests).Module));
    }

    [Fact]
    public void The_package_that_is_built_against_was_checked()
    {
        string version = XDocument
            .Load(Path.Combine(TestModel.Root, "Directory.Packages.props"))
            .Descendants("PackageVersion")
            .Single(package => (string?)package.Attribute("Include") == "LLamaSharp")
            .Attribute("Version")!
            .Value;
        Assert.Equal(version, CheckedVersion.Of(typeof(NativeApi).Module).Version);
    }

    [Fact]
    public void A_missing_or_damaged_library_in_front_is_named()
    {
        string folder = Directory.CreateTempSubdirectory("foretoken-llamasharp-").FullName;
        try
        {
            CheckedVersion version = CheckedVersion.All[0];
            string llama = Path.Combine(folder, FileName("llama"));
            NativeLibraryException error = Assert.Throws<NativeLibraryException>(() =>
                ForetokenNativeLibraryConfigExtensions.LoadShim(llama, version)
            );
            Assert.Contains(version.ShimFileName, error.Message, StringComparison.Ordinal);
            Assert.Contains("Foretoken.Native", error.Message, StringComparison.Ordinal);

            File.WriteAllText(Path.Combine(folder, version.ShimFileName), "no library");
            error = Assert.Throws<NativeLibraryException>(() =>
                ForetokenNativeLibraryConfigExtensions.LoadShim(llama, version)
            );
            Assert.Contains("could not be loaded", error.Message, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<(string Library, string Function)> Imports =>
        LayoutTests.ImportedMethods.Select(method =>
        {
            DllImportAttribute import = method.GetCustomAttribute<DllImportAttribute>()!;
            return (import.Value, import.EntryPoint ?? method.Name);
        });

    private static string FileName(string stem) =>
        OperatingSystem.IsWindows() ? $"{stem}.dll"
        : OperatingSystem.IsMacOS() ? $"lib{stem}.dylib"
        : $"lib{stem}.so";
}

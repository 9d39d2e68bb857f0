using Foretoken.Errors;
using Foretoken.Interop;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Interop;

public sealed class ProcessorProbeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_library_that_fits_misses_nothing() =>
        Assert.Empty(ProcessorProbe.Parse("sse3 avx avx2", ["*:", "ggml-cpu: sse3 avx avx2"]).FindMissing());

    [Fact]
    public void What_the_machine_does_not_offer_is_named_in_the_order_of_the_library() =>
        Assert.Equal(
            ["avx512f", "amx_int8"],
            ProcessorProbe.Parse("sse3 avx2", ["*: sse3", "ggml-cpu: sse3 avx2 avx512f amx_int8"]).FindMissing()
        );

    [Fact]
    public void Of_variants_one_that_fits_is_enough() =>
        Assert.Empty(
            ProcessorProbe
                .Parse("sse3", ["*:", "ggml-cpu-x64:", "ggml-cpu-haswell: sse3 avx2", "ggml-cpu-zen4: avx512f"])
                .FindMissing()
        );

    [Fact]
    public void Of_variants_that_all_miss_something_the_nearest_one_says_what() =>
        Assert.Equal(
            ["avx2"],
            ProcessorProbe
                .Parse("sse3", ["*:", "ggml-cpu-haswell: sse3 avx2", "ggml-cpu-zen4: sse3 avx2 avx512f"])
                .FindMissing()
        );

    [Fact]
    public void What_the_flags_of_the_build_ask_for_is_needed_beside_any_variant() =>
        Assert.Equal(["avx"], ProcessorProbe.Parse("sse3", ["*: sse3 avx", "ggml-cpu-x64: sse3 avx"]).FindMissing());

    [Fact]
    public void The_library_in_use_was_compiled_for_no_more_than_this_machine_offers()
    {
        ProcessorProbe? probe = ProcessorProbe.Ask(NativeFolder);

        Assert.NotNull(probe);
        Assert.Empty(probe.FindMissing());
        Assert.Equal(ProcessorProbe.Common, probe.Libraries[0].Name);
        Assert.Contains(probe.Libraries, library => library.Name.StartsWith("ggml-cpu", StringComparison.Ordinal));
        if (OperatingSystem.IsLinux() && File.Exists("/proc/cpuinfo"))
        {
            string[] flags = File.ReadLines("/proc/cpuinfo")
                .First(line =>
                    line.StartsWith("flags", StringComparison.Ordinal)
                    || line.StartsWith("Features", StringComparison.Ordinal)
                )
                .Split([' ', '\t', ':'], StringSplitOptions.RemoveEmptyEntries);
            // the kernel's own list agrees, of what it names alike
            foreach (
                string feature in (string[])
                    [
                        "sse4_1",
                        "avx",
                        "avx2",
                        "fma",
                        "f16c",
                        "avx512f",
                        "avx512_vnni",
                        "amx_tile",
                        "asimddp",
                        "i8mm",
                        "sve",
                    ]
            )
            {
                Assert.Equal(flags.Contains(feature), probe.Found.Contains(feature));
            }
        }
    }

    [Fact]
    public void A_library_for_another_processor_is_refused_before_it_is_loaded()
    {
        string feature = CopyProbeThatNeedsMore(NativeFolder, _folder[""]);

        UnsupportedProcessorException error = Assert.Throws<UnsupportedProcessorException>(() =>
            NativeLoader.Load([_folder[""]], NativeLoader.LibraryFileName)
        );

        Assert.Contains(feature, error.MissingFeatures);
        Assert.Contains(feature, error.Message, StringComparison.Ordinal);
        Assert.Contains("./run build --portable", error.Message, StringComparison.Ordinal);
        Assert.Contains(_folder[NativeLoader.LibraryFileName], error.Message, StringComparison.Ordinal);
        Assert.IsAssignableFrom<NativeLibraryException>(error);
    }

    [Fact]
    public void A_library_for_another_processor_does_not_stand_in_the_way_of_one_that_fits()
    {
        CopyProbeThatNeedsMore(NativeFolder, _folder[""]);

        Assert.Equal(
            Path.Combine(NativeFolder, NativeLoader.LibraryFileName),
            NativeLoader.Load([_folder[""], NativeFolder], NativeLoader.LibraryFileName).Path
        );
    }

    private static string NativeFolder => Path.GetDirectoryName(ForetokenModel.GetNativeLibrary().Path)!;

    /// <summary>Makes a copy of the probe say that all code needs the feature "nope": one entry becomes another.</summary>
    private static string CopyProbeThatNeedsMore(string native, string folder)
    {
        string probe = Path.Combine(folder, ProcessorProbe.FileName);
        byte[] bytes = File.ReadAllBytes(Path.Combine(native, ProcessorProbe.FileName));
        int at = bytes.AsSpan().IndexOf("ggml-cpu"u8);
        Assert.True(at > 0);
        "*: nope "u8.CopyTo(bytes.AsSpan(at));
        File.WriteAllBytes(probe, bytes);
        // loading this would fail with another error: nothing of it may be tried
        File.WriteAllText(Path.Combine(folder, NativeLoader.LibraryFileName), "not a library");
        return "nope";
    }
}

using System.Text.Json;
using Foretoken.Cli.Doctor;
using Foretoken.Interop;
using Foretoken.Machine;
using Foretoken.Sessions;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Doctor;

public sealed class DoctorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_screen_tells_processor_library_and_kernels()
    {
        Assert.Equal(0, await Run("doctor", WriteTiny()));

        NativeLibraryInfo library = ForetokenModel.GetNativeLibrary();
        string text = _output.Output.ReplaceLineEndings(" ");
        Assert.Contains(HostProcessor.Name, text, StringComparison.Ordinal);
        Assert.Contains(library.PatchHash, text, StringComparison.Ordinal);
        Assert.Contains(WeightKernels.GetBackend().Library, text, StringComparison.Ordinal);
        Assert.Contains("q4_0", text, StringComparison.Ordinal);
        Assert.Contains("28 tensors", text, StringComparison.Ordinal);
        // one screen
        Assert.InRange(_output.Output.Split('\n').Length, 10, 40);
    }

    [Fact]
    public async Task Json_has_the_same_facts_for_a_bug_report()
    {
        Assert.Equal(0, await Run("doctor", "--model", WriteTiny(), "--ctx", "512", "--json"));

        using JsonDocument json = JsonDocument.Parse(_output.Output);
        JsonElement root = json.RootElement;
        Assert.Equal(Environment.ProcessorCount, root.GetProperty("processor").GetProperty("processors").GetInt32());
        Assert.NotEmpty(root.GetProperty("library").GetProperty("compiled").EnumerateArray());
        Assert.Equal("Release", root.GetProperty("library").GetProperty("build").GetProperty("build_type").GetString());
        Assert.Contains(
            root.GetProperty("devices").EnumerateArray(),
            device => device.GetProperty("type").GetString() == "cpu"
        );
        JsonElement model = root.GetProperty("model");
        Assert.Equal(512, model.GetProperty("contextSize").GetInt32());
        Assert.True(model.GetProperty("neededBytes").GetInt64() > model.GetProperty("weightBytes").GetInt64());
        Assert.Equal("q4_0", model.GetProperty("kernels")[0].GetProperty("type").GetString());
    }

    [Fact]
    public async Task A_model_that_cannot_be_read_is_a_finding_and_a_failure()
    {
        Assert.Equal(1, await Run("doctor", Path.Combine(_folder.Path, "none.gguf")));

        Assert.Contains("there is no such file", _output.Output, StringComparison.Ordinal);
        Assert.Contains(HostProcessor.Name, _output.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void More_threads_than_the_container_allows_are_a_finding()
    {
        DoctorReport report = Report() with { Processor = Processor(64, 2) };

        Assert.Contains("--threads 2 or fewer", Single(report, threads: 8), StringComparison.Ordinal);
        Assert.Empty(Examination.Conclude(report, threads: 2));
    }

    [Fact]
    public void A_share_of_a_processor_is_a_finding() =>
        Assert.Contains(
            "1.5 processors",
            Single(Report() with { Processor = Processor(4, 1.5) }),
            StringComparison.Ordinal
        );

    [Fact]
    public void A_model_that_does_not_fit_is_a_finding()
    {
        DoctorReport report = Report() with { Model = Model() with { NeededBytes = 3L << 30 } };

        Assert.Contains("needs 3.00 GiB", Single(report), StringComparison.Ordinal);
        Assert.Contains("1.00 GiB are left", Single(report), StringComparison.Ordinal);
    }

    [Fact]
    public void A_container_s_memory_counts_where_the_machine_has_more()
    {
        DoctorReport report = Report() with
        {
            Memory = new DoctorMemory
            {
                TotalBytes = 8L << 30,
                FreeBytes = 8L << 30,
                LimitBytes = 1 << 20,
            },
        };

        Assert.Contains("1.0 MiB are left", Single(report), StringComparison.Ordinal);
    }

    [Fact]
    public void Weights_without_a_fast_kernel_are_a_finding_that_names_types_that_have_one()
    {
        DoctorReport report = Report() with
        {
            Model = Model() with
            {
                Kernels =
                [
                    new()
                    {
                        Type = "q4_1",
                        TensorCount = 7,
                        Bytes = 300,
                        Kernel = null,
                        FasterTypes = ["q4_0", "iq4_nl"],
                    },
                    new()
                    {
                        Type = "q8_0",
                        TensorCount = 1,
                        Bytes = 100,
                        Kernel = "tinyBLAS",
                        FasterTypes = [],
                    },
                ],
            },
        };

        string finding = Single(report);
        Assert.Contains("75 % of the layers' weights are q4_1", finding, StringComparison.Ordinal);
        Assert.Contains("q4_0, iq4_nl", finding, StringComparison.Ordinal);
    }

    [Fact]
    public void A_processor_that_could_do_more_than_the_library_uses_is_a_finding()
    {
        DoctorReport report = Report();
        report = report with { Processor = report.Processor with { Features = ["avx2", "avx512f", "amx_int8"] } };

        Assert.Contains("avx512f, amx_int8", Single(report), StringComparison.Ordinal);
    }

    [Fact]
    public void A_library_that_cannot_be_loaded_is_a_finding()
    {
        DoctorReport report = Report();
        report = report with { Library = report.Library with { Error = "it needs avx512f", Kernels = null } };

        Assert.Equal("it needs avx512f", Single(report));
    }

    [Fact]
    public void Where_all_is_well_nothing_is_found() => Assert.Empty(Examination.Conclude(Report(), threads: 0));

    private static string Single(DoctorReport report, int threads = 0) =>
        Assert.Single(Examination.Conclude(report, threads));

    private static DoctorProcessor Processor(int processors, double? limit) =>
        new()
        {
            Name = "a processor",
            Architecture = "X64",
            Processors = processors,
            Limit = limit,
            Features = ["avx2"],
        };

    private static DoctorModel Model() =>
        new()
        {
            Path = "model.gguf",
            Architecture = "llama",
            WeightBytes = 1 << 20,
            ContextSize = 512,
            NeededBytes = 2 << 20,
            Kernels =
            [
                new()
                {
                    Type = "q4_0",
                    TensorCount = 7,
                    Bytes = 1 << 20,
                    Kernel = "CPU_REPACK",
                    FasterTypes = [],
                },
            ],
            StagingObstacle = null,
        };

    private static DoctorReport Report() =>
        new()
        {
            Version = "1.0.0",
            OperatingSystem = "a system",
            Runtime = ".NET",
            Processor = Processor(4, null),
            Memory = new DoctorMemory
            {
                TotalBytes = 2L << 30,
                FreeBytes = 1L << 30,
                LimitBytes = null,
            },
            Library = new DoctorLibrary
            {
                Path = "libllama.so",
                Release = "v1",
                PatchHash = "abc",
                Build = null,
                Compiled = [new CompiledLibrary("ggml-cpu", ["avx2"], [])],
                Kernels = new CpuBackend("libggml-cpu.so", ["AVX2"]),
                Error = null,
            },
            Devices = [],
            Model = Model(),
            Findings = [],
        };

    private string WriteTiny()
    {
        string model = Path.Combine(_folder.Path, "tiny.gguf");
        SyntheticModel.Write(model, SyntheticModelSpec.Parse("layers=4,embd=128,heads=4,kv-heads=2,ffn=256,vocab=512"));
        return model;
    }

    private Task<int> Run(params string[] arguments) =>
        ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(arguments).InvokeAsync();
}

using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Interop;
using Foretoken.Machine;
using Foretoken.Sessions;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Doctor;

/// <summary>Gathers what <c>foretoken doctor</c> shows, and draws the conclusions.</summary>
internal static class Examination
{
    /// <param name="model">The model to look at; null for none.</param>
    /// <param name="contextSize">Tokens of context to count; 0 for the model's own, at most 8,192.</param>
    /// <param name="threads">Threads that the user means to give; 0 for the default.</param>
    internal static DoctorReport Run(string? model, int contextSize, int threads)
    {
        MachineLimits limits = MachineLimits.Read();
        ProcessorSupport? support = HostProcessor.FindSupport();
        DoctorLibrary library = Library(support);
        List<string> problems = [];
        DoctorReport report = new()
        {
            Version =
                typeof(ForetokenModel)
                    .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
                    ?.InformationalVersion
                ?? "unknown",
            OperatingSystem = RuntimeInformation.OSDescription,
            Runtime = RuntimeInformation.FrameworkDescription,
            Processor = new DoctorProcessor
            {
                Name = HostProcessor.Name,
                Architecture = RuntimeInformation.ProcessArchitecture.ToString(),
                Processors = Environment.ProcessorCount,
                Limit = limits.Processors,
                Features = support?.Found,
            },
            Memory = new DoctorMemory
            {
                TotalBytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
                FreeBytes = limits.MemoryFreeBytes,
                LimitBytes = limits.MemoryBytes,
            },
            Library = library,
            Devices = library.Error is null ? ForetokenModel.GetDevices() : [],
            Model = model is null ? null : Look(model, contextSize, library.Error is null, problems),
            Findings = [],
        };
        return report with { Findings = [.. problems, .. Conclude(report, threads)] };
    }

    /// <summary>What is wrong, or slower than it could be.</summary>
    /// <param name="report">All facts.</param>
    /// <param name="threads">Threads that the user means to give; 0 for the default.</param>
    internal static IEnumerable<string> Conclude(DoctorReport report, int threads)
    {
        if (report.Library.Error is { } error)
        {
            yield return error;
        }

        DoctorProcessor processor = report.Processor;
        double usable = Math.Min(processor.Processors, processor.Limit ?? double.MaxValue);
        if (threads > Math.Ceiling(usable))
        {
            yield return I(
                $"{threads} threads are more than the {usable:0.##} processors that this process may use; they wait for each other in every operation. Give --threads {Math.Max(1, Math.Floor(usable)):0} or fewer."
            );
        }
        if (processor.Limit is { } limit && limit < processor.Processors && limit != Math.Floor(limit))
        {
            yield return I(
                $"This process may use the time of {limit:0.##} processors: the last thread is stopped in the middle of an operation that the others wait for. Whole processors are used better."
            );
        }

        // a variant that was left out though the processor has more than the one in use
        if (report.Library is { Kernels: { } kernels, Compiled: [{ } only] } && processor.Features is { } features)
        {
            string[] unused = [.. Extensions.Where(features.Contains).Except(only.Features)];
            if (unused.Length > 0)
            {
                yield return $"The processor has {string.Join(", ", unused)}, which '{kernels.Library}' was not compiled for. './run build' compiles it for this machine; "
                    + "artifacts/native/<key>/build.json says so where its self-test failed.";
            }
        }

        if (report.Model is { } model)
        {
            long available = Math.Min(
                report.Memory.LimitBytes ?? long.MaxValue,
                report.Memory.FreeBytes ?? report.Memory.TotalBytes
            );
            if (model.NeededBytes > available)
            {
                yield return I(
                    $"The model needs {ByteSize.Format(model.NeededBytes)} with a context of {model.ContextSize:#,0} tokens, and {ByteSize.Format(available)} are left. Take a smaller context, a smaller model, or a machine with more memory."
                );
            }
            if (model.StagingObstacle is { } obstacle)
            {
                yield return $"The prefill of this model cannot be staged, so that every speedup is 1: {obstacle}.";
            }
            foreach (WeightKernel slow in model.Kernels.Where(kernel => kernel.Kernel is null))
            {
                long all = model.Kernels.Sum(kernel => kernel.Bytes);
                yield return I(
                    $"{100.0 * slow.Bytes / all:0} % of the layers' weights are {slow.Type}, for which this processor has no kernel that takes several tokens of a prompt at once: prefill is slower than it could be."
                )
                    + (
                        slow.FasterTypes.Count > 0
                            ? $" Quantised to {string.Join(", ", slow.FasterTypes)} they would have one."
                            : ""
                    );
            }
        }
    }

    // what makes a difference to ggml's kernels
    private static readonly string[] Extensions =
    [
        "avx2",
        "fma",
        "f16c",
        "avx_vnni",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "amx_int8",
        "asimddp",
        "asimdhp",
        "i8mm",
        "sve",
    ];

    private static DoctorLibrary Library(ProcessorSupport? support)
    {
        DoctorLibrary library = new()
        {
            Path = null,
            Release = null,
            PatchHash = null,
            Build = null,
            Compiled = support?.Libraries ?? [],
            Kernels = null,
            Error = null,
        };
        try
        {
            NativeLibraryInfo info = ForetokenModel.GetNativeLibrary();
            using JsonDocument build = JsonDocument.Parse(info.BuildInfo);
            return library with
            {
                Path = info.Path,
                Release = info.LlamaRelease,
                PatchHash = info.PatchHash,
                Build = build.RootElement.Clone(),
                Kernels = WeightKernels.GetBackend(),
            };
        }
        catch (NativeLibraryException e)
        {
            return library with { Error = e.Message };
        }
    }

    private static DoctorModel? Look(string path, int contextSize, bool canAsk, List<string> problems)
    {
        try
        {
            ModelFileInfo file = ModelFileCheck.Check(
                path,
                new ModelFileCheckOptions
                {
                    RequireStaging = false,
                    ContextSize = contextSize,
                    AvailableMemoryBytes = long.MaxValue,
                }
            );
            return new DoctorModel
            {
                Path = file.Path,
                Architecture = file.Architecture,
                WeightBytes = file.WeightBytes,
                ContextSize =
                    contextSize > 0 ? contextSize
                    : file.TrainingContextSize > 0 ? Math.Min(file.TrainingContextSize, 8192)
                    : 8192,
                NeededBytes = file.EstimatedMemoryBytes,
                Kernels = canAsk ? WeightKernels.Find(file) : [],
                StagingObstacle = file.StagingObstacle,
            };
        }
        catch (ModelFileException e)
        {
            problems.Add(e.Message);
            return null;
        }
    }
}

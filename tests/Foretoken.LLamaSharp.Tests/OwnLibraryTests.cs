using System.Diagnostics;
using System.Globalization;
using System.Numerics.Tensors;
using System.Text.Json;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Console;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using LLama;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>
/// LLamaSharp on Foretoken's library beside LLamaSharp on its own, LLamaSharp.Backend.Cpu of the same version, which runs in a process
/// of its own: one process loads one library.
/// </summary>
[Collection(nameof(ForetokenLibrary))]
public sealed class OwnLibraryTests(OwnLibraryTests.Both both) : IClassFixture<OwnLibraryTests.Both>
{
    public static TheoryData<string> Names => [.. Scenarios.All.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task LLamaSharp_does_what_it_does_on_its_own_library(string scenario) =>
        Assert.Equal(both.OnItsOwn[scenario], await Scenarios.All[scenario](both.OnForetoken));

    [Fact]
    public async Task A_staged_prefill_at_speed_1_changes_nothing()
    {
        StagedContext? staged = null;
        PrefillReport? report = null;
        string text = await both.OnForetoken.InteractiveAsync(
            async (executor, prompt) =>
            {
                staged = new StagedContext(executor.Context);
                report = await staged.PrefillAsync(executor, prompt, new PrefillRequest { TargetTtftSpeedup = 1 });
            }
        );
        staged!.Dispose();
        Assert.True(report!.PromptTokens > 40);
        Assert.Equal(both.OnItsOwn[Scenarios.Interactive], text);
    }

    [Fact]
    public async Task An_embedding_points_where_its_own_does()
    {
        float[] own = JsonSerializer.Deserialize<float[]>(both.OnItsOwn[Scenarios.Embedding])!;
        float[] ours = await both.OnForetoken.EmbedAsync();
        Assert.Equal(own.Length, ours.Length);
        Assert.InRange(TensorPrimitives.CosineSimilarity<float>(own, ours), 0.9999f, 1.0001f);
    }

    /// <summary>The same scenarios on both libraries.</summary>
    public sealed class Both : IDisposable
    {
        private const string Program = "Foretoken.LLamaSharp.Stock";

        public Both()
        {
            string threads = (TestModel.Threads > 0 ? TestModel.Threads : Environment.ProcessorCount).ToString(
                CultureInfo.InvariantCulture
            );
            OnItsOwn = Run(TestModel.FindPath(), threads);
            OnForetoken = new Scenarios(TestModel.FindPath(), int.Parse(threads, CultureInfo.InvariantCulture));
        }

        internal Scenarios OnForetoken { get; }

        /// <summary>What each scenario said.</summary>
        internal IReadOnlyDictionary<string, string> OnItsOwn { get; }

        public void Dispose() => OnForetoken.Dispose();

        private static Dictionary<string, string> Run(string model, string threads)
        {
            // bin/<configuration>/<framework>, as of these tests
            DirectoryInfo framework = new(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
            string program = Path.Combine(
                TestModel.Root,
                "tests",
                Program,
                "bin",
                framework.Parent!.Name,
                framework.Name,
                $"{Program}.dll"
            );
            using Process process = Process.Start(
                new ProcessStartInfo("dotnet", [program, model, threads])
                {
                    RedirectStandardOutput = true,
                    RedirectStandardError = true,
                }
            )!;
            // both are read, or a full one would stop the program
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, $"{Program} ended with {process.ExitCode}: {errors.Result}");
            return JsonSerializer.Deserialize<Dictionary<string, string>>(output)!;
        }
    }
}

using System.Diagnostics;
using System.Text;

namespace Foretoken.Samples.Tests;

/// <summary>Runs a sample as a user does: its own process, no arguments but those given, the model of the samples.</summary>
internal static class SampleProgram
{
    // loading, a few hundred tokens and an answer take seconds; this is for machines that do other things besides
    private static readonly TimeSpan _patience = TimeSpan.FromMinutes(5);

    internal static Task<SampleResult> RunAsync(string sample, params string[] arguments) =>
        RunWithInputAsync(sample, input: "", arguments);

    internal static Task<SampleResult> RunWithInputAsync(string sample, string input, params string[] arguments) =>
        RunAsync(Path.Combine("samples", sample), $"{sample}.dll", input, arguments);

    /// <summary>Runs the command <c>foretoken</c>.</summary>
    internal static Task<SampleResult> RunToolAsync(params string[] arguments) =>
        RunAsync(Path.Combine("src", "Foretoken.Cli"), "Foretoken.Cli.dll", input: "", arguments);

    private static async Task<SampleResult> RunAsync(string project, string file, string input, string[] arguments)
    {
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        string framework = new DirectoryInfo(AppContext.BaseDirectory).Name;
        string program = Path.Combine(Root, project, "bin", configuration, framework, file);
        ProcessStartInfo start = new("dotnet", [program, .. arguments])
        {
            WorkingDirectory = Root,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        using CancellationTokenSource stop = new(_patience);
        try
        {
            await process.WaitForExitAsync(stop.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{file} did not end: {await output}\n{await errors}");
        }
        return new(process.ExitCode, await output, await errors);
    }

    internal static string Root
    {
        get
        {
            DirectoryInfo? folder = new(AppContext.BaseDirectory);
            while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Plugin.sln")))
            {
                folder = folder.Parent;
            }
            return folder?.FullName
                ?? throw new DirectoryNotFoundException("The tests run from inside the source tree.");
        }
    }
}

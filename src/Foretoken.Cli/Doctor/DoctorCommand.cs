using System.CommandLine;
using Foretoken.Cli.Console;
using Foretoken.Cli.Options;

namespace Foretoken.Cli.Doctor;

/// <summary><c>foretoken doctor</c>: what this machine, the native library and a model have to do with each other.</summary>
internal static class DoctorCommand
{
    internal static Command Create(CliContext context)
    {
        Argument<string?> path = CommandOptions.Model();
        Option<string?> model = new("--model", "-m")
        {
            HelpName = "path",
            Description = "GGUF file. Default: the model that comes with the samples.",
        };
        Option<int> contextSize = new("--ctx")
        {
            HelpName = "n",
            Description = "Tokens of context to count memory for. Default: the model's own, at most 8192.",
        };
        contextSize.Whole(0, 1 << 30);
        Option<int> threads = CommandOptions.Threads("Threads that you mean to use. Default: as many as suit.");
        Option<bool> json = new("--json") { Description = "Print one JSON object, for a bug report." };
        Command command = new(
            "doctor",
            "Shows the processor, what the native library was compiled for and uses of it, memory, devices, and whether a model's weights have fast kernels here."
        )
        {
            path,
            model,
            contextSize,
            threads,
            json,
        };
        command.SetAction(parsed =>
            context.RunAsync(() =>
            {
                string? file = CommandOptions.ModelOf(parsed.GetValue(path), parsed.GetValue(model));
                DoctorReport report = Examination.Run(
                    file ?? SampleModelOrNull(),
                    parsed.GetValue(contextSize),
                    parsed.GetValue(threads)
                );
                if (parsed.GetValue(json))
                {
                    context.WriteRaw(report.ToJson());
                }
                else
                {
                    DoctorView.Show(context, report);
                }
                // a library or a model that cannot be used is a failure; what could be faster is not
                return Task.FromResult(
                    report.Library.Error is null && (report.Model is not null || file is null)
                        ? ExitCode.Ok
                        : ExitCode.Failed
                );
            })
        );
        return command;
    }

    private static string? SampleModelOrNull()
    {
        try
        {
            return RepositoryFolder.SampleModel();
        }
        catch (CliException)
        {
            // the machine can be looked at without one
            return null;
        }
    }
}

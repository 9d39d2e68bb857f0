using System.CommandLine;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Doctor;
using Foretoken.Cli.Growth;
using Foretoken.Cli.Quality;
using Foretoken.Cli.Scale;
using Foretoken.Cli.Tune;

namespace Foretoken.Cli;

/// <summary>The root of the command line.</summary>
internal static class ForetokenCommand
{
    internal static RootCommand Create(CliContext context)
    {
        RootCommand root = new("Llama-family models that answer sooner: measure, plan, and handle model files.")
        {
            BenchCommand.Create(context),
            PlanCommand.Create(context),
            CalibrateCommand.Create(context),
            ScaleCommand.Create(context),
            QualityCommand.Create(context),
            TuneCommand.Create(context),
            GrowthCommand.Create(context),
            SyntheticCommand.Create(context),
            SplitCommand.Create(context),
            DoctorCommand.Create(context),
        };
        root.HelpName = "foretoken";
        return root;
    }
}

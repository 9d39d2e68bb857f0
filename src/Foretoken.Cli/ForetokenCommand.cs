using System.CommandLine;
using System.CommandLine.Parsing;
using Foretoken.Cli.Bench;
using Foretoken.Cli.Calibrate;
using Foretoken.Cli.Chat;
using Foretoken.Cli.Console;
using Foretoken.Cli.Doctor;
using Foretoken.Cli.Models;
using Foretoken.Cli.Plan;
using Foretoken.Cli.Quality;
using Foretoken.Cli.Scale;
using Foretoken.Cli.Tune;

namespace Foretoken.Cli;

/// <summary>The root of the command line.</summary>
internal static class ForetokenCommand
{
    internal static RootCommand Create(CliContext context)
    {
        RootCommand root = new("Llama-family models that answer sooner: chat, measure, plan, and handle model files.")
        {
            BenchCommand.Create(context),
            PlanCommand.Create(context),
            CalibrateCommand.Create(context),
            ScaleCommand.Create(context),
            QualityCommand.Create(context),
            TuneCommand.Create(context),
            SyntheticCommand.Create(context),
            SplitCommand.Create(context),
            DoctorCommand.Create(context),
        };
        root.HelpName = "foretoken";
        EmptyText.Refuse(root);
        // refuses its own: an empty system prompt means something
        root.Add(ChatCommand.Create(arguments => ChatProgram.RunAsync(context, arguments)));
        return root;
    }

    /// <summary>Runs a command line.</summary>
    /// <returns>The exit code.</returns>
    internal static async Task<int> InvokeAsync(CliContext context, string[] arguments)
    {
        ParseResult parsed = Create(context).Parse(HelpVerb.Rewrite(arguments));
        if (parsed.Errors.Count > 0)
        {
            foreach (ParseError error in parsed.Errors)
            {
                ErrorText.Write(context.Errors, error.Message);
            }
            context.Note("--help lists commands and options.");
            return ExitCode.Usage;
        }
        foreach (OptionResult option in parsed.CommandResult.Children.OfType<OptionResult>())
        {
            if (NumberListOption.Note(option) is { } note)
            {
                context.Note(note);
            }
        }

        // a command that is cancelled still writes what it has; the default would end it after two seconds. Ctrl+C in a chat
        // cancels an answer, not the chat
        bool isChat = parsed.CommandResult.Command.Name == ChatCommand.Name;
        return await parsed.InvokeAsync(
            new InvocationConfiguration
            {
                ProcessTerminationTimeout = isChat ? null : TimeSpan.FromMinutes(1),
                // help is written where results are
                Output = context.Output.Profile.Out.Writer,
            }
        );
    }
}

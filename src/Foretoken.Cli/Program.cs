// The `foretoken` command. `foretoken --help` lists what it can do.

using System.CommandLine;
using Foretoken.Cli;
using Spectre.Console;

CliContext context = new(
    Terminal.Create(Console.Out, Console.IsOutputRedirected),
    Terminal.Create(Console.Error, Console.IsErrorRedirected)
);
ParseResult parsed = ForetokenCommand.Create(context).Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
    {
        ErrorText.Write(context.Errors, error.Message);
    }
    context.Errors.WriteLine("--help lists commands and options.");
    return ExitCode.Usage;
}

// a command that is cancelled still writes what it has; the default would end it after two seconds
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromMinutes(1) });

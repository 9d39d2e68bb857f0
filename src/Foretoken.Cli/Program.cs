// The `foretoken` command. `foretoken --help` lists what it can do.
using Foretoken.Cli;
using Foretoken.Cli.Console;

return await ForetokenCommand.InvokeAsync(
    new CliContext(
        Terminal.Create(System.Console.Out, System.Console.IsOutputRedirected),
        Terminal.Create(System.Console.Error, System.Console.IsErrorRedirected)
    ),
    args
);

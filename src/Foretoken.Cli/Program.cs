// The `foretoken` command. `foretoken --help` lists what it can do.

using Foretoken.Cli;

return await ForetokenCommand.InvokeAsync(
    new CliContext(
        Terminal.Create(Console.Out, Console.IsOutputRedirected),
        Terminal.Create(Console.Error, Console.IsErrorRedirected)
    ),
    args
);

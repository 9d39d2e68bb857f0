namespace Foretoken.Cli.Chat;

/// <summary>Runs the chat on the terminal and the model of this process.</summary>
internal static class ChatProgram
{
    /// <returns>The exit code.</returns>
    internal static async Task<int> RunAsync(CliContext context, ChatArguments arguments)
    {
        using Interrupt interrupt = new();
        bool redirected = System.Console.IsInputRedirected;
        ChatApp app = new(
            context.Output,
            context.Errors,
            interrupt,
            async (options, progress, cancellationToken) =>
                await ForetokenChatClient.CreateAsync(options, progress, cancellationToken)
        )
        {
            // at a terminal .NET reads lines, edits them, and knows Ctrl+D
            Input = redirected ? TextFile.Open(System.Console.OpenStandardInput()) : System.Console.In,
            InputIsTerminal = !redirected,
        };
        return await app.RunAsync(arguments);
    }
}

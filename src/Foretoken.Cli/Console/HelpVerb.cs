namespace Foretoken.Cli.Console;

/// <summary><c>help</c> in front of what help is wanted about, as many programs have it.</summary>
internal static class HelpVerb
{
    /// <summary><c>help bench</c> as <c>bench --help</c>; anything else as it is.</summary>
    internal static string[] Rewrite(string[] arguments) =>
        arguments is [var first, .. var rest] && first.Equals("help", StringComparison.OrdinalIgnoreCase)
            ? [.. rest, "--help"]
            : arguments;
}

namespace Foretoken.Cli.Chat;

/// <summary>What a typed line asks for.</summary>
internal enum ChatInputKind
{
    Nothing,
    Question,
    Speed,
    File,
    Files,
    Drop,
    Stats,
    Reset,
    Help,
    Quit,
    Unknown,
}

/// <summary>One line of input: a question, or a command that starts with a slash.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">The question, or what follows the command.</param>
internal readonly record struct ChatInput(ChatInputKind Kind, string Text)
{
    internal static ChatInput Parse(string line)
    {
        line = line.Trim();
        if (line.Length == 0)
        {
            return new(ChatInputKind.Nothing, "");
        }
        if (line[0] != '/')
        {
            return new(ChatInputKind.Question, line);
        }
        int space = line.IndexOf(' ', StringComparison.Ordinal);
        string command = space < 0 ? line : line[..space];
        string rest = space < 0 ? "" : line[space..].Trim();
        ChatInputKind kind = command.ToUpperInvariant() switch
        {
            "/SPEED" => ChatInputKind.Speed,
            "/FILE" => ChatInputKind.File,
            "/FILES" => ChatInputKind.Files,
            "/DROP" => ChatInputKind.Drop,
            "/STATS" => ChatInputKind.Stats,
            "/RESET" => ChatInputKind.Reset,
            "/HELP" or "/?" => ChatInputKind.Help,
            "/QUIT" or "/EXIT" => ChatInputKind.Quit,
            _ => ChatInputKind.Unknown,
        };
        return new(kind, kind == ChatInputKind.Unknown ? command : rest);
    }
}

using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>A <see cref="CompletionMode"/> as requests and settings spell it; a command line may write hyphens.</summary>
internal static class CompletionModeText
{
    /// <summary>Every mode and its text.</summary>
    internal static readonly (CompletionMode Mode, string Text)[] Modes =
    [
        (CompletionMode.Never, "never"),
        (CompletionMode.WhileAnswering, "while_answering"),
        (CompletionMode.WhenIdle, "when_idle"),
        (CompletionMode.Always, "always"),
    ];

    /// <exception cref="ArgumentOutOfRangeException">There is no such mode.</exception>
    internal static string Format(CompletionMode mode) =>
        Array.Find(Modes, one => one.Mode == mode).Text
        ?? throw new ArgumentOutOfRangeException(nameof(mode), mode, "There is no such mode of completion.");

    /// <exception cref="ArgumentException">It is none of the texts.</exception>
    internal static CompletionMode Parse(string key, string text)
    {
        foreach ((CompletionMode mode, string name) in Modes)
        {
            if (string.Equals(name, text.Replace('-', '_'), StringComparison.OrdinalIgnoreCase))
            {
                return mode;
            }
        }
        throw new ArgumentException(
            $"The option '{key}' is one of {string.Join(", ", Modes.Select(one => one.Text))}; '{text}' is not."
        );
    }
}

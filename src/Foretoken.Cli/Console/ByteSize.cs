using System.Globalization;

namespace Foretoken.Cli.Console;

/// <summary>Sizes as people type and read them: 45MB, 512MiB, 1.5GiB, 1000000.</summary>
internal static class ByteSize
{
    private static readonly (string Suffix, long Factor)[] Units =
    [
        ("KIB", 1L << 10),
        ("MIB", 1L << 20),
        ("GIB", 1L << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];

    /// <exception cref="CliException">It is not a size.</exception>
    internal static long Parse(string text)
    {
        string upper = text.Trim().ToUpperInvariant();
        foreach ((string suffix, long factor) in Units)
        {
            if (!upper.EndsWith(suffix, StringComparison.Ordinal))
            {
                continue;
            }
            string typed = upper[..^suffix.Length].TrimEnd();
            if (NumberText.TryParse(typed, out double number, out _))
            {
                if (number * factor is >= 1 and <= long.MaxValue / 2)
                {
                    return (long)(number * factor);
                }
            }
            else if (
                typed.Length > 0
                && char.IsDigit(typed[^1])
                && NumberText.Suggest(typed, isWhole: false) is { } meant
            )
            {
                throw new CliException($"'{text}' is not a size: write {meant}{text.Trim()[typed.Length..]}.");
            }
        }
        throw new CliException($"'{text}' is not a size. Sizes are numbers with a unit: 45MB, 512MiB, 2GB, 1000000.");
    }

    internal static string Format(long bytes) =>
        bytes switch
        {
            < 1 << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
            < 1 << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:0.00} GiB"),
        };
}

using System.Globalization;

namespace Foretoken.Cli.Console;

/// <summary>Text that is the same whatever the user's culture.</summary>
internal static class InvariantText
{
    internal static string I(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

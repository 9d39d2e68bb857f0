using System.Net;

namespace Foretoken.Cli.Pages;

/// <summary>Text for pages.</summary>
internal static class PageText
{
    /// <summary>Text that is shown as it is, whatever characters it has.</summary>
    internal static string E(string text) => WebUtility.HtmlEncode(text);
}

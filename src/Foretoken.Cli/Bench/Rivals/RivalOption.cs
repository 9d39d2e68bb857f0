using Foretoken.Cli.Console;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>
/// A rival as it is named on the command line: <c>http://host:port[/path][,model=NAME]</c>, <c>llamasharp</c> or
/// <c>node-llama-cpp</c>.
/// </summary>
/// <param name="Endpoint">Address of the OpenAI protocol; null for a program.</param>
/// <param name="Model">Name of the model in requests; null for the first one that the server lists.</param>
/// <param name="Program">Name of a program; null for a server.</param>
internal sealed record RivalOption(Uri? Endpoint, string? Model, string? Program = null)
{
    internal const string LLamaSharp = "llamasharp";
    internal const string NodeLlamaCpp = "node-llama-cpp";

    private const string ModelPart = "model=";

    /// <exception cref="CliException">It is neither.</exception>
    internal static RivalOption Parse(string text)
    {
        if (text is LLamaSharp or NodeLlamaCpp)
        {
            return new RivalOption(null, null, text);
        }
        string[] parts = text.Split(',', 2, StringSplitOptions.TrimEntries);
        string? model =
            parts.Length == 1 ? null
            : parts[1].StartsWith(ModelPart, StringComparison.Ordinal) ? parts[1][ModelPart.Length..]
            : "";
        if (
            model == ""
            || !Uri.TryCreate(parts[0], UriKind.Absolute, out Uri? address)
            || address.Scheme is not ("http" or "https")
        )
        {
            throw new CliException(
                $"'{text}' is no rival. A rival is the address of a server that speaks the OpenAI protocol, as in http://127.0.0.1:8080,model=NAME (the model may be left out), {LLamaSharp} or {NodeLlamaCpp}."
            );
        }
        return new RivalOption(WithVersion(address), model);
    }

    /// <summary>The protocol's paths begin with /v1 wherever nothing else is said.</summary>
    internal static Uri WithVersion(Uri address) =>
        address.AbsolutePath is "" or "/" ? new Uri(address, "/v1") : address;
}

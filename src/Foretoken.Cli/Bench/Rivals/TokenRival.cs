using System.Diagnostics;
using System.Text.Json;
using Foretoken.Cli.Console;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>
/// A program that runs the very tokens that both of our sides get. It says its version once it is ready, and answers each prompt, a
/// line with the number of tokens to decode after the first and the prompt's, with a line of JSON: <c>ttft</c> and
/// <c>decode</c>, milliseconds by its own clock.
/// </summary>
internal sealed class TokenRival : IRival
{
    private readonly JsonLineProcess _process;

    private TokenRival(JsonLineProcess process, string name, string note)
    {
        _process = process;
        Name = name;
        Note = note;
    }

    public string Name { get; }

    public string Note { get; }

    /// <param name="option">What it is called on the command line, and with its version in tables.</param>
    /// <param name="needs">What messages say that it needs.</param>
    /// <param name="note">As <see cref="IRival.Note"/>.</param>
    /// <param name="start">What to start.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="CliException">It could not be started, or fails.</exception>
    internal static async Task<TokenRival> StartAsync(
        string option,
        string needs,
        string note,
        ProcessStartInfo start,
        CancellationToken cancellationToken
    )
    {
        JsonLineProcess process = JsonLineProcess.Start($"The rival {option} ({needs})", start);
        try
        {
            JsonElement ready = await process.ReadFirstAsync(cancellationToken);
            return new TokenRival(process, $"{option} {ready.GetProperty("version").GetString()}".TrimEnd(), note);
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    public RivalRun Run(RivalPrompt prompt, int decodeTokens, CancellationToken cancellationToken)
    {
        JsonElement answer = _process.Ask(
            FormattableString.Invariant($"{decodeTokens} {string.Join(' ', prompt.Tokens)}"),
            cancellationToken
        );
        return new RivalRun
        {
            TtftMs = answer.GetProperty("ttft").GetDouble(),
            PromptTokens = prompt.Tokens.Count,
            DecodeMs = [.. answer.GetProperty("decode").EnumerateArray().Select(ms => ms.GetDouble())],
        };
    }

    public void Dispose() => _process.Dispose();
}

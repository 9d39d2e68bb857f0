using Foretoken.Cli.Console;

namespace Foretoken.Cli.Bench.Rivals;

/// <summary>Another program that answers the same prompts; its time to first token is measured beside ours.</summary>
internal interface IRival : IDisposable
{
    /// <summary>What it is called in tables.</summary>
    string Name { get; }

    /// <summary>What has to be known about its numbers, for people.</summary>
    string Note { get; }

    /// <summary>Answers one prompt.</summary>
    /// <param name="prompt">The prompt; nothing of it may come from a cache.</param>
    /// <param name="decodeTokens">Tokens to decode after the first.</param>
    /// <param name="cancellationToken">Stops the run.</param>
    /// <exception cref="CliException">It failed; the message says how.</exception>
    RivalRun Run(RivalPrompt prompt, int decodeTokens, CancellationToken cancellationToken);
}

/// <summary>A prompt as tokens for a rival that takes tokens, and about as long as text for one that takes text.</summary>
internal sealed record RivalPrompt(IReadOnlyList<int> Tokens, string Text);

/// <summary>One run of a rival.</summary>
internal sealed record RivalRun
{
    /// <summary>From asking to the first token, by our clock, milliseconds.</summary>
    public required double TtftMs { get; init; }

    /// <summary>Tokens of the prompt as the rival counts them, its chat template included; null when it does not say.</summary>
    public required int? PromptTokens { get; init; }

    /// <summary>Milliseconds between its further tokens.</summary>
    public IReadOnlyList<double> DecodeMs { get; init; } = [];
}

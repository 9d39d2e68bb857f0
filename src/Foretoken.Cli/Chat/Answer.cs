using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Cli.Chat;

/// <summary>One answer and what is known about how it came.</summary>
internal sealed record Answer
{
    /// <summary>The text so far, when the answer was cancelled.</summary>
    public required string Text { get; init; }

    /// <summary>Null when the answer was cancelled before it was complete.</summary>
    public PrefillReport? Report { get; init; }

    public ChatFinishReason? FinishReason { get; init; }

    /// <summary>Null when the answer was cancelled.</summary>
    public long? OutputTokens { get; init; }

    /// <summary>Dropped tokens of the prompt that came back because the answer quotes them; null when the answer was cancelled.</summary>
    public long? RestoredTokens { get; init; }

    /// <summary>Tokens per second after the first one; null with fewer than two tokens.</summary>
    public double? TokensPerSecond { get; init; }

    public bool WasCancelled { get; init; }
}

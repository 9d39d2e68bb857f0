using Foretoken.Inference;
using Microsoft.Extensions.AI;

namespace Foretoken.Samples.Chat;

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

    /// <summary>Tokens per second after the first one; null with fewer than two tokens.</summary>
    public double? TokensPerSecond { get; init; }

    public bool WasCancelled { get; init; }

    /// <summary>
    /// The speedup that the stage times of this very prefill speak for: the first stage ran every token, so its time per layer,
    /// times all layers, estimates what plain prefill would have taken. An estimate from one run, on one side only;
    /// <c>foretoken bench</c> measures against unpatched llama.cpp. Null when nothing was left out.
    /// </summary>
    internal static double? EstimateSpeedup(PrefillReport report)
    {
        if (report.Stages.Count < 2 || report.PrefillTime <= TimeSpan.Zero)
        {
            return null;
        }
        PrefillStageReport first = report.Stages[0];
        int layers = report.Stages[^1].LayerEnd - first.LayerBegin;
        return first.Time * layers / (first.LayerEnd - first.LayerBegin) / report.PrefillTime;
    }
}

using System.Globalization;

namespace Foretoken.Errors;

/// <summary>A speedup was asked for, strictly, that no plan reaches for this prompt.</summary>
public sealed class PlanUnreachableException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="targetSpeedup">The speedup that was asked for.</param>
    /// <param name="reachableSpeedup">The best that is possible for this prompt.</param>
    /// <param name="promptTokens">New tokens of the prompt.</param>
    /// <param name="reason">Why no more is possible.</param>
    /// <param name="isDecode">Whether the speedup is that of an output token; otherwise it is that of the time to first token.</param>
    public PlanUnreachableException(
        double targetSpeedup,
        double reachableSpeedup,
        int promptTokens,
        string reason,
        bool isDecode = false
    )
        : base(
            string.Create(
                CultureInfo.InvariantCulture,
                $"A speedup of {targetSpeedup:0.##}{(isDecode ? " per output token" : "")} was asked for; {reachableSpeedup:0.00} is possible for {promptTokens} new tokens. {reason} "
                    + $"Ask for less, protect fewer tokens, or allow the best that is possible by not asking strictly."
            )
        )
    {
        IsDecode = isDecode;
        TargetSpeedup = targetSpeedup;
        ReachableSpeedup = reachableSpeedup;
        PromptTokens = promptTokens;
    }

    /// <summary>Whether the speedups are those of an output token; otherwise they are those of the time to first token.</summary>
    public bool IsDecode { get; }

    /// <summary>The speedup that was asked for.</summary>
    public double TargetSpeedup { get; }

    /// <summary>The best speedup that is possible for this prompt, as the cost model estimates it.</summary>
    public double ReachableSpeedup { get; }

    /// <summary>New tokens of the prompt.</summary>
    public int PromptTokens { get; }
}

using System.Globalization;

namespace Foretoken.Planning;

/// <summary>A speedup was asked for, strictly, that no plan reaches for this prompt.</summary>
public sealed class PlanUnreachableException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="targetSpeedup">The speedup that was asked for.</param>
    /// <param name="reachableSpeedup">The best that is possible for this prompt.</param>
    /// <param name="promptTokens">New tokens of the prompt.</param>
    /// <param name="reason">Why no more is possible.</param>
    public PlanUnreachableException(double targetSpeedup, double reachableSpeedup, int promptTokens, string reason)
        : base(
            string.Create(
                CultureInfo.InvariantCulture,
                $"A speedup of {targetSpeedup:0.##} was asked for; {reachableSpeedup:0.00} is possible for {promptTokens} new tokens. {reason} "
                    + $"Ask for less, protect fewer tokens, or allow the best that is possible by not asking strictly."
            )
        )
    {
        TargetSpeedup = targetSpeedup;
        ReachableSpeedup = reachableSpeedup;
        PromptTokens = promptTokens;
    }

    /// <summary>The speedup that was asked for.</summary>
    public double TargetSpeedup { get; }

    /// <summary>The best speedup that is possible for this prompt, as the cost model estimates it.</summary>
    public double ReachableSpeedup { get; }

    /// <summary>New tokens of the prompt.</summary>
    public int PromptTokens { get; }
}

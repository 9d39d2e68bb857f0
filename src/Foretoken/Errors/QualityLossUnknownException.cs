using System.Globalization;

namespace Foretoken.Errors;

/// <summary>A plan within a quality budget was asked for, strictly, but what plans lose was not measured for this model.</summary>
public sealed class QualityLossUnknownException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="maxQualityLoss">The loss that was allowed, in nats.</param>
    public QualityLossUnknownException(double maxQualityLoss)
        : base(
            string.Create(
                CultureInfo.InvariantCulture,
                $"A quality loss of at most {maxQualityLoss:0.###} nats was asked for, but no loss was measured for this model and importance. "
                    + $"Use the learned importance of a model with a tuned profile, ask for a speedup instead, or allow plain prefill by not asking strictly."
            )
        ) => MaxQualityLoss = maxQualityLoss;

    /// <summary>The loss that was allowed: KL divergence from full prefill, in nats.</summary>
    public double MaxQualityLoss { get; }
}

using System.Globalization;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;

namespace Foretoken.Tuning.Quality;

/// <summary>A way of thinning whose quality is measured: an importance, and a speedup or a plan. Immutable.</summary>
internal sealed record QualityCase
{
    /// <summary>Thins as the planner would for a speedup.</summary>
    /// <param name="importance">What ranks the tokens.</param>
    /// <param name="target">The speedup, 1 to <see cref="PrefillPlanner.MaxTargetSpeedup"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The target is out of range.</exception>
    public QualityCase(IImportancePolicy importance, double target)
    {
        ArgumentNullException.ThrowIfNull(importance);
        Importance = importance;
        Target = PrefillPlanner.EnsureValidTarget(target, nameof(target));
    }

    /// <summary>Thins by a given plan.</summary>
    /// <param name="importance">What ranks the tokens.</param>
    /// <param name="plan">The plan.</param>
    public QualityCase(IImportancePolicy importance, PrefillPlan plan)
    {
        ArgumentNullException.ThrowIfNull(importance);
        ArgumentNullException.ThrowIfNull(plan);
        Importance = importance;
        Plan = plan;
    }

    /// <summary>What ranks the tokens.</summary>
    public IImportancePolicy Importance { get; }

    /// <summary>The speedup that is asked for; <see langword="null"/> with a given plan.</summary>
    public double? Target { get; }

    /// <summary>The given plan; <see langword="null"/> with a target.</summary>
    public PrefillPlan? Plan { get; }

    /// <summary>
    /// Whether, beside a target, learned thresholds leave out more where little of a prompt matters, as
    /// <see cref="PlanRequest.UseThresholds"/> does. Default false.
    /// </summary>
    public bool UseThresholds { get; init; }

    /// <summary>Name of the way to choose the tokens: the importance's, with <c>+thresholds</c> where they are used.</summary>
    public string Name => UseThresholds ? $"{Importance.Name}+thresholds" : Importance.Name;

    /// <inheritdoc/>
    public override string ToString() =>
        Target is { } target
            ? string.Create(CultureInfo.InvariantCulture, $"{Name} at {target:0.##}x")
            : $"{Importance.Name}, {Plan}";
}

using Foretoken.Plans;
using Foretoken.Skips;

namespace Foretoken.Planning;

/// <summary>Plans that differ in how much they save: those along a schedule, with an option to skip or without, or the option alone.</summary>
/// <param name="Schedule">Along which tokens leave; null where none do.</param>
/// <param name="Skip">What layers are skipped; null for none.</param>
/// <param name="Counted">The skips as costs count them.</param>
internal readonly record struct PlanFamily(PrefillSchedule? Schedule, SkipOption? Skip, LayerSkip[] Counted)
{
    internal int Length => Schedule?.Length ?? 0;

    /// <summary>Expected loss in nats; infinite when it was not measured.</summary>
    internal double LossAt(double position) =>
        (Skip?.Loss ?? 0) + (Schedule is null || position == 0 ? 0 : Schedule.LossAt(position));
}

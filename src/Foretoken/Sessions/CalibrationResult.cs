using Foretoken.Costs;

namespace Foretoken.Sessions;

/// <summary>What a calibration measured.</summary>
/// <param name="Time">How long it took.</param>
/// <param name="Prefills">Prefills that were measured, the warm-up not among them.</param>
/// <param name="CachePath">The file that the times are cached in; null when there is no place for one.</param>
public sealed record CalibrationResult(TimeSpan Time, int Prefills, string? CachePath)
{
    /// <summary>Whether plans rest on these times from now on; false when the budget was too short.</summary>
    public bool IsEnough => Costs is not null;

    /// <summary>What prefills cost by these times; null when the budget was too short.</summary>
    internal MeasuredPrefillCost? Costs { get; init; }
}

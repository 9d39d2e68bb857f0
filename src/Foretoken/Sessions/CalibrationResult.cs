using Foretoken.Costs;

namespace Foretoken.Sessions;

/// <summary>What a calibration measured.</summary>
/// <param name="Profile">The cost profile; null when the budget was too short for one.</param>
/// <param name="Time">How long it took.</param>
/// <param name="Prefills">Prefills that were measured, the warm-up not among them.</param>
/// <param name="CachePath">The file that it is cached in; null when there is no place for one.</param>
public sealed record CalibrationResult(MeasuredPrefillCost? Profile, TimeSpan Time, int Prefills, string? CachePath);

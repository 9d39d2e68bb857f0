namespace Foretoken.Sessions;

/// <summary>What a prefill did, and how long it took.</summary>
/// <param name="Native">What the native side reports.</param>
/// <param name="Decision">What was decided before.</param>
/// <param name="Adapters">The LoRA adapters that it was computed with.</param>
/// <param name="Reused">Tokens that were there before.</param>
/// <param name="Computed">Tokens that were computed.</param>
/// <param name="Elapsed">All of its time.</param>
/// <param name="CpuShare">Share of the threads' time that they computed, 0 to 1.</param>
internal sealed record PrefillMeasurement(
    NativePrefillReport Native,
    PrefillDecision Decision,
    ScaledAdapter[] Adapters,
    int Reused,
    int Computed,
    TimeSpan Elapsed,
    double CpuShare
);

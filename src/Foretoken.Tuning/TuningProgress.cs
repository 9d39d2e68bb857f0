namespace Foretoken.Tuning;

/// <summary>How far a tuning is.</summary>
/// <param name="Phase">What it is doing.</param>
/// <param name="Fraction">Share of the phase that is done, 0 to 1.</param>
/// <param name="Resumed">Prompts that an earlier, interrupted run had gathered already.</param>
/// <param name="Elapsed">Time since the phase began.</param>
/// <param name="Remaining">Time left in the phase, estimated; <see langword="null"/> when nothing is known yet.</param>
internal readonly record struct TuningProgress(
    TuningPhase Phase,
    double Fraction,
    int Resumed,
    TimeSpan Elapsed,
    TimeSpan? Remaining
);

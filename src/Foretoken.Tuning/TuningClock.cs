namespace Foretoken.Tuning;

/// <summary>Tells how far a phase is, and how long it still takes by what it took so far.</summary>
internal sealed class TuningClock(TimeProvider time, IProgress<TuningProgress>? progress, TuningPhase phase)
{
    // below, the difference of two sums is rounding, and dividing by it no estimate
    private const double LeastWorked = 1e-6;

    private readonly long _start = time.GetTimestamp();
    private double _resumed;
    private int _resumedCount;

    internal void Report(double fraction, double resumed = 0)
    {
        if (resumed > 0)
        {
            _resumed += resumed;
            _resumedCount++;
        }

        TimeSpan elapsed = time.GetElapsedTime(_start);
        double worked = fraction - _resumed;
        progress?.Report(
            new TuningProgress(
                phase,
                Math.Min(1, fraction),
                _resumedCount,
                elapsed,
                worked > LeastWorked ? elapsed * Math.Max(0, (1 - fraction) / worked) : null
            )
        );
    }
}

using Foretoken.Tuning;

namespace Foretoken.Tests.Tuning;

/// <summary>Cancels a tuning at one of its reports.</summary>
internal sealed class CancellingProgress(CancellationTokenSource source, int after) : IProgress<TuningProgress>
{
    private int _reports;

    public void Report(TuningProgress value)
    {
        if (++_reports == after)
        {
            source.Cancel();
        }
    }
}

using Foretoken.Tuning;

namespace Foretoken.Tests.Tuning;

/// <summary>Remembers what a tuning reported.</summary>
internal sealed class ToldProgress(List<TuningProgress> told) : IProgress<TuningProgress>
{
    public void Report(TuningProgress value) => told.Add(value);
}

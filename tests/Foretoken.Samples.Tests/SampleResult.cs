namespace Foretoken.Samples.Tests;

/// <summary>What a sample printed before it ended.</summary>
internal sealed record SampleResult(int ExitCode, string Output, string Errors)
{
    internal SampleResult EnsureSucceeded()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}\n{Output}\n{Errors}");
        return this;
    }
}

using Foretoken.Cli.Machine;

namespace Foretoken.Cli.Bench;

/// <summary>One side of the comparison.</summary>
internal interface IBenchEngine
{
    /// <summary>Runs a prompt from an empty cache, and decodes greedily after it.</summary>
    /// <param name="prompt">The tokens; both sides of a pair get the same.</param>
    /// <param name="what">How to prefill it; the baseline prefills plainly whatever it says.</param>
    /// <param name="decodeTokens">Tokens to decode; 0 for none.</param>
    /// <param name="cancellationToken">Stops the run.</param>
    EngineRun Run(int[] prompt, BenchCase what, int decodeTokens, CancellationToken cancellationToken);

    /// <summary>What the process of this side has used so far.</summary>
    ProcessUsage Usage();
}

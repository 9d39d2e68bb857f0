using Foretoken.Sessions;

namespace Foretoken.Cli.Bench;

/// <summary>One measured run of one side.</summary>
internal sealed record EngineRun
{
    /// <summary>
    /// From handing over the tokens to the first token being chosen, milliseconds. The baseline's ends with the logits: choosing
    /// the token is not counted there, which is to our disadvantage.
    /// </summary>
    public required double TtftMs { get; init; }

    /// <summary>CPU time of the process meanwhile, all threads, milliseconds.</summary>
    public required double CpuMs { get; init; }

    /// <summary>The most likely first token.</summary>
    public required int FirstToken { get; init; }

    /// <summary>FNV-1a (64 bit, hexadecimal) of the bytes of the logits behind the prompt.</summary>
    public required string LogitsHash { get; init; }

    /// <summary>Tokens that were decoded greedily after the prompt.</summary>
    public IReadOnlyList<int> DecodedTokens { get; init; } = [];

    /// <summary>Milliseconds of each of them.</summary>
    public IReadOnlyList<double> DecodeMs { get; init; } = [];

    /// <summary>The largest speedup that could have been asked for with this prompt; null for the baseline.</summary>
    public double? ReachableSpeedup { get; init; }

    /// <summary>What the prefill did; null for the baseline.</summary>
    public PrefillReport? Report { get; init; }
}

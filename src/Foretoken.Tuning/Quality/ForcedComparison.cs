using Foretoken.Sessions;

namespace Foretoken.Tuning.Quality;

/// <summary>What leaving something out did to a forced answer.</summary>
/// <param name="Kl">KL(full || other) over the answer's tokens, mean, nats.</param>
/// <param name="Agreement">Share of the tokens at which the most likely one is the same.</param>
/// <param name="Parting">The first token at which it is not; -1 for none.</param>
/// <param name="Chosen">The token that would have been chosen there; -1 for none.</param>
/// <param name="DecodeMs">
/// Median time of a decoded token, with its share of the time in which quoted passages were brought back;
/// <see langword="null"/> when none was decoded.
/// </param>
/// <param name="RestoredTokens">Tokens that were brought back because the answer quotes them.</param>
/// <param name="RestoredAtParting">Those of them before <paramref name="Chosen"/>.</param>
internal readonly record struct ForcedComparison(
    double Kl,
    double Agreement,
    int Parting,
    int Chosen,
    double? DecodeMs,
    int RestoredTokens,
    int RestoredAtParting
)
{
    /// <summary>As <see cref="Kl"/>, over the first eight tokens.</summary>
    internal double KlOfFirst { get; init; }

    /// <summary>When each token was there, from the first one on, with what was completed in front of it; that of the first is 0.</summary>
    internal IReadOnlyList<double> ArrivalsMs { get; init; } = [];

    /// <summary>What was completed meanwhile.</summary>
    internal CompletionReport? Completion { get; init; }
}

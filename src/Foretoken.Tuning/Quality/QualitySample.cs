using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tuning.Quality;

/// <summary>What one prompt, thinned in one way, gave beside full prefill. Immutable.</summary>
internal sealed record QualitySample
{
    /// <summary>The prompt's <see cref="DocumentPrompt.Id"/>.</summary>
    public required string Prompt { get; init; }

    /// <summary>The prompt's <see cref="DocumentPrompt.KindName"/>.</summary>
    public required string Kind { get; init; }

    /// <summary>The length that was asked for, in tokens; 0 for prompts that were not generated.</summary>
    public required int Length { get; init; }

    /// <summary>Tokens of the rendered prompt, template included.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>Its leading tokens that were thinned: all of them, or, when the question comes in the next turn, those of the first turn.</summary>
    public required int ThinnedTokens { get; init; }

    /// <summary>Kinds of the planted facts; the one that is asked for comes first.</summary>
    public required IReadOnlyList<string> Facts { get; init; }

    /// <summary>Name of the importance, as <see cref="QualityCase.Name"/> has it.</summary>
    public required string Importance { get; init; }

    /// <summary>The speedup that was asked for; that of the cost model when a plan was given.</summary>
    public required double Target { get; init; }

    /// <summary>The plan that was given; <see langword="null"/> when a speedup was asked for.</summary>
    public PrefillPlan? GivenPlan { get; init; }

    /// <summary>The plan that ran.</summary>
    public required PrefillPlan Plan { get; init; }

    /// <summary>The speedup that the cost model estimates for it.</summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>Milliseconds of the full prefill of the same tokens in the same run.</summary>
    public required double FullPrefillMs { get; init; }

    /// <summary>Milliseconds of the thinned prefill, selection included.</summary>
    public required double PrefillMs { get; init; }

    /// <summary>
    /// Milliseconds of a forced output token behind full prefill, median; <see langword="null"/> when none was decoded.
    /// </summary>
    public double? FullDecodeMs { get; init; }

    /// <summary>
    /// The same tokens behind the thinned prefill, in the same run, with their share of the time in which quoted passages were
    /// brought back.
    /// </summary>
    public double? DecodeMs { get; init; }

    /// <summary>
    /// Share of the prompt's tokens that were computed, averaged over the layers, 0 to 1. In a block that is
    /// skipped it is none, and where a token only writes keys and values it is not computed; a skipped sublayer does not count.
    /// </summary>
    public required double KeptShare { get; init; }

    /// <summary>Tokens of the full model's answer that were forced.</summary>
    public required int ForcedTokens { get; init; }

    /// <summary>KL divergence of the next-token distribution from that behind full prefill, KL(full || thinned), mean over the forced tokens, nats.</summary>
    public required double Kl { get; init; }

    /// <summary>As <see cref="Kl"/>, over the first eight of them.</summary>
    public double KlOfFirst { get; init; }

    /// <summary>
    /// Milliseconds from the beginning of full prefill until each token of the answer was there, from the first one on.
    /// </summary>
    public IReadOnlyList<double> FullArrivalsMs { get; init; } = [];

    /// <summary>The same from the beginning of the thinned prefill, with what was completed meanwhile.</summary>
    public IReadOnlyList<double> ArrivalsMs { get; init; } = [];

    /// <summary>What was completed while the answer was forced; <see langword="null"/> for nothing.</summary>
    public CompletionReport? Completion { get; init; }

    /// <summary>Share of the forced tokens at which the most likely token is the same.</summary>
    public required double Agreement { get; init; }

    /// <summary>Tokens that were brought back because the forced answer quotes them.</summary>
    public int RestoredTokens { get; init; }

    /// <summary>Whether the greedy answer behind full prefill holds what is expected; <see langword="null"/> when nothing is.</summary>
    public required bool? AnsweredByFullPrefill { get; init; }

    /// <summary>
    /// Whether the greedy answer behind the thinned prefill does; <see langword="null"/> when nothing is expected, or when
    /// full prefill does not answer either.
    /// </summary>
    public required bool? Answered { get; init; }

    /// <summary>The greedy answer behind full prefill.</summary>
    public required string FullAnswer { get; init; }

    /// <summary>
    /// The greedy answer behind the thinned prefill, as far as it was needed to judge it; <see langword="null"/> when it was
    /// not.
    /// </summary>
    public required string? Answer { get; init; }
}

using Foretoken.Plans;

namespace Foretoken.Profiles;

/// <summary>What one plan cost on the prompts that were held out from the fit.</summary>
/// <param name="Boundaries">The plan.</param>
/// <param name="KlDivergence">KL(full || thinned) over forced tokens of the full model's answers, mean, nats.</param>
/// <param name="Agreement">Share of the forced tokens at which the most likely token is the same.</param>
/// <param name="Answered">Questions that were answered.</param>
/// <param name="AnsweredByFullPrefill">Questions that full prefill answers.</param>
/// <param name="KeptShare">Share of the prompt's tokens that were computed, averaged over the layers, 0 to 1.</param>
internal sealed record ProfileQuality(
    IReadOnlyList<PlanBoundary> Boundaries,
    double KlDivergence,
    double Agreement,
    int Answered,
    int AnsweredByFullPrefill,
    double KeptShare
);

using Foretoken.Plans;

namespace Foretoken.Profiles;

/// <summary>What doing without parts of layers cost on the prompts that were held out from their choice.</summary>
/// <param name="Skips">What every prompt did without; empty when the prompt chose.</param>
/// <param name="Routing">How the prompt chose; <see langword="null"/> when it did not.</param>
/// <param name="KlDivergence">KL(full || without) over forced tokens of the full model's answers, mean, nats.</param>
/// <param name="Agreement">Share of the forced tokens at which the most likely token is the same.</param>
internal sealed record ProfileSkipQuality(
    IReadOnlyList<LayerSkip> Skips,
    SkipRouting? Routing,
    double KlDivergence,
    double Agreement
);

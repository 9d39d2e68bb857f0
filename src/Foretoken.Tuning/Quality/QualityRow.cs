using Foretoken.Tuning.Prompts;

namespace Foretoken.Tuning.Quality;

/// <summary>What the prompts of one kind and length gave with one importance at one target.</summary>
internal sealed record QualityRow
{
    /// <summary>Name of the importance, as <see cref="QualityCase.Name"/> has it.</summary>
    public required string Importance { get; init; }

    /// <summary>The speedup that was asked for; that of the cost model (median) when a plan was given.</summary>
    public required double Target { get; init; }

    /// <summary>The plan that was given, for people; <see langword="null"/> when a speedup was asked for.</summary>
    public string? Plan { get; init; }

    /// <summary>Kind of the prompts, see <see cref="DocumentPrompt.KindName"/>.</summary>
    public required string Kind { get; init; }

    /// <summary>The length that was asked for, in tokens; of prompts that were not generated, their median length.</summary>
    public required int Length { get; init; }

    /// <summary>Prompts.</summary>
    public required int Prompts { get; init; }

    /// <summary>
    /// Prompts that the thinned prefill answers, of those that full prefill answers; <see langword="null"/> when the kind has
    /// no right answer.
    /// </summary>
    public required int? Answered { get; init; }

    /// <summary>Prompts that full prefill answers; <see langword="null"/> when the kind has no right answer.</summary>
    public required int? AnsweredByFullPrefill { get; init; }

    /// <summary>Mean over the prompts of <see cref="QualitySample.Kl"/>, nats.</summary>
    public required double Kl { get; init; }

    /// <summary>Mean over the prompts of <see cref="QualitySample.KlOfFirst"/>, nats.</summary>
    public double KlOfFirst { get; init; }

    /// <summary>Mean over the prompts of <see cref="QualitySample.Agreement"/>.</summary>
    public required double Agreement { get; init; }

    /// <summary>
    /// Median over the prompts of the time of our own full prefill divided by that of the thinned one, each pair measured on
    /// the same prompt in the same run. It is not a comparison with unpatched llama.cpp.
    /// </summary>
    public required double MeasuredSpeedup { get; init; }

    /// <summary>
    /// Median over the prompts of the time of an output token behind the thinned prefill divided by that of the same token
    /// behind full prefill; <see langword="null"/> when none was decoded.
    /// </summary>
    public double? DecodeTimeRatio { get; init; }

    /// <summary>Mean over the prompts of <see cref="QualitySample.RestoredTokens"/>.</summary>
    public double RestoredTokens { get; init; }

    /// <summary>Median of the cost model's estimates.</summary>
    public required double PromisedSpeedup { get; init; }

    /// <summary>Mean of <see cref="QualitySample.KeptShare"/>.</summary>
    public required double KeptShare { get; init; }
}

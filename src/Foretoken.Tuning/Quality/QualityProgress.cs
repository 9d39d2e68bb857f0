namespace Foretoken.Tuning.Quality;

/// <summary>How far an evaluation is.</summary>
/// <param name="PromptsDone">Prompts that are finished.</param>
/// <param name="Prompts">Prompts in all.</param>
/// <param name="Fraction">Share of the work that is done, 0 to 1, by the tokens and layers that the prefills compute.</param>
/// <param name="Elapsed">Time since the beginning.</param>
/// <param name="Remaining">Estimate of the time left; <see langword="null"/> before there is anything to estimate from.</param>
internal readonly record struct QualityProgress(
    int PromptsDone,
    int Prompts,
    double Fraction,
    TimeSpan Elapsed,
    TimeSpan? Remaining
);

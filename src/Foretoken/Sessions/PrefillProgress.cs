namespace Foretoken.Sessions;

/// <summary>How far a prefill is, reported after each chunk.</summary>
/// <param name="Stage">Stage that runs, from 0.</param>
/// <param name="TokensDone">Tokens of the stage done so far.</param>
/// <param name="StageTokens">Tokens that the stage runs in all.</param>
/// <param name="Fraction">Share of the whole prefill's work done so far, 0 to 1.</param>
public readonly record struct PrefillProgress(int Stage, long TokensDone, long StageTokens, double Fraction);

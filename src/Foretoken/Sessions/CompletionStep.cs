namespace Foretoken.Sessions;

/// <summary>What one call of <see cref="ForetokenSession.Complete"/> did.</summary>
/// <param name="Tokens">Tokens that ran.</param>
/// <param name="Remaining">Tokens that still have to run until the sequence is complete.</param>
public readonly record struct CompletionStep(int Tokens, int Remaining);

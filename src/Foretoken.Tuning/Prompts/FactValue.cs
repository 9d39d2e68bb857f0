namespace Foretoken.Tuning.Prompts;

/// <summary>A value of a fact.</summary>
/// <param name="Text">As it is planted.</param>
/// <param name="Accepted">What counts as naming it; at least one.</param>
internal sealed record FactValue(string Text, IReadOnlyList<string> Accepted);

namespace Foretoken.Schemas;

/// <summary>A regular expression cannot be part of a grammar. Whoever knows which property it belongs to says so.</summary>
internal sealed class PatternException(string message) : Exception(message);

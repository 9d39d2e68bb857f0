namespace Foretoken.Tuning.Prompts;

/// <summary>A sentence that was put into a document so that it can be asked for.</summary>
/// <param name="Kind">Kind of fact, for example <c>price</c>.</param>
/// <param name="Form">What its answer looks like.</param>
/// <param name="Statement">The sentence or lines, as they stand in the document.</param>
/// <param name="Place">Where in the document it begins, as a share of its characters, 0 to 1.</param>
/// <param name="IsAsked">Whether it is the one that the question is about.</param>
internal sealed record PlantedFact(string Kind, FactForm Form, string Statement, double Place, bool IsAsked);

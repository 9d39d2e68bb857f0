namespace Foretoken.Tuning.Prompts;

/// <summary>A paragraph of a text file.</summary>
/// <param name="Source">Name of the text.</param>
/// <param name="Index">Number of the paragraph in it, from 0.</param>
/// <param name="Text">The paragraph; lines of prose are joined, other lines kept.</param>
/// <param name="IsProse">Whether it is sentences; lists, code and headings are not.</param>
internal sealed record TextParagraph(string Source, int Index, string Text, bool IsProse);

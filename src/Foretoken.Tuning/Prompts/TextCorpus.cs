using System.Text;
using System.Text.RegularExpressions;

namespace Foretoken.Tuning.Prompts;

/// <summary>Text files in paragraphs, divided into a part for tuning and a part for evaluation.</summary>
/// <remarks>
/// <para>
/// Immutable and thread-safe. A text is divided into stretches of 24,000 characters (shorter ones where the text is short),
/// which go to the two parts in turn; a paragraph that occurred before is left out wherever it was. No paragraph is
/// therefore in both parts, and which part a paragraph is in depends only on the text before it. Two corpora keep the parts
/// apart when they are made of the same texts or of texts that have nothing in common.
/// </para>
/// <para>
/// What is not readable text is left out: tables and drawings, paragraphs with few letters, and tables of contents (four or
/// more headings in a row).
/// </para>
/// </remarks>
internal sealed partial class TextCorpus
{
    private const int StretchLength = 24_000;
    private const int HeadingLength = 60;
    private const int HeadingsOfContents = 4;
    private const double LeastLetters = 0.6;

    private readonly TextParagraph[] _tuning;
    private readonly TextParagraph[] _evaluation;

    /// <summary>Divides texts.</summary>
    /// <param name="texts">Names and texts.</param>
    /// <exception cref="ArgumentException">There is no readable text.</exception>
    public TextCorpus(IEnumerable<(string Name, string Text)> texts)
    {
        ArgumentNullException.ThrowIfNull(texts);
        List<TextParagraph> tuning = [];
        List<TextParagraph> evaluation = [];
        HashSet<string> seen = [];
        List<string> names = [];
        foreach ((string name, string text) in texts)
        {
            names.Add(name);
            TextParagraph[] paragraphs = Paragraphs(name, text);
            int stretch = Math.Clamp(paragraphs.Sum(p => p.Text.Length) / 2, 1, StretchLength);
            int length = 0;
            foreach (TextParagraph paragraph in paragraphs)
            {
                bool isTuning = length / stretch % 2 == 0;
                length += paragraph.Text.Length;
                if (seen.Add(paragraph.Text))
                {
                    (isTuning ? tuning : evaluation).Add(paragraph);
                }
            }
        }

        if (tuning.Count == 0 && evaluation.Count == 0)
        {
            throw new ArgumentException(
                names.Count == 0
                    ? "There is no text to cut documents from; give at least one text file."
                    : $"There is no readable text in {string.Join(", ", names)}: paragraphs of plain text, separated by empty lines, are needed.",
                nameof(texts)
            );
        }

        _tuning = [.. tuning];
        _evaluation = [.. evaluation];
    }

    /// <summary>Reads UTF-8 text files.</summary>
    /// <param name="paths">The files.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="ArgumentException">There is no readable text.</exception>
    public static TextCorpus FromFiles(IEnumerable<string> paths)
    {
        ArgumentNullException.ThrowIfNull(paths);
        return new TextCorpus([.. paths.Select(path => (Path.GetFileName(path), File.ReadAllText(path)))]);
    }

    /// <summary>The paragraphs of a part, in the order of the texts.</summary>
    /// <param name="set">The part.</param>
    public IReadOnlyList<TextParagraph> Paragraphs(PromptSet set) => set == PromptSet.Tuning ? _tuning : _evaluation;

    private static TextParagraph[] Paragraphs(string source, string text)
    {
        List<TextParagraph> all = [];
        List<TextParagraph> headings = [];
        foreach (string[] lines in Blocks(text))
        {
            if (Paragraph(source, all.Count + headings.Count, lines) is not { } paragraph)
            {
                continue;
            }

            if (!paragraph.IsProse && paragraph.Text.Length < HeadingLength && !paragraph.Text.Contains('\n'))
            {
                headings.Add(paragraph);
                continue;
            }

            Flush();
            all.Add(paragraph);
        }

        Flush();
        return [.. all.Select((paragraph, index) => paragraph with { Index = index })];

        void Flush()
        {
            if (headings.Count < HeadingsOfContents)
            {
                all.AddRange(headings);
            }

            headings.Clear();
        }
    }

    private static IEnumerable<string[]> Blocks(string text)
    {
        List<string> lines = [];
        foreach (string line in text.ReplaceLineEndings("\n").Split('\n'))
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                lines.Add(line.TrimEnd());
            }
            else if (lines.Count > 0)
            {
                yield return [.. lines];
                lines.Clear();
            }
        }

        if (lines.Count > 0)
        {
            yield return [.. lines];
        }
    }

    private static TextParagraph? Paragraph(string source, int index, string[] lines)
    {
        int marks = 0;
        int letters = 0;
        foreach (Rune rune in lines.SelectMany(line => line.EnumerateRunes()))
        {
            if (Rune.IsWhiteSpace(rune))
            {
                continue;
            }

            marks++;
            letters += Rune.IsLetterOrDigit(rune) ? 1 : 0;
            // box drawing and blocks: a table or a picture
            if (rune.Value is >= 0x2500 and < 0x25A0)
            {
                return null;
            }
        }

        if (letters < LeastLetters * marks)
        {
            return null;
        }

        int indent = lines.Min(line => line.Length - line.TrimStart().Length);
        string joined = Spaces().Replace(string.Join(' ', lines.Select(line => line.Trim())), " ");
        bool isProse =
            SentenceEnd().IsMatch(joined) && lines.All(line => line.Length - line.TrimStart().Length <= indent + 4);
        return new TextParagraph(
            source,
            index,
            isProse || lines.Length == 1 ? joined : string.Join('\n', lines.Select(line => line[indent..])),
            isProse
        );
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();

    // a sentence of some length that ends
    [GeneratedRegex(@"[\p{L}\d].{30,}[.!?][)""”’']?(\s|$)", RegexOptions.Singleline)]
    private static partial Regex SentenceEnd();
}

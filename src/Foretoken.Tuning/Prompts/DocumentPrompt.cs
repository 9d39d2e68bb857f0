using System.Globalization;
using Microsoft.Extensions.AI;

namespace Foretoken.Tuning.Prompts;

/// <summary>A document, what is asked about it, and what counts as an answer. Immutable and thread-safe.</summary>
internal sealed class DocumentPrompt
{
    /// <summary>A name that is unique among the prompts it was made with.</summary>
    public required string Id { get; init; }

    /// <summary>The document, planted facts included.</summary>
    public required string Document { get; init; }

    /// <summary>The question or instruction.</summary>
    public required string Question { get; init; }

    /// <summary>What is asked for.</summary>
    public required PromptKind Kind { get; init; }

    /// <summary>Where the question stands.</summary>
    public required QuestionPlace QuestionAt { get; init; }

    /// <summary>The conversation. Its last message is the user's.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>
    /// What counts as an answer: one of these must occur in it, see <see cref="IsAnsweredBy"/>. Empty when there is no right
    /// or wrong.
    /// </summary>
    public IReadOnlyList<string> Expected { get; init; } = [];

    /// <summary>
    /// Text that the answer is made to begin with; <see langword="null"/> for none. It holds nothing of what is expected.
    /// Small models find a fact far more often when their answer is started for them.
    /// </summary>
    public string? AnswerStart { get; init; }

    /// <summary>The facts that were planted, in the order of the document.</summary>
    public IReadOnlyList<PlantedFact> Facts { get; init; } = [];

    /// <summary>The length that was asked for, in tokens; <see langword="null"/> for prompts that were not generated.</summary>
    public int? Length { get; init; }

    /// <summary>
    /// The name of the kind in tables: <c>retrieval-last</c>, <c>retrieval-first</c>, <c>retrieval-blind</c> (the question
    /// comes in the next turn), <c>summary</c>, <c>summary-blind</c>, <c>continuation</c>, <c>conversation</c>.
    /// </summary>
    public string KindName =>
        (Kind, QuestionAt) switch
        {
            (PromptKind.Continuation, _) => "continuation",
            (PromptKind.Conversation, _) => "conversation",
            (PromptKind.Summary, QuestionPlace.NextTurn) => "summary-blind",
            (PromptKind.Summary, _) => "summary",
            (_, QuestionPlace.NextTurn) => "retrieval-blind",
            (_, QuestionPlace.First) => "retrieval-first",
            _ => "retrieval-last",
        };

    /// <summary>Whether a text answers the question: it contains one of <see cref="Expected"/>.</summary>
    /// <param name="answer">The answer.</param>
    /// <remarks>
    /// Case and the kind of white space do not matter. A number must stand alone: 37 is not in 1370. Always
    /// <see langword="false"/> when nothing is expected.
    /// </remarks>
    public bool IsAnsweredBy(string answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        return Occurs(Expected, answer);
    }

    /// <summary>The same document and question, with the question in the next turn.</summary>
    /// <exception cref="InvalidOperationException">There is no question to ask later: it is a continuation or a conversation.</exception>
    public DocumentPrompt AskedInNextTurn()
    {
        if (Kind is PromptKind.Continuation or PromptKind.Conversation)
        {
            throw new InvalidOperationException($"'{Id}' has no question about a document that could be asked later.");
        }

        return new DocumentPrompt
        {
            Id = $"{Id}-blind",
            Document = Document,
            Question = Question,
            Kind = Kind,
            QuestionAt = QuestionPlace.NextTurn,
            Messages = PromptFrames.NextTurn(Document, Question),
            Expected = Expected,
            AnswerStart = AnswerStart,
            Facts = Facts,
            Length = Length,
        };
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Id} ({KindName})";

    internal static bool Occurs(IReadOnlyList<string> expected, string text)
    {
        string plain = Plain(text);
        foreach (string one in expected)
        {
            string wanted = Plain(one);
            for (
                int at = plain.IndexOf(wanted, StringComparison.OrdinalIgnoreCase);
                wanted.Length > 0 && at >= 0;
                at = plain.IndexOf(wanted, at + 1, StringComparison.OrdinalIgnoreCase)
            )
            {
                int end = at + wanted.Length;
                bool partOfNumber =
                    (char.IsAsciiDigit(wanted[0]) && at > 0 && char.IsAsciiDigit(plain[at - 1]))
                    || (char.IsAsciiDigit(wanted[^1]) && end < plain.Length && char.IsAsciiDigit(plain[end]));
                if (!partOfNumber)
                {
                    return true;
                }
            }
        }

        return false;
    }

    // runs of white space become one space: a line break inside of a name is still the name
    private static string Plain(string text) =>
        string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    internal static string MakeId(PromptSet set, string kind, int length, int index) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{(set == PromptSet.Tuning ? "tuning" : "evaluation")}-{kind}-{length}-{index}"
        );
}

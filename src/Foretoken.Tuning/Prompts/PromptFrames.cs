using Microsoft.Extensions.AI;

namespace Foretoken.Tuning.Prompts;

/// <summary>How documents and questions are put together, and what is asked about documents as a whole; one list per set.</summary>
internal sealed class PromptFrames
{
    internal const string DocumentSlot = "{document}";
    internal const string QuestionSlot = "{question}";

    // what a caller's own prompt is put together with: nothing is added
    private const string PlainLast = "{document}\n\n{question}";
    private const string PlainFirst = "{question}\n\n{document}";

    private const string ReadFirst =
        "Please read this document. I will have a question about it afterwards.\n\n{document}";
    private const string Acknowledgement = "I have read the document. What would you like to know?";

    private static readonly PromptFrames Tuning = new()
    {
        Last =
        [
            "Here is a text.\n\n{document}\n\nNow answer this: {question}",
            "Text:\n{document}\n\nTask: {question}",
            "{document}\n\nThat was the text. {question} Answer in one sentence.",
            "Notes of our office:\n\n{document}\n\nA colleague asks: {question}",
        ],
        First =
        [
            "I am looking for one thing: {question}\n\nText:\n{document}",
            "While you read the text, keep this in mind: {question}\n\n{document}",
            "Task: {question}\nText: {document}",
        ],
        Summaries =
        [
            "Summarise the text in two sentences.",
            "List the three main points of the text.",
            "What is the text about?",
            "Explain the text to a child.",
            "Write a title and a one-line abstract for the text.",
            "Turn the most important statements of the text into a list.",
            "Whom would you recommend the text to, and why?",
        ],
        Continuations = ["Continue the text in the same style.", "The text breaks off. How does it go on?"],
    };

    private static readonly PromptFrames Evaluation = new()
    {
        Last =
        [
            "Read the document below.\n\n{document}\n\nQuestion: {question}",
            "<document>\n{document}\n</document>\n\nUsing the document, tell me: {question}",
            "{document}\n\n---\n\nBased only on what is written above: {question}",
        ],
        First =
        [
            "Question: {question}\nFind the answer in this document.\n\n{document}",
            "{question} The answer is somewhere in the following pages.\n\n{document}",
            "You will be given a document. Its reader wants to know: {question}\n\n<document>\n{document}\n</document>",
        ],
        Summaries =
        [
            "Give a short summary of the document.",
            "What are the key ideas here? Be brief.",
            "In a few words, what does the author describe?",
            "Sum up these pages for a busy reader.",
        ],
        Continuations =
        [
            "Write the next paragraph of the document.",
            "The page that follows is missing. What does it say?",
        ],
    };

    /// <summary>Frames with the question behind the document.</summary>
    internal required IReadOnlyList<string> Last { get; init; }

    /// <summary>Frames with the question in front of it.</summary>
    internal required IReadOnlyList<string> First { get; init; }

    /// <summary>What is asked about a document as a whole.</summary>
    internal required IReadOnlyList<string> Summaries { get; init; }

    /// <summary>What asks for more of the document.</summary>
    internal required IReadOnlyList<string> Continuations { get; init; }

    internal static PromptFrames Of(PromptSet set) => set == PromptSet.Tuning ? Tuning : Evaluation;

    /// <summary>Every wording of the set.</summary>
    internal IEnumerable<string> All => Last.Concat(First).Concat(Summaries).Concat(Continuations);

    internal static string Fill(string frame, string document, string question)
    {
        // the document last and once: it may hold the name of a slot
        string withQuestion = frame.Replace(QuestionSlot, question, StringComparison.Ordinal);
        int at = withQuestion.IndexOf(DocumentSlot, StringComparison.Ordinal);
        return string.Concat(withQuestion.AsSpan(0, at), document, withQuestion.AsSpan(at + DocumentSlot.Length));
    }

    internal static IReadOnlyList<ChatMessage> OneTurn(string frame, string document, string question) =>
        [new ChatMessage(ChatRole.User, Fill(frame, document, question))];

    internal static IReadOnlyList<ChatMessage> NextTurn(string document, string question) =>
        [
            new ChatMessage(ChatRole.User, Fill(ReadFirst, document, "")),
            new ChatMessage(ChatRole.Assistant, Acknowledgement),
            new ChatMessage(ChatRole.User, question),
        ];

    /// <summary>A caller's own document and question, with nothing added.</summary>
    internal static IReadOnlyList<ChatMessage> Plain(string document, string question, QuestionPlace place) =>
        place == QuestionPlace.NextTurn
            ? NextTurn(document, question)
            : OneTurn(place == QuestionPlace.First ? PlainFirst : PlainLast, document, question);
}

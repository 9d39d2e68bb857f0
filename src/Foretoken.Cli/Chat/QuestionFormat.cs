using System.Text;

namespace Foretoken.Cli.Chat;

/// <summary>Puts documents and a question into one user message.</summary>
internal static class QuestionFormat
{
    /// <summary>
    /// Documents first, the question last. The order matters: what a token is worth is judged by how much attention the last
    /// tokens of the prompt pay to it, so the last tokens should be the question.
    /// </summary>
    internal static string Build(string question, IReadOnlyList<Attachment> documents)
    {
        if (documents.Count == 0)
        {
            return question;
        }
        StringBuilder text = new();
        foreach (Attachment document in documents)
        {
            text.Append("Here is the document ").Append(document.Name).Append(":\n\n");
            text.Append(document.Text.Trim()).Append("\n\n");
        }
        // spelled out, because small models take a mere "Question:" for a part of the document
        string about = documents.Count == 1 ? "the document" : "the documents";
        return text.Append("Answer this question about ").Append(about).Append(": ").Append(question).ToString();
    }
}

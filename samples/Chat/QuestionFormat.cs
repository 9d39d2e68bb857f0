using System.Text;

namespace Foretoken.Samples.Chat;

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
            text.Append("Document ").Append(document.Name).Append(":\n\n").Append(document.Text.Trim()).Append("\n\n");
        }
        return text.Append("Question: ").Append(question).ToString();
    }
}

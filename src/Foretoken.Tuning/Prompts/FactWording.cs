namespace Foretoken.Tuning.Prompts;

/// <summary>
/// One way of saying, asking for and answering a kind of fact. Slots: <c>{s}</c> the subject, <c>{S}</c> the subject at the
/// beginning of a sentence, <c>{v}</c> and <c>{V}</c> the value, <c>{x}</c> and <c>{y}</c> other values of the kind.
/// </summary>
/// <param name="Statement">What is planted. Of more than one line, it becomes a paragraph of its own.</param>
/// <param name="Question">What is asked.</param>
/// <param name="AnswerStart">How the answer is made to begin.</param>
internal sealed record FactWording(string Statement, string Question, string AnswerStart);

namespace Foretoken.Tuning.Prompts;

/// <summary>Where the question stands.</summary>
public enum QuestionPlace
{
    /// <summary>Behind the document: the last tokens know what is looked for.</summary>
    Last,

    /// <summary>In front of the document.</summary>
    First,

    /// <summary>In the next turn: the document is thinned before anybody knows the question.</summary>
    NextTurn,
}

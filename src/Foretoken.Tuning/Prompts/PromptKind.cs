namespace Foretoken.Tuning.Prompts;

/// <summary>What a prompt asks for.</summary>
public enum PromptKind
{
    /// <summary>A fact that stands in the document.</summary>
    Retrieval,

    /// <summary>Something about the document as a whole: its gist, its main points, a title.</summary>
    Summary,

    /// <summary>More text of the same sort.</summary>
    Continuation,

    /// <summary>The answer in a conversation of the caller's own, which has no right or wrong.</summary>
    Conversation,
}

namespace Foretoken.Sessions;

/// <summary>Where a prompt token comes from.</summary>
public enum TokenOrigin : byte
{
    /// <summary>Control tokens and the words of the chat template itself; always kept by a prefill plan.</summary>
    Template = 0,

    /// <summary>A system message.</summary>
    System = 1,

    /// <summary>A user message.</summary>
    User = 2,

    /// <summary>An answer of the model.</summary>
    Assistant = 3,

    /// <summary>The result of a tool call.</summary>
    Tool = 4,
}

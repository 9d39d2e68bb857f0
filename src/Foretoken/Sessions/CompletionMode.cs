namespace Foretoken.Sessions;

/// <summary>When the upper layers of a thinned prompt are completed.</summary>
[Flags]
public enum CompletionMode
{
    /// <summary>Never: the answer, and later turns, see the thinned prompt.</summary>
    Never = 0,

    /// <summary>Between the output tokens of the answer, once the first one is out.</summary>
    WhileAnswering = 1,

    /// <summary>When the answer is finished and no request waits, in chunks between which a new request gets in.</summary>
    WhenIdle = 2,

    /// <summary>While answering, and what is left when idle.</summary>
    Always = WhileAnswering | WhenIdle,
}

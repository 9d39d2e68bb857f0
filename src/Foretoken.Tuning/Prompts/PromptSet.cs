namespace Foretoken.Tuning.Prompts;

/// <summary>What a prompt may be used for. The two sets share no paragraph, no wording and no kind of fact.</summary>
public enum PromptSet
{
    /// <summary>Learning: importance, thresholds, schedules.</summary>
    Tuning,

    /// <summary>Judging what was learned, and everything else.</summary>
    Evaluation,
}

namespace Foretoken.Tuning.Prompts;

/// <summary>What the answer to a planted fact looks like.</summary>
public enum FactForm
{
    /// <summary>A word or a name.</summary>
    Words,

    /// <summary>A number.</summary>
    Digits,
}

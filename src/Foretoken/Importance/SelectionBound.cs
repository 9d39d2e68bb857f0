using System.Text.Json.Serialization;

namespace Foretoken.Importance;

/// <summary>What decided how many tokens a selection kept. In JSON: <c>all_tokens</c>, <c>share</c> and so on.</summary>
public enum SelectionBound
{
    /// <summary>Every token that was there went on.</summary>
    [JsonStringEnumMemberName("all_tokens")]
    AllTokens,

    /// <summary>A fixed share of the prefill's tokens, or the tokens that are always kept where they are more.</summary>
    [JsonStringEnumMemberName("share")]
    Share,

    /// <summary>The least retention: fewer tokens than that passed the threshold.</summary>
    [JsonStringEnumMemberName("lower_bound")]
    LowerBound,

    /// <summary>The threshold: the tokens that passed it, and those that are always kept.</summary>
    [JsonStringEnumMemberName("threshold")]
    Threshold,

    /// <summary>The retention, which the promised speedup rests on: more tokens than that passed the threshold.</summary>
    [JsonStringEnumMemberName("upper_bound")]
    UpperBound,
}

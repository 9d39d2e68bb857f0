namespace Foretoken.Importance;

/// <summary>How the attention that the queries of a probe pay to a key is reduced over the queries.</summary>
internal enum ProbeReduction
{
    /// <summary>The sum over the queries divided by the number of queries at or after the key (causal mean).</summary>
    Mean = 0,

    /// <summary>The maximum over the queries.</summary>
    Max = 1,
}

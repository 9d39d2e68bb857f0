namespace Foretoken.Tuning;

/// <summary>What importance predictors read.</summary>
[Flags]
public enum PredictorInputs
{
    /// <summary>The attention that a token receives in the layers below the boundary, head by head.</summary>
    Attention = 1,

    /// <summary>The token's residual stream in front of the boundary (Transkimmer, arXiv 2205.07324).</summary>
    Residual = 2,
}

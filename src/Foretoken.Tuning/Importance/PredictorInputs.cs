using Foretoken.Importance;

namespace Foretoken.Tuning.Importance;

/// <summary>What importance predictors read, and how.</summary>
/// <remarks>
/// Possible are <see cref="Attention"/>, <see cref="Residual"/> and <see cref="Network"/> alone, and <see cref="Attention"/> with
/// any one of the others.
/// </remarks>
[Flags]
public enum PredictorInputs
{
    /// <summary>The attention that a token receives in the layers below the boundary, head by head, weighted and added up.</summary>
    Attention = 1,

    /// <summary>The token's residual stream in front of the boundary, weighted and added up.</summary>
    Residual = 2,

    /// <summary>
    /// The same residual stream, read by a network (Transkimmer, arXiv 2205.07324; <see cref="ResidualNetwork"/>). Beside
    /// <see cref="Attention"/> it learns what the attention leaves over.
    /// </summary>
    Network = 4,

    /// <summary>What the token and its neighbours repeat of the prompt's end and beginning, weighted and added up (<see cref="MatchFeatures"/>).</summary>
    Matches = 8,
}

using Foretoken.Importance;

namespace Foretoken.Tuning.Importance;

/// <summary>A trained skim predictor and how well it does.</summary>
/// <param name="Predictor">The predictor.</param>
/// <param name="TrainingLoss">Mean squared error over the last epoch.</param>
/// <param name="ValidationLoss">Mean squared error over the held-out samples; NaN when none were held out.</param>
internal sealed record NetworkFit(ResidualNetwork Predictor, double TrainingLoss, double ValidationLoss);

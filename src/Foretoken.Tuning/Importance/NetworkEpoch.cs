namespace Foretoken.Tuning.Importance;

/// <summary>Progress of the training of a skim predictor.</summary>
/// <param name="Epoch">Epochs done.</param>
/// <param name="Epochs">Epochs in all.</param>
/// <param name="TrainingLoss">Mean squared error over the epoch.</param>
/// <param name="ValidationLoss">Mean squared error over the held-out samples after it; NaN when none are held out.</param>
internal readonly record struct NetworkEpoch(int Epoch, int Epochs, double TrainingLoss, double ValidationLoss);

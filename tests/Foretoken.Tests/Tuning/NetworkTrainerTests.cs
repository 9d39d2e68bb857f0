using Foretoken.Errors;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Tuning;

public sealed class NetworkTrainerTests
{
    private const int Width = 16;
    private const int Samples = 2000;
    private const int HeldOut = 400;

    private static readonly NetworkTrainerOptions Options = new()
    {
        HiddenSize = 24,
        Epochs = 30,
        BatchSize = 64,
        LearningRate = 0.01,
        Seed = 3,
        Threads = 1,
    };

    private static readonly (float[] X, float[] Y) Problem = MakeProblem();

    [Fact]
    public void Training_learns_what_no_linear_predictor_can()
    {
        List<NetworkEpoch> epochs = [];
        NetworkFit fit = NetworkTrainer.Fit(Problem.X, Problem.Y, Width, HeldOut, Options, new Reporter(epochs.Add));

        Assert.Equal(Enumerable.Range(1, 30), epochs.Select(epoch => epoch.Epoch));
        Assert.Equal(fit.TrainingLoss, epochs[^1].TrainingLoss);
        Assert.Equal(fit.ValidationLoss, epochs[^1].ValidationLoss);
        Assert.True(fit.TrainingLoss < 0.1 * epochs[0].TrainingLoss);
        float[] y = Problem.Y[^HeldOut..];
        double mean = y.Average();
        Assert.True(fit.ValidationLoss < 0.2 * y.Average(value => (value - mean) * (value - mean)));
    }

    [Fact]
    public void Native_and_managed_prediction_agree()
    {
        NetworkFit fit = NetworkTrainer.Fit(Problem.X, Problem.Y, Width, HeldOut, Options);
        float[] predicted = new float[HeldOut];
        fit.Predictor.Evaluate(Problem.X.AsSpan((Samples - HeldOut) * Width), predicted);
        double loss = predicted.Zip(Problem.Y[^HeldOut..], (a, b) => (double)(a - b) * (a - b)).Average();
        Assert.Equal(fit.ValidationLoss, loss, 1e-4 * fit.ValidationLoss);
    }

    [Fact]
    public void Same_seed_gives_the_same_weights_and_another_seed_others()
    {
        NetworkTrainerOptions brief = Options with { Epochs = 2 };
        ReadOnlySpan<float> first = NetworkTrainer.Fit(Problem.X, Problem.Y, Width, 0, brief).Predictor.Weights.Span;
        ReadOnlySpan<float> again = NetworkTrainer.Fit(Problem.X, Problem.Y, Width, 0, brief).Predictor.Weights.Span;
        NetworkFit other = NetworkTrainer.Fit(Problem.X, Problem.Y, Width, 0, brief with { Seed = 4 });
        Assert.True(first.SequenceEqual(again));
        Assert.False(first.SequenceEqual(other.Predictor.Weights.Span));
        Assert.True(double.IsNaN(other.ValidationLoss));
    }

    [Fact]
    public void Training_can_be_cancelled()
    {
        using CancellationTokenSource source = new();
        int epochs = 0;
        Reporter cancelling = new(_ =>
        {
            epochs++;
            source.Cancel();
        });
        Assert.ThrowsAny<OperationCanceledException>(() =>
            NetworkTrainer.Fit(Problem.X, Problem.Y, Width, HeldOut, Options, cancelling, source.Token)
        );
        Assert.Equal(1, epochs);
    }

    [Fact]
    public void What_cannot_be_trained_is_refused()
    {
        Assert.Throws<ArgumentException>(() => NetworkTrainer.Fit(Problem.X, Problem.Y, Width + 1, 0, Options));
        Assert.Throws<ArgumentException>(() => NetworkTrainer.Fit(Problem.X, Problem.Y, Width, Samples, Options));
        Assert.Throws<ArgumentException>(() =>
            NetworkTrainer.Fit(Problem.X, Problem.Y, Width, 0, Options with { LearningRate = -1 })
        );
        float[] huge = [.. Problem.Y.Select(y => y * 1e30f)];
        Assert.Throws<ComputeException>(() => NetworkTrainer.Fit(Problem.X, huge, Width, 0, Options));
        float[] notFinite = [.. Problem.Y];
        notFinite[5] = float.NaN;
        Assert.Throws<ArgumentException>(() => NetworkTrainer.Fit(Problem.X, notFinite, Width, 0, Options));
        InvalidDataException error = Assert.Throws<InvalidDataException>(() =>
            NetworkTrainer.Fit(
                Problem.X,
                Problem.Y,
                Width,
                0,
                Options,
                new Reporter(_ => throw new InvalidDataException("x"))
            )
        );
        Assert.Equal("x", error.Message);
    }

    // the product of two directions of the normalised residual stream; the size of a row says nothing
    private static (float[] X, float[] Y) MakeProblem()
    {
        Random random = new(11);
        float[] x = new float[Samples * Width];
        float[] y = new float[Samples];
        for (int i = 0; i < Samples; i++)
        {
            double[] row = [.. Enumerable.Range(0, Width).Select(_ => (2 * random.NextDouble()) - 1)];
            double mean = row.Average();
            double scale = 1 / Math.Sqrt(row.Average(value => (value - mean) * (value - mean)));
            y[i] = (float)(((row[0] - mean) * (row[1] - mean) * scale * scale) - 2);
            double size = 1 + (40 * random.NextDouble());
            for (int j = 0; j < Width; j++)
            {
                x[(i * Width) + j] = (float)(size * row[j]);
            }
        }

        return (x, y);
    }

    private sealed class Reporter(Action<NetworkEpoch> report) : IProgress<NetworkEpoch>
    {
        public void Report(NetworkEpoch value) => report(value);
    }
}

namespace Foretoken.Tuning.Importance;

/// <summary>How a skim predictor is trained.</summary>
internal sealed record NetworkTrainerOptions
{
    /// <summary>Width of the hidden layer. Default 64.</summary>
    internal int HiddenSize { get; init; } = 64;

    /// <summary>How often all samples are seen. Default 8.</summary>
    internal int Epochs { get; init; } = 8;

    /// <summary>Samples per step of the optimiser; no more than there are. Default 256.</summary>
    internal int BatchSize { get; init; } = 256;

    /// <summary>Step size of AdamW at the start; it falls along a cosine. Default 0.0003.</summary>
    internal double LearningRate { get; init; } = 3e-4;

    /// <summary>Weight decay of AdamW. Default 0.01.</summary>
    internal double WeightDecay { get; init; } = 0.01;

    /// <summary>Seed of the starting values and of the order of the samples. Default 0.</summary>
    internal uint Seed { get; init; }

    /// <summary>Threads to compute with. Default 0: the machine's cores.</summary>
    internal int Threads { get; init; }
}

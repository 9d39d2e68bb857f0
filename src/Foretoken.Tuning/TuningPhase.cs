namespace Foretoken.Tuning;

/// <summary>What a tuning is doing.</summary>
internal enum TuningPhase
{
    /// <summary>The full model answers prompts, and their attention is recorded.</summary>
    Gathering,

    /// <summary>Predictors are fitted.</summary>
    Fitting,

    /// <summary>Plans are measured on prompts that were held out.</summary>
    Measuring,

    /// <summary>Parts of layers are left out, alone and together, and what that costs is measured.</summary>
    Skipping,
}

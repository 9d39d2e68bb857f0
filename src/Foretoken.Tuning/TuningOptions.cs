using Foretoken.Errors;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tuning.Importance;

namespace Foretoken.Tuning;

/// <summary>Settings of a <see cref="ModelTuner"/>.</summary>
internal sealed record TuningOptions
{
    /// <summary>Default of <see cref="Inputs"/>: what measured best.</summary>
    public const PredictorInputs DefaultInputs = PredictorInputs.Attention | PredictorInputs.Matches;

    private readonly int _answerTokens = 24;
    private readonly double _thresholdRecall = 0.9;
    private readonly PredictorInputs _inputs = DefaultInputs;

    /// <summary>Tokens of the full model's answer that are learned from, at most. Default 24.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int AnswerTokens
    {
        get => _answerTokens;
        init => _answerTokens = OptionCheck.Positive(value);
    }

    /// <summary>
    /// Share of the answer's attention that tokens at or above a boundary's threshold receive, on the prompts held out. Default 0.9.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 1.</exception>
    public double ThresholdRecall
    {
        get => _thresholdRecall;
        init => _thresholdRecall = OptionCheck.Share(value);
    }

    /// <summary>
    /// What the predictors read. The residual stream is read only at the boundaries in <see cref="Schedules"/>; those of other
    /// boundaries read the attention. Default <see cref="DefaultInputs"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Nothing, or what cannot be read together.</exception>
    public PredictorInputs Inputs
    {
        get => _inputs;
        init =>
            _inputs = (int)value is (>= 1 and <= 5) or 9
                ? value
                : throw new ArgumentOutOfRangeException(
                    nameof(Inputs),
                    value,
                    "Attention, residual stream or network are read alone, or the attention with one of the others or with the matches."
                );
    }

    /// <summary>
    /// Families of plans that the model will be used with, and whose losses are measured. Default
    /// <see cref="TuningSchedules.Candidates"/>.
    /// </summary>
    public IReadOnlyList<PrefillSchedule> Schedules { get; init; } = TuningSchedules.Candidates;

    /// <summary>Whether the losses of <see cref="Schedules"/> are measured, where prompts are held out. Default <see langword="true"/>.</summary>
    public bool MeasureLosses { get; init; } = true;

    /// <summary>
    /// Whether residual streams are recorded though <see cref="Inputs"/> does not read them, so that further tunings on the same
    /// prompts, with the same <see cref="ExamplesFolder"/>, may. Default <see langword="false"/>.
    /// </summary>
    public bool RecordResiduals { get; init; }

    /// <summary>
    /// Folder in which gathered examples are kept, so that an interrupted tuning can go on; made when it is missing. Examples
    /// that are there already and belong to the same model, prompt and settings are used. Default <see langword="null"/>: none are kept.
    /// </summary>
    public string? ExamplesFolder { get; init; }

    /// <summary>Seed of networks, and to record in the profile. Nothing else is chosen at random.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Which prompts, for people, to record in the profile.</summary>
    public string Description { get; init; } = "";

    /// <summary>Threads that compute. Default 0: one per core.</summary>
    public int Threads { get; init; }

    /// <summary>Whether attention is fused. Default <see cref="FlashAttentionMode.Auto"/>.</summary>
    public FlashAttentionMode FlashAttention { get; init; }

    /// <summary>The clock of progress and of the profile's date. Default <see cref="TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

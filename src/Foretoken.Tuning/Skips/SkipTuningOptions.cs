using Foretoken.Errors;
using Foretoken.Plans;
using Foretoken.Sessions;

namespace Foretoken.Tuning.Skips;

/// <summary>Settings of a <see cref="SkipTuner"/>.</summary>
internal sealed record SkipTuningOptions
{
    private readonly int _answerTokens = 12;
    private readonly double _decisionDepth = 1.0 / 3;
    private readonly int _screeningPrompts = 1;
    private readonly int _jointPrompts = 4;
    private readonly int _nominees = 2;

    /// <summary>The kinds of skips. Default: 1, 2 and 4 of 8 blocks; 2, 4 and 8 of 12 attention sublayers.</summary>
    public IReadOnlyList<SkipTarget> Targets { get; init; } =
    [new(LayerPart.Block, [1, 2, 4], 8), new(LayerPart.Attention, [2, 4, 8], 12)];

    /// <summary>
    /// Depth of the layer in front of which routers read, as a share of the layers; below it nothing is skipped. Default 1/3: there
    /// the prompt is understood well enough to be told from others, and the layers that are needed least lie above.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 1.</exception>
    public double DecisionDepth
    {
        get => _decisionDepth;
        init => _decisionDepth = OptionCheck.Share(value);
    }

    /// <summary>Tokens of the full model's answer that are forced, at most. Default 12.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int AnswerTokens
    {
        get => _answerTokens;
        init => _answerTokens = OptionCheck.Positive(value);
    }

    /// <summary>Prompts on which every sublayer is tried, to find the candidates. Default 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int ScreeningPrompts
    {
        get => _screeningPrompts;
        init => _screeningPrompts = OptionCheck.Positive(value);
    }

    /// <summary>Prompts on which sets of several skips are tried. Default 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int JointPrompts
    {
        get => _jointPrompts;
        init => _jointPrompts = OptionCheck.Positive(value);
    }

    /// <summary>Candidates that are tried as the next member of a set: those that cost least alone. Default 2.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not positive.</exception>
    public int Nominees
    {
        get => _nominees;
        init => _nominees = OptionCheck.Positive(value);
    }

    /// <summary>
    /// Folder in which measurements are kept, so that an interrupted tuning can go on; made when it is missing. Default
    /// <see langword="null"/>: none are kept.
    /// </summary>
    public string? ExamplesFolder { get; init; }

    /// <summary>
    /// LoRA adapters that everything is computed with, the full model's answers too. Default none. What is learned is then for
    /// prefills with exactly these.
    /// </summary>
    public IReadOnlyList<ScaledAdapter> Adapters { get; init; } = [];

    /// <summary>Threads that compute. Default 0: one per core.</summary>
    public int Threads { get; init; }

    /// <summary>Whether attention is fused. Default <see cref="FlashAttentionMode.Auto"/>.</summary>
    public FlashAttentionMode FlashAttention { get; init; }

    /// <summary>The clock of progress. Default <see cref="TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

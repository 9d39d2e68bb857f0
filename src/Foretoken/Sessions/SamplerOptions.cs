using Foretoken.Errors;

namespace Foretoken.Sessions;

/// <summary>How the next token is chosen. Greedy unless a temperature is set.</summary>
public sealed record SamplerOptions
{
    /// <summary>Temperature, 0 to 100; 0 is greedy. Default 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 100, or not a number.</exception>
    public float Temperature
    {
        get;
        init => field = (float)OptionCheck.InRange((double)value, 0, 100);
    }

    /// <summary>Only the k most likely tokens; null and 0 for no limit.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int? TopK
    {
        get;
        init => field = value is { } k ? OptionCheck.Between(k, 0, int.MaxValue) : null;
    }

    /// <summary>Only the most likely tokens whose probabilities sum to p (nucleus sampling, arXiv 1904.09751); null for no limit.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 1, or not a number.</exception>
    public float? TopP
    {
        get;
        init => field = OptionCheck.InRange(value, 0, 1);
    }

    /// <summary>Only tokens at least this fraction as likely as the most likely one (arXiv 2407.01082); null for no limit.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between 0 and 1, or not a number.</exception>
    public float? MinP
    {
        get;
        init => field = OptionCheck.InRange(value, 0, 1);
    }

    /// <summary>Factor by which the logits of recent tokens shrink, 0.001 to 100; 1 for none. Default null: none.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between 0.001 and 100, or not a number.</exception>
    public float? RepeatPenalty
    {
        get;
        init => field = OptionCheck.InRange(value, 0.001f, 100);
    }

    /// <summary>Recent tokens that the penalties look at, up to 1,048,576; -1 for all. Default null: llama.cpp's 64.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below -1 or above 1,048,576.</exception>
    public int? RepeatLastN
    {
        get;
        init => field = value is { } n ? OptionCheck.Between(n, -1, 1 << 20) : null;
    }

    /// <summary>Subtracted from the logit of a recent token, once per occurrence; -100 to 100. Default null: none.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between -100 and 100, or not a number.</exception>
    public float? FrequencyPenalty
    {
        get;
        init => field = OptionCheck.InRange(value, -100, 100);
    }

    /// <summary>Subtracted from the logit of a recent token, once; -100 to 100. Default null: none.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not between -100 and 100, or not a number.</exception>
    public float? PresencePenalty
    {
        get;
        init => field = OptionCheck.InRange(value, -100, 100);
    }

    /// <summary>Seed; null for a random one.</summary>
    public uint? Seed { get; init; }

    /// <summary>GBNF grammar that the generated text obeys; null for none.</summary>
    public string? Grammar { get; init; }

    /// <summary>JSON schema that the generated text obeys, as JSON text; null for none. Not together with <see cref="Grammar"/>.</summary>
    public string? JsonSchema { get; init; }

    /// <summary>The grammar sets in only after a trigger, as a rendered chat prompt describes it.</summary>
    internal bool GrammarLazy { get; init; }

    /// <summary>JSON array of the triggers of a lazy grammar.</summary>
    internal string? GrammarTriggersJson { get; init; }

    /// <summary>What the grammar describes in front of the answer and the prompt has written already.</summary>
    internal string? GrammarPrefix { get; init; }
}

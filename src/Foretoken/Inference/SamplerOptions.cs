namespace Foretoken.Inference;

/// <summary>How the next token is chosen. Greedy unless a temperature is set.</summary>
public sealed record SamplerOptions
{
    /// <summary>Temperature; 0 is greedy. Default 0.</summary>
    public float Temperature { get; init; }

    /// <summary>Only the k most likely tokens; null for no limit.</summary>
    public int? TopK { get; init; }

    /// <summary>Only the most likely tokens whose probabilities sum to p (nucleus sampling, arXiv 1904.09751); null for no limit.</summary>
    public float? TopP { get; init; }

    /// <summary>Only tokens at least this fraction as likely as the most likely one (arXiv 2407.01082); null for no limit.</summary>
    public float? MinP { get; init; }

    /// <summary>Factor by which the logits of recent tokens shrink; 1 for none. Default null: none.</summary>
    public float? RepeatPenalty { get; init; }

    /// <summary>Recent tokens that the penalties look at; -1 for all. Default null: llama.cpp's 64.</summary>
    public int? RepeatLastN { get; init; }

    /// <summary>Subtracted from the logit of a recent token, once per occurrence. Default null: none.</summary>
    public float? FrequencyPenalty { get; init; }

    /// <summary>Subtracted from the logit of a recent token, once. Default null: none.</summary>
    public float? PresencePenalty { get; init; }

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

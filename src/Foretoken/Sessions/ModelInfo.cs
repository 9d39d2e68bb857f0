using System.Text.Json.Serialization;

namespace Foretoken.Sessions;

/// <summary>What the model file says about itself.</summary>
public sealed record ModelInfo
{
    /// <summary>Architecture, for example <c>llama</c>.</summary>
    [JsonPropertyName("arch")]
    public string Architecture { get; init; } = "";

    /// <summary>Readable description: size and quantisation.</summary>
    public string Description { get; init; } = "";

    /// <summary>Layers.</summary>
    [JsonPropertyName("n_layer")]
    public int LayerCount { get; init; }

    /// <summary>Width of the residual stream.</summary>
    [JsonPropertyName("n_embd")]
    public int EmbeddingSize { get; init; }

    /// <summary>Query heads per layer.</summary>
    [JsonPropertyName("n_head")]
    public int HeadCount { get; init; }

    /// <summary>Key/value heads per layer.</summary>
    [JsonPropertyName("n_head_kv")]
    public int KvHeadCount { get; init; }

    /// <summary>Width of the feed-forward block.</summary>
    [JsonPropertyName("n_ff")]
    public int FeedForwardSize { get; init; }

    /// <summary>Tokens in the vocabulary.</summary>
    [JsonPropertyName("n_vocab")]
    public int VocabularySize { get; init; }

    /// <summary>Tokens of context that the model was trained with.</summary>
    [JsonPropertyName("n_ctx_train")]
    public int TrainingContextSize { get; init; }

    /// <summary>Weights.</summary>
    [JsonPropertyName("n_params")]
    public long ParameterCount { get; init; }

    /// <summary>Bytes of all weights.</summary>
    public long SizeBytes { get; init; }

    /// <summary>Token that begins a sequence, -1 for none.</summary>
    [JsonPropertyName("bos")]
    public int BosToken { get; init; } = -1;

    /// <summary>Token that ends a sequence, -1 for none.</summary>
    [JsonPropertyName("eos")]
    public int EosToken { get; init; } = -1;

    /// <summary>Token that ends a turn, -1 for none.</summary>
    [JsonPropertyName("eot")]
    public int EotToken { get; init; } = -1;

    /// <summary>Whether a text starts with <see cref="BosToken"/>.</summary>
    public bool AddBos { get; init; }

    /// <summary>Whether the file carries a chat template.</summary>
    public bool HasChatTemplate { get; init; }

    /// <summary>Quantisation of the file.</summary>
    public string? FileType { get; init; }
}

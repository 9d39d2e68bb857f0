using Foretoken.Sessions;

namespace Foretoken.Cli.Chat;

/// <summary>What the command line asked for.</summary>
internal sealed record ChatArguments
{
    internal const string DefaultSystem = "You are a helpful assistant.";

    /// <summary>GGUF file; null for the model in <c>samples/models</c>.</summary>
    public string? Model { get; init; }

    /// <summary>The model's profile; null for the one beside the model, where there is one.</summary>
    public string? Profile { get; init; }

    /// <summary>Whether a profile is used.</summary>
    public bool UseProfile { get; init; } = true;

    /// <summary>By what factor the time to first token shall shrink; null for 1, or for what <see cref="MaxQualityLoss"/> allows.</summary>
    public double? Speed { get; init; }

    /// <summary>Quality that may be lost, in nats; null for no budget.</summary>
    public double? MaxQualityLoss { get; init; }

    /// <summary>Whether thresholds may let fewer tokens go on.</summary>
    public bool UseThresholds { get; init; }

    /// <summary>When what was left out of the prompt is computed behind the first token; null for the library's default.</summary>
    public CompletionMode? Completion { get; init; }

    /// <summary>The output token in front of which that is done; null for the library's default.</summary>
    public int? CompletionByToken { get; init; }

    /// <summary>Name of the importance that ranks tokens; null for the default one.</summary>
    public string? Importance { get; init; }

    /// <summary>Tokens of context; 0 for the library's default.</summary>
    public int ContextSize { get; init; }

    /// <summary>Threads; 0 for one per core.</summary>
    public int Threads { get; init; }

    /// <summary>Layers on the GPU; -1 for all.</summary>
    public int GpuLayers { get; init; }

    /// <summary>File with a chat template; null for the model's own.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Devices that take layers; empty for the default ones.</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];

    /// <summary>RPC servers that take layers.</summary>
    public IReadOnlyList<string> RpcServers { get; init; } = [];

    /// <summary>Tokens of an answer at most.</summary>
    public int MaxTokens { get; init; } = 512;

    /// <summary>Seed of the sampler; null for a random one.</summary>
    public long? Seed { get; init; }

    /// <summary>Temperature; null for greedy.</summary>
    public float? Temperature { get; init; }

    /// <summary>System prompt; empty for none.</summary>
    public string System { get; init; } = DefaultSystem;

    /// <summary>Documents for the first question.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>The one question to answer; null for a conversation.</summary>
    public string? Ask { get; init; }

    /// <summary>Answers as JSON.</summary>
    public bool Json { get; init; }
}

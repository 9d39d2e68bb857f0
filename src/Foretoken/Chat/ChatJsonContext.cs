using System.Text.Json;
using System.Text.Json.Serialization;

namespace Foretoken.Chat;

/// <summary>The JSON of ftk_chat_prompt_info.</summary>
internal sealed record ChatPromptInfo
{
    public string Text { get; init; } = "";
    public string? Grammar { get; init; }
    public bool GrammarLazy { get; init; }
    public JsonElement GrammarTriggers { get; init; }
    public string? GrammarPrefix { get; init; }
    public IReadOnlyList<string> PreservedTokens { get; init; } = [];
    public IReadOnlyList<string> Stops { get; init; } = [];
    public string? Format { get; init; }
    public bool SupportsThinking { get; init; }
}

/// <summary>The JSON of ftk_chat_parse.</summary>
internal sealed record ParsedAnswer
{
    public string? Content { get; init; }
    public string? ReasoningContent { get; init; }
    public IReadOnlyList<ParsedToolCall> ToolCalls { get; init; } = [];
}

internal sealed record ParsedToolCall
{
    public string? Id { get; init; }
    public string Name { get; init; } = "";
    public string? Arguments { get; init; }

    /// <summary>The call as it was generated.</summary>
    public string? Text { get; init; }
}

/// <summary>Source-generated JSON of what the native chat functions write.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ChatPromptInfo))]
[JsonSerializable(typeof(ParsedAnswer))]
internal sealed partial class ChatJsonContext : JsonSerializerContext;

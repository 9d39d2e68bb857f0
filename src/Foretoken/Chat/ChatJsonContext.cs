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

    /// <summary>Only where one of these texts occurs does another part of an answer begin.</summary>
    public IReadOnlyList<string> Markers { get; init; } = [];
    public string? Format { get; init; }
    public bool SupportsThinking { get; init; }
}

/// <summary>The JSON of ftk_chat_parse.</summary>
internal sealed record ParsedAnswer
{
    public string? Content { get; init; }
    public string? ReasoningContent { get; init; }
    public IReadOnlyList<ParsedToolCall> ToolCalls { get; init; } = [];

    /// <summary>Bytes of the text in front of a call that was cut before its name; negative for none.</summary>
    public int CutCall { get; init; } = -1;

    /// <summary>Whether the format lets the text end here.</summary>
    public bool Complete { get; init; }

    /// <summary>The part that the text ends in: "content", "reasoning", "call", or empty.</summary>
    public string Last { get; init; } = "";

    /// <summary>Bytes of the text that were read as parts; behind them there is markup only.</summary>
    public int LastEnd { get; init; }
}

internal sealed record ParsedToolCall
{
    public string? Id { get; init; }
    public string Name { get; init; } = "";
    public string? Arguments { get; init; }

    /// <summary>Bytes of the text in front of the call.</summary>
    public int Begin { get; init; }

    /// <summary>Whether the arguments do not go on behind what was generated.</summary>
    public bool Closed { get; init; }
}

/// <summary>Source-generated JSON of what the native chat functions write.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ChatPromptInfo))]
[JsonSerializable(typeof(ParsedAnswer))]
internal sealed partial class ChatJsonContext : JsonSerializerContext;

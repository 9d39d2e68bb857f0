using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Schemas;
using Microsoft.Extensions.AI;

namespace Foretoken.Chat;

/// <summary>Writes messages and tools as the JSON (OpenAI chat format) that the native chat templates take.</summary>
internal static class ChatMessageJson
{
    private static readonly JsonSerializerOptions ContentOptions = CreateContentOptions();

    /// <summary>The messages, with <paramref name="instructions"/> in front as a system message.</summary>
    /// <param name="json">Receives them.</param>
    /// <param name="messages">The messages; the last one is to be answered, the others are history.</param>
    /// <param name="instructions">What goes in front; null for nothing.</param>
    /// <param name="leftOut">
    /// Receives what a text model cannot read and goes on without: in the history everything, so that a conversation never
    /// ends for something that was said before, and in the last message what the user did not put in. Null: nobody is told.
    /// </param>
    /// <exception cref="NotSupportedException">The last message holds a file, a picture or a sound.</exception>
    internal static void WriteMessages(
        Utf8JsonWriter json,
        IReadOnlyList<ChatMessage> messages,
        string? instructions,
        Action<ChatMessage, AIContent>? leftOut = null
    )
    {
        if (messages is [.., var last] && last.Contents.FirstOrDefault(IsUnreadableInput) is { } input)
        {
            throw new NotSupportedException(
                $"A message with role '{last.Role}' holds {input.GetType().Name}, which a text model cannot read. Text, data of a text media type, function calls and function results are possible."
            );
        }
        json.WriteStartArray("messages");
        int first = 0;
        if (!string.IsNullOrEmpty(instructions))
        {
            string system = instructions;
            // many templates accept one system message only
            if (messages.Count > 0 && messages[0].Role == ChatRole.System)
            {
                system = $"{instructions}\n\n{Text(messages[0], leftOut)}";
                first = 1;
            }
            WriteText(json, "system", system);
        }
        for (int i = first; i < messages.Count; i++)
        {
            WriteMessage(json, messages[i], leftOut);
        }
        json.WriteEndArray();
    }

    internal static void WriteTools(
        Utf8JsonWriter json,
        IEnumerable<AIFunctionDeclaration> tools,
        IReadOnlyDictionary<string, NormalizedSchema> schemas
    )
    {
        json.WriteStartArray("tools");
        foreach (AIFunctionDeclaration tool in tools)
        {
            json.WriteStartObject();
            json.WriteString("type", "function");
            json.WriteStartObject("function");
            json.WriteString("name", tool.Name);
            json.WriteString("description", tool.Description);
            json.WritePropertyName("parameters");
            tool.JsonSchema.WriteTo(json);
            json.WritePropertyName("grammar_parameters");
            schemas[tool.Name].WriteTo(json);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteMessage(Utf8JsonWriter json, ChatMessage message, Action<ChatMessage, AIContent>? leftOut)
    {
        string role =
            message.Role == ChatRole.System || message.Role.Value == "developer" ? "system"
            : message.Role == ChatRole.User ? "user"
            : message.Role == ChatRole.Assistant ? "assistant"
            : message.Role == ChatRole.Tool ? "tool"
            : throw new NotSupportedException(
                $"The role '{message.Role}' is unknown; system, developer, user, assistant and tool are possible."
            );

        FunctionResultContent[] results = [.. message.Contents.OfType<FunctionResultContent>()];
        if (results.Length > 0)
        {
            foreach (FunctionResultContent result in results)
            {
                json.WriteStartObject();
                json.WriteString("role", "tool");
                json.WriteString("tool_call_id", result.CallId);
                json.WriteString("content", ResultText(result));
                json.WriteEndObject();
            }
            if (role == "tool")
            {
                return;
            }
        }

        FunctionCallContent[] calls = [.. message.Contents.OfType<FunctionCallContent>()];
        string text = Text(message, leftOut);
        string reasoning = string.Concat(
            message.Contents.OfType<TextReasoningContent>().Select(content => content.Text)
        );
        if (results.Length > 0 && text.Length == 0 && calls.Length == 0)
        {
            return;
        }
        json.WriteStartObject();
        json.WriteString("role", role);
        json.WriteString("content", text);
        if (reasoning.Length > 0 && role == "assistant")
        {
            json.WriteString("reasoning_content", reasoning);
        }
        if (calls.Length > 0)
        {
            json.WriteStartArray("tool_calls");
            foreach (FunctionCallContent call in calls)
            {
                json.WriteStartObject();
                json.WriteString("id", call.CallId);
                json.WriteString("type", "function");
                json.WriteStartObject("function");
                json.WriteString("name", call.Name);
                json.WriteString("arguments", ArgumentsText(call));
                json.WriteEndObject();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <summary>What somebody asks about, and would not get an answer about without it.</summary>
    private static bool IsUnreadableInput(AIContent content) =>
        content is UriContent or HostedFileContent
        || (content is DataContent data && !data.HasTopLevelMediaType("text"));

    private static string Text(ChatMessage message, Action<ChatMessage, AIContent>? leftOut)
    {
        StringBuilder text = new();
        foreach (AIContent content in message.Contents)
        {
            switch (content)
            {
                case null or TextReasoningContent or FunctionCallContent or FunctionResultContent or UsageContent:
                    break;
                case TextContent part:
                    text.Append(part.Text);
                    break;
                case DataContent data when data.HasTopLevelMediaType("text"):
                    text.Append(Decode(data));
                    break;
                default:
                    leftOut?.Invoke(message, content);
                    break;
            }
        }
        return text.ToString();
    }

    // UTF-8, or what a byte order mark says, which is not part of the text
    private static string Decode(DataContent data)
    {
        using StreamReader reader = new(new MemoryStream(data.Data.ToArray()), Encoding.UTF8);
        return reader.ReadToEnd();
    }

    // what functions were given and gave was said before: odd values must not end the conversation
    private static JsonSerializerOptions CreateContentOptions()
    {
        JsonSerializerOptions options = new(AIJsonUtilities.DefaultOptions)
        {
            ReferenceHandler = ReferenceHandler.IgnoreCycles,
        };
        options.NumberHandling |= JsonNumberHandling.AllowNamedFloatingPointLiterals;
        options.MakeReadOnly();
        return options;
    }

    /// <summary>Arguments of a generated call; throws what the caller reports when they are no JSON object.</summary>
    internal static IDictionary<string, object?>? ParseArguments(string json) =>
        (IDictionary<string, object?>?)
            JsonSerializer.Deserialize(json, ContentOptions.GetTypeInfo(typeof(IDictionary<string, object?>)));

    private static string ArgumentsText(FunctionCallContent call) =>
        call.Arguments is null
            ? "{}"
            : JsonSerializer.Serialize(
                call.Arguments,
                ContentOptions.GetTypeInfo(typeof(IDictionary<string, object?>))
            );

    private static string ResultText(FunctionResultContent result) =>
        result.Exception is { } exception
            ? $"Error: {exception.Message}"
            : result.Result switch
            {
                null => "",
                string text => text,
                JsonElement { ValueKind: JsonValueKind.String } json => json.GetString()!,
                JsonElement json => json.GetRawText(),
                object other => JsonSerializer.Serialize(other, ContentOptions.GetTypeInfo(other.GetType())),
            };

    private static void WriteText(Utf8JsonWriter json, string role, string content)
    {
        json.WriteStartObject();
        json.WriteString("role", role);
        json.WriteString("content", content);
        json.WriteEndObject();
    }
}

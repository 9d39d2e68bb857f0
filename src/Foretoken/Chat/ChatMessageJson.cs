using System.Globalization;
using System.Text;
using System.Text.Json;
using Foretoken.Schemas;
using Microsoft.Extensions.AI;

namespace Foretoken.Chat;

/// <summary>Writes messages and tools as the JSON (OpenAI chat format) that the native chat templates take.</summary>
internal static class ChatMessageJson
{
    private static readonly JsonSerializerOptions ContentOptions = AIJsonUtilities.DefaultOptions;

    /// <summary>The messages, with <paramref name="instructions"/> in front as a system message.</summary>
    /// <exception cref="NotSupportedException">A message holds content that a text model cannot read.</exception>
    internal static void WriteMessages(Utf8JsonWriter json, IReadOnlyList<ChatMessage> messages, string? instructions)
    {
        json.WriteStartArray("messages");
        int first = 0;
        if (!string.IsNullOrEmpty(instructions))
        {
            string system = instructions;
            // many templates accept one system message only
            if (messages.Count > 0 && messages[0].Role == ChatRole.System)
            {
                system = $"{instructions}\n\n{Text(messages[0])}";
                first = 1;
            }
            WriteText(json, "system", system);
        }
        for (int i = first; i < messages.Count; i++)
        {
            WriteMessage(json, messages[i]);
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

    private static void WriteMessage(Utf8JsonWriter json, ChatMessage message)
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
        string text = Text(message);
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

    private static string Text(ChatMessage message)
    {
        StringBuilder text = new();
        foreach (AIContent content in message.Contents)
        {
            switch (content)
            {
                case TextReasoningContent or FunctionCallContent or FunctionResultContent or UsageContent:
                    break;
                case TextContent part:
                    text.Append(part.Text);
                    break;
                case DataContent data when data.HasTopLevelMediaType("text"):
                    text.Append(Encoding.UTF8.GetString(data.Data.Span));
                    break;
                default:
                    throw new NotSupportedException(
                        string.Create(
                            CultureInfo.InvariantCulture,
                            $"A message with role '{message.Role}' holds {content.GetType().Name}, which a text model cannot read. Text, data of a text media type, function calls and function results are possible."
                        )
                    );
            }
        }
        return text.ToString();
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

using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Sessions;

namespace Foretoken.Chat;

/// <summary>
/// What a chat template can do beyond messages, found out by rendering small conversations with it: no text of a caller says
/// anything about that.
/// </summary>
internal sealed record TemplateAbilities
{
    private const string Function = "probe_of_functions";
    private const string FirstArgument = "first_probe_argument";
    private const string SecondArgument = "second_probe_argument";

    /// <summary>Whether the functions of a request reach the prompt.</summary>
    internal required bool DescribesFunctions { get; init; }

    /// <summary>Whether calls have a format that can be demanded with a grammar and read back.</summary>
    internal required bool HasCallFormat { get; init; }

    /// <summary>Whether a message of the assistant may hold several calls.</summary>
    internal required bool TakesSeveralCalls { get; init; }

    /// <summary>Whether ids of calls are refused unless they are as <see cref="CallIds"/> makes them.</summary>
    internal required bool NeedsStrictCallIds { get; init; }

    /// <summary>Whether answers may begin with reasoning.</summary>
    internal required bool Reasons { get; init; }

    /// <summary>Whether reasoning can be switched off.</summary>
    internal required bool CanStopReasoning { get; init; }

    /// <summary>Whether the effort of reasoning has levels.</summary>
    internal required bool HasEffortLevels { get; init; }

    internal static TemplateAbilities Of(ChatTemplate template)
    {
        using ChatPrompt? plain = Render(template, json => WriteUser(json));
        using ChatPrompt? described = Render(
            template,
            json =>
            {
                WriteUser(json);
                WriteFunction(json);
            }
        );
        using ChatPrompt? demanded = Render(
            template,
            json =>
            {
                WriteUser(json);
                WriteFunction(json);
                json.WriteString("tool_choice", "required");
            }
        );
        using ChatPrompt? one = Render(template, json => WriteCalls(json, "probe0001"));
        using ChatPrompt? loose = Render(template, json => WriteCalls(json, "call_of_a_probe-1"));
        using ChatPrompt? several = Render(template, json => WriteCalls(json, "probe0001", "probe0002"));
        using ChatPrompt? quiet = Render(
            template,
            json =>
            {
                WriteUser(json);
                json.WriteBoolean("enable_thinking", false);
            }
        );
        using ChatPrompt? low = Render(template, json => WriteEffort(json, "low"));
        using ChatPrompt? high = Render(template, json => WriteEffort(json, "high"));
        return new TemplateAbilities
        {
            DescribesFunctions = Contains(described, Function),
            HasCallFormat = demanded?.Info.Grammar is { Length: > 0 },
            TakesSeveralCalls = Contains(several, FirstArgument) && Contains(several, SecondArgument),
            NeedsStrictCallIds = one is not null && loose is null,
            Reasons = plain?.Info.SupportsThinking == true,
            CanStopReasoning = Differ(plain, quiet),
            HasEffortLevels = Differ(low, high),
        };
    }

    private static bool Contains(ChatPrompt? prompt, string text) =>
        prompt?.Info.Text.Contains(text, StringComparison.Ordinal) == true;

    private static bool Differ(ChatPrompt? a, ChatPrompt? b) =>
        a is not null && b is not null && a.Info.Text != b.Info.Text;

    /// <summary>Null where the template refuses the conversation.</summary>
    private static ChatPrompt? Render(ChatTemplate template, Action<Utf8JsonWriter> body)
    {
        try
        {
            return template.Render(NativeConfig.Write(body));
        }
        catch (Exception e) when (e is ForetokenException and not DeviceLostException or ArgumentException)
        {
            return null;
        }
    }

    private static void WriteUser(Utf8JsonWriter json)
    {
        json.WriteStartArray("messages");
        WriteMessage(json, "user", "Hello");
        json.WriteEndArray();
    }

    private static void WriteEffort(Utf8JsonWriter json, string effort)
    {
        WriteUser(json);
        json.WriteStartObject("template_kwargs");
        json.WriteString("reasoning_effort", effort);
        json.WriteEndObject();
    }

    private static void WriteCalls(Utf8JsonWriter json, params ReadOnlySpan<string> ids)
    {
        json.WriteStartArray("messages");
        WriteMessage(json, "user", "Hello");
        json.WriteStartObject();
        json.WriteString("role", "assistant");
        json.WriteString("content", "");
        json.WriteStartArray("tool_calls");
        for (int i = 0; i < ids.Length; i++)
        {
            json.WriteStartObject();
            json.WriteString("id", ids[i]);
            json.WriteString("type", "function");
            json.WriteStartObject("function");
            json.WriteString("name", Function);
            json.WriteString("arguments", $$"""{"text": "{{(i == 0 ? FirstArgument : SecondArgument)}}"}""");
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        foreach (string id in ids)
        {
            json.WriteStartObject();
            json.WriteString("role", "tool");
            json.WriteString("tool_call_id", id);
            json.WriteString("name", Function);
            json.WriteString("content", "done");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        WriteFunction(json);
    }

    private static void WriteMessage(Utf8JsonWriter json, string role, string content)
    {
        json.WriteStartObject();
        json.WriteString("role", role);
        json.WriteString("content", content);
        json.WriteEndObject();
    }

    private static void WriteFunction(Utf8JsonWriter json)
    {
        json.WriteStartArray("tools");
        json.WriteStartObject();
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", Function);
        json.WriteString("description", "Does nothing.");
        json.WriteStartObject("parameters");
        json.WriteString("type", "object");
        json.WriteStartObject("properties");
        json.WriteStartObject("text");
        json.WriteString("type", "string");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartArray("required");
        json.WriteStringValue("text");
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
    }
}

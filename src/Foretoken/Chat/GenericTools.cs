using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Foretoken.Errors;
using Foretoken.Interop;

namespace Foretoken.Chat;

/// <summary>
/// A tool format of our own, for models whose chat template has none: functions are described in the system message, calls are
/// JSON that a grammar binds, and results come back as a message of the user.
/// </summary>
internal sealed class GenericTools
{
    private const string CallsKey = "tool_calls";
    private const string ResultsKey = "tool_results";

    // where a call begins as it is described to the model; the grammar sets in here when the model may also answer in text
    private const string Beginning = $"{{\"{CallsKey}\"";

    private readonly HashSet<string> _names;

    private GenericTools(HashSet<string> names)
    {
        _names = names;
    }

    /// <summary>What may begin a call, and so ends what is known to be text.</summary>
    internal const string Marker = "{";

    /// <summary>GBNF grammar of calls, from where one begins; null where the rendered prompt has the grammar of the whole answer.</summary>
    internal string? LazyGrammar { get; private init; }

    /// <summary>JSON of what the lazy grammar waits for.</summary>
    internal static string Triggers { get; } =
        new JsonArray(new JsonObject { ["type"] = "word", ["value"] = Beginning }).ToJsonString();

    /// <summary>Puts the functions of a request, and the calls of its conversation, into its messages and its schema.</summary>
    /// <param name="request">The request as it is rendered; changed in place.</param>
    /// <returns>What reads calls back; null when the request has no functions.</returns>
    /// <exception cref="GrammarException">A schema of the request cannot be turned into a grammar.</exception>
    internal static GenericTools? Apply(JsonObject request)
    {
        JsonArray messages = request["messages"]!.AsArray();
        WriteCallsAsText(messages);
        JsonArray? tools = request["tools"]?.AsArray();
        bool required = (string?)request["tool_choice"] == "required";
        bool several = (bool?)request["parallel_tool_calls"] == true;
        request.Remove("tools");
        request.Remove("tool_choice");
        request.Remove("parallel_tool_calls");
        if (tools is not { Count: > 0 })
        {
            return null;
        }
        JsonObject? answer = request["json_schema"] as JsonObject;
        AddToSystem(messages, Describe(tools, required, several, isJson: answer is not null));
        JsonObject calls = CallsSchema(tools, several);
        string? grammar = null;
        if (required)
        {
            request["json_schema"] = calls;
        }
        else if (answer is not null)
        {
            request["json_schema"] = Either(calls, answer);
        }
        else
        {
            grammar = ToGrammar(calls);
        }
        return new GenericTools([.. tools.Select(Name)]) { LazyGrammar = grammar };
    }

    /// <summary>Takes calls out of the content of an answer, and holds back what may become one.</summary>
    internal ParsedAnswer Read(ParsedAnswer answer, bool isPartial)
    {
        string content = answer.Content ?? "";
        int begin = FindCalls(content, isPartial);
        if (begin < 0)
        {
            return answer;
        }
        // the content is the last part of the text
        string before = content[..begin].TrimEnd();
        int beginBytes = answer.LastEnd - Encoding.UTF8.GetByteCount(content.AsSpan(begin));
        ParsedAnswer cut = answer with { Content = before, LastEnd = beginBytes, Complete = false };
        return isPartial ? cut
            : ReadCalls(content[begin..], beginBytes) is { Count: > 0 } calls
                ? answer with
                {
                    Content = before,
                    ToolCalls = calls,
                }
            : cut;
    }

    /// <summary>Where calls begin, or in a text that still grows may begin; -1 where they do not.</summary>
    private static int FindCalls(string text, bool isPartial)
    {
        const string Key = $"\"{CallsKey}\"";
        for (int begin = text.IndexOf('{'); begin >= 0; begin = text.IndexOf('{', begin + 1))
        {
            ReadOnlySpan<char> rest = text.AsSpan(begin + 1).TrimStart();
            if (rest.StartsWith(Key) || (isPartial && Key.AsSpan().StartsWith(rest)))
            {
                return begin;
            }
        }
        return -1;
    }

    /// <summary>The calls; none where the text is not what was asked for.</summary>
    private List<ParsedToolCall> ReadCalls(string text, int beginBytes)
    {
        try
        {
            List<ParsedToolCall> calls = [];
            foreach (JsonNode? call in JsonNode.Parse(text)![CallsKey]!.AsArray())
            {
                string name = (string)call!["name"]!;
                if (!_names.Contains(name))
                {
                    return [];
                }
                calls.Add(
                    new ParsedToolCall
                    {
                        Name = name,
                        Arguments = (call["arguments"] as JsonObject)?.ToJsonString(),
                        Begin = beginBytes,
                        Closed = true,
                    }
                );
            }
            return calls;
        }
        catch (Exception e)
            when (e is JsonException or InvalidOperationException or NullReferenceException or ArgumentException)
        {
            return [];
        }
    }

    private static string Describe(JsonArray tools, bool required, bool several, bool isJson)
    {
        StringBuilder text = new();
        text.Append(required ? "Answer by calling " : "You can call ")
            .Append(several ? "one or more functions. " : "one function. ")
            .Append("To call, write only JSON of this form:\n")
            .Append(Beginning)
            .Append(""": [{"name": the name of the function, "arguments": {the arguments}}]}""")
            .Append('\n');
        if (!required)
        {
            text.Append("You are then told the result. When no function is needed, ")
                .Append(isJson ? "write the answer as JSON.\n" : "answer without JSON.\n");
        }
        text.Append("These are the functions, with the JSON schemas of their arguments:");
        foreach (JsonNode? tool in tools)
        {
            text.Append('\n').Append(tool!["function"]!.ToJsonString());
        }
        return text.ToString();
    }

    private static void AddToSystem(JsonArray messages, string text)
    {
        if (messages.Count > 0 && (string?)messages[0]!["role"] == "system")
        {
            string own = (string)messages[0]!["content"]!;
            messages[0]!["content"] = own.Length > 0 ? $"{own}\n\n{text}" : text;
        }
        else
        {
            messages.Insert(0, Message("system", text));
        }
    }

    /// <summary>A conversation as a template without functions can render it.</summary>
    private static void WriteCallsAsText(JsonArray messages)
    {
        JsonNode[] all = [.. messages.Select(message => message!)];
        messages.Clear();
        Dictionary<string, string> names = [];
        JsonArray? results = null;
        foreach (JsonNode message in all)
        {
            if ((string?)message["role"] == "tool")
            {
                string? id = (string?)message["tool_call_id"];
                JsonObject result = [];
                if (id is not null && names.TryGetValue(id, out string? name))
                {
                    result["name"] = name;
                }
                result["result"] = (string?)message["content"];
                (results ??= []).Add((JsonNode)result);
                continue;
            }
            string? told = results is null ? null : new JsonObject { [ResultsKey] = results }.ToJsonString();
            results = null;
            if (told is not null && (string?)message["role"] == "user")
            {
                // many templates want users and assistants to take turns
                message["content"] = $"{told}\n\n{(string?)message["content"]}";
                told = null;
            }
            if (told is not null)
            {
                messages.Add((JsonNode)Message("user", told));
            }
            if (message["tool_calls"] is JsonArray calls)
            {
                JsonArray written = [];
                foreach (JsonNode? call in calls)
                {
                    string name = Name(call);
                    if ((string?)call!["id"] is { } id)
                    {
                        names[id] = name;
                    }
                    written.Add(
                        (JsonNode)
                            new JsonObject
                            {
                                ["name"] = name,
                                ["arguments"] = JsonNode.Parse((string)call["function"]!["arguments"]!),
                            }
                    );
                }
                string text = new JsonObject { [CallsKey] = written }.ToJsonString();
                string content = (string?)message["content"] ?? "";
                message["content"] = content.Length > 0 ? $"{content}\n{text}" : text;
                message.AsObject().Remove("tool_calls");
            }
            messages.Add(message);
        }
        if (results is not null)
        {
            messages.Add((JsonNode)Message("user", new JsonObject { [ResultsKey] = results }.ToJsonString()));
        }
    }

    private static JsonObject Message(string role, string content) => new() { ["role"] = role, ["content"] = content };

    private static string Name(JsonNode? tool) => (string)tool!["function"]!["name"]!;

    private static JsonObject CallsSchema(JsonArray tools, bool several)
    {
        JsonObject definitions = [];
        JsonArray choices = [];
        for (int i = 0; i < tools.Count; i++)
        {
            string definition = $"arguments_{i}";
            JsonNode parameters =
                tools[i]!["function"]!["parameters"]?.DeepClone() ?? new JsonObject { ["type"] = "object" };
            definitions[definition] = Move(parameters, $"#/$defs/{definition}");
            choices.Add(
                (JsonNode)ObjectSchema(
                    ("name", new JsonObject { ["const"] = Name(tools[i]) }),
                    ("arguments", Reference(definition))
                )
            );
        }
        JsonObject list = new()
        {
            ["type"] = "array",
            ["items"] = new JsonObject { ["anyOf"] = choices },
            ["minItems"] = 1,
        };
        if (!several)
        {
            list["maxItems"] = 1;
        }
        JsonObject schema = ObjectSchema((CallsKey, list));
        schema["$defs"] = definitions;
        return schema;
    }

    /// <summary>A schema of calls or else of an answer.</summary>
    private static JsonObject Either(JsonObject calls, JsonObject answer)
    {
        JsonObject definitions = calls["$defs"]!.AsObject();
        calls.Remove("$defs");
        definitions["answer"] = Move(answer.DeepClone(), "#/$defs/answer");
        definitions["calls"] = calls;
        return new JsonObject
        {
            ["anyOf"] = new JsonArray(Reference("calls"), Reference("answer")),
            ["$defs"] = definitions,
        };
    }

    private static JsonObject Reference(string definition) => new() { ["$ref"] = $"#/$defs/{definition}" };

    private static JsonObject ObjectSchema(params (string Name, JsonObject Schema)[] properties)
    {
        JsonObject schemas = [];
        JsonArray required = [];
        foreach ((string name, JsonObject schema) in properties)
        {
            schemas[name] = schema;
            required.Add((JsonNode)name!);
        }
        return new JsonObject
        {
            ["type"] = "object",
            ["properties"] = schemas,
            ["required"] = required,
            ["additionalProperties"] = false,
        };
    }

    /// <summary>References within a schema point to its root; they follow it to its new place.</summary>
    private static JsonNode Move(JsonNode schema, string place)
    {
        switch (schema)
        {
            case JsonObject properties:
                foreach ((string name, JsonNode? value) in properties.ToArray())
                {
                    if (
                        name == "$ref"
                        && value is JsonValue reference
                        && reference.TryGetValue(out string? target)
                        && target.StartsWith('#')
                    )
                    {
                        properties[name] = place + target[1..];
                    }
                    else if (value is not null)
                    {
                        Move(value, place);
                    }
                }
                break;
            case JsonArray items:
                foreach (JsonNode? item in items)
                {
                    if (item is not null)
                    {
                        Move(item, place);
                    }
                }
                break;
        }
        return schema;
    }

    private static unsafe string ToGrammar(JsonObject schema)
    {
        string json = schema.ToJsonString();
        return NativeCall.ReadText(
            (byte* buffer, long capacity, out long needed) =>
                NativeMethods.ftk_json_schema_to_grammar(json, buffer, capacity, out needed)
        );
    }
}

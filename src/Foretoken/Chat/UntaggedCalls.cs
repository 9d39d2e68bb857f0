using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Foretoken.Chat;

/// <summary>
/// Calls that a model writes as JSON alone: <c>{"name": …, "arguments": {…}}</c>, between fences of Markdown or not, without the
/// tags that its template asks for. Small models do, and those that were trained on code. An answer is read as calls when it is
/// nothing else, and names functions of the request.
/// </summary>
internal sealed partial class UntaggedCalls(IReadOnlyCollection<string> names, bool several)
{
    private const string Fence = "```";

    // of JSON that does not end
    private static readonly JsonReaderOptions Lenient = new() { AllowMultipleValues = true };

    /// <summary>Takes calls out of an answer in which none were found, and holds back what may become one.</summary>
    internal ParsedAnswer Read(ParsedAnswer answer, bool isPartial)
    {
        string content = answer.Content ?? "";
        if (answer.ToolCalls.Count > 0 || answer.CutCall >= 0 || answer.Last != "content" || !MayBeCalls(content))
        {
            return answer;
        }
        // the content is the last part of the text
        int begin = answer.LastEnd - Encoding.UTF8.GetByteCount(content);
        ParsedAnswer cut = answer with { Content = "", LastEnd = begin, Complete = false };
        return isPartial ? cut : ReadCalls(answer, cut, content, begin);
    }

    /// <summary>Whether a text begins as calls do, as far as it goes.</summary>
    private bool MayBeCalls(string content)
    {
        ReadOnlySpan<char> rest = content.AsSpan().TrimStart();
        if (Fence.AsSpan().StartsWith(rest))
        {
            return true;
        }
        if (rest.StartsWith(Fence))
        {
            int line = rest.IndexOf('\n');
            ReadOnlySpan<char> language = (line < 0 ? rest : rest[..line])[Fence.Length..].TrimEnd();
            if (line < 0)
            {
                return "json".AsSpan().StartsWith(language);
            }
            if (language is not ("" or "json"))
            {
                return false;
            }
            rest = rest[(line + 1)..].TrimStart();
        }
        if (rest.IsEmpty)
        {
            return true;
        }
        Match match = Beginning().Match(rest.ToString());
        if (!match.Success)
        {
            return false;
        }
        string name = match.Groups["name"].Value;
        return match.Groups["end"].Success
            ? names.Contains(name)
            : names.Any(known => known.StartsWith(name, StringComparison.Ordinal));
    }

    private ParsedAnswer ReadCalls(ParsedAnswer answer, ParsedAnswer cut, string content, int begin)
    {
        int start = content.IndexOf('{');
        if (start < 0)
        {
            // a fence or space, and nothing in it
            return answer;
        }
        byte[] json = Encoding.UTF8.GetBytes(content[start..]);
        int before = begin + Encoding.UTF8.GetByteCount(content.AsSpan(0, start));
        List<ParsedToolCall> calls = [];
        int end = 0;
        try
        {
            while (end < json.Length && json[end] == '{')
            {
                Utf8JsonReader reader = new(json.AsSpan(end), Lenient);
                using JsonDocument document = JsonDocument.ParseValue(ref reader);
                if (ToCall(document.RootElement) is not { } call)
                {
                    return answer;
                }
                // what stands in front of the first one, such as a fence, is part of it
                calls.Add(call with { Begin = calls.Count == 0 ? begin : before + end });
                end += (int)reader.BytesConsumed;
                while (end < json.Length && char.IsWhiteSpace((char)json[end]))
                {
                    end++;
                }
            }
        }
        catch (JsonException)
        {
            // one that is cut, or something that was no JSON from the beginning
            return calls.Count == 0
                ? cut
                : cut with
                {
                    ToolCalls = Allowed(calls),
                    CutCall = CutAt(calls, before + end),
                };
        }
        string rest = Encoding.UTF8.GetString(json.AsSpan(end)).Trim();
        if (rest.Length > 0 && rest != Fence)
        {
            return answer;
        }
        return cut with
        {
            ToolCalls = Allowed(calls),
            CutCall = several || calls.Count == 1 ? -1 : CutAt(calls, -1),
            Complete = several || calls.Count == 1,
        };
    }

    private List<ParsedToolCall> Allowed(List<ParsedToolCall> calls) => several ? calls : calls[..1];

    /// <summary>Where what is no call begins: where only one is allowed, with the second.</summary>
    private int CutAt(List<ParsedToolCall> calls, int end) => several || calls.Count == 1 ? end : calls[1].Begin;

    private ParsedToolCall? ToCall(JsonElement json)
    {
        string? name = null;
        string? arguments = null;
        foreach (JsonProperty property in json.EnumerateObject())
        {
            if (property.NameEquals("name") && property.Value.ValueKind == JsonValueKind.String && name is null)
            {
                name = property.Value.GetString();
            }
            else if (
                (property.NameEquals("arguments") || property.NameEquals("parameters"))
                && property.Value.ValueKind == JsonValueKind.Object
                && arguments is null
            )
            {
                arguments = property.Value.GetRawText();
            }
            else
            {
                return null;
            }
        }
        return name is not null && names.Contains(name) && arguments is not null
            ? new ParsedToolCall
            {
                Name = name,
                Arguments = arguments,
                Closed = true,
            }
            : null;
    }

    // {"name": "get_time", or a beginning of it
    [GeneratedRegex(
        """^\{\s*(?:$|"(?:n(?:a(?:me?)?)?)?$|"name"\s*(?:$|:\s*(?:$|"(?<name>[^"\\]*)(?:(?<end>")|$))))""",
        RegexOptions.ExplicitCapture
    )]
    private static partial Regex Beginning();
}

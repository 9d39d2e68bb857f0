using System.Buffers;
using System.Text;
using System.Text.Json;
using Foretoken.Errors;
using Foretoken.Schemas;
using Foretoken.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Chat;

/// <summary>
/// Turns generated tokens into contents: whole UTF-8 characters only, nothing of a stop sequence, and where the prompt asks
/// for a format (tool calls, reasoning), text, reasoning and calls apart from each other.
/// </summary>
/// <remarks>
/// The parser of a format reads from the beginning. What it has found to be text or reasoning goes on being that until a marker of
/// the format occurs, so it runs only then, and never over more than <see cref="ParsesPerByte"/> times the answer.
/// </remarks>
internal sealed class AnswerReader
{
    private const long ParsesPerByte = 32;
    private const long FirstParses = 1 << 16;

    private readonly ForetokenModel _model;
    private readonly ChatPrompt _prompt;
    private readonly bool _parses;
    private readonly IReadOnlyList<string> _markers;
    private readonly bool _showsReasoning;
    private readonly HashSet<int> _preserved = [];
    private readonly StreamingTextDecoder _decoder = new();
    private readonly StopSequenceMatcher _stops;
    private readonly IReadOnlyDictionary<string, NormalizedSchema> _tools;
    private readonly List<(string Name, string Reason)> _refusedCalls = [];
    private readonly ArrayBufferWriter<byte> _text = new();
    private readonly StringBuilder _content = new();
    private readonly StringBuilder _reasoning = new();
    private long _parsedBytes;

    // what the text ends in, and what of it was not passed on, because a marker may begin with it
    private Part _part = Part.Unknown;
    private string _pending = "";

    internal AnswerReader(ForetokenModel model, ChatPrompt prompt, ChatRequest request)
    {
        _model = model;
        _prompt = prompt;
        _showsReasoning = request.ShowsReasoning;
        _tools = request.Tools;
        _stops = new StopSequenceMatcher(request.StopSequences.Concat(prompt.Info.Stops));
        _parses =
            _tools.Count > 0
            || request.IsJson
            || !(prompt.Info.Format ?? "").Equals("Content-only", StringComparison.OrdinalIgnoreCase);
        // JSON may stand between fences, which are no part of it
        _markers = request.IsJson ? [.. prompt.Info.Markers, "```"] : prompt.Info.Markers;
        foreach (string text in prompt.Info.PreservedTokens)
        {
            // a marker such as <tool_call> that is one control token is part of the format, so its spelling must show
            int[] tokens = model.Tokenize(text, parseSpecial: true);
            if (tokens.Length == 1)
            {
                _preserved.Add(tokens[0]);
            }
        }
    }

    private enum Part
    {
        Unknown,
        Text,
        Reasoning,
        Calls,
    }

    /// <summary>Whether a stop sequence has occurred: what comes after it is not part of the answer.</summary>
    internal bool Stopped => _stops.Matched is not null;

    /// <summary>Why the generated text could not be read in the prompt's format; null when it could.</summary>
    internal string? ParseError { get; private set; }

    /// <summary>Calls that are part of the text only, because they are not complete or do not fit, and why.</summary>
    internal IReadOnlyList<(string Name, string Reason)> RefusedCalls => _refusedCalls;

    /// <summary>Bytes that the parser of the format has read in all.</summary>
    internal long ParsedBytes => _parsedBytes;

    /// <summary>The contents that a token completes, possibly none.</summary>
    internal List<AIContent> Append(int token) =>
        Append(_decoder.Append(_model.TokenBytes(token, _preserved.Contains(token))));

    /// <summary>The contents that generated text completes, possibly none.</summary>
    internal List<AIContent> Append(string text) => Read(_stops.Append(text));

    /// <summary>The contents that were still held back, and the function calls.</summary>
    internal List<AIContent> Finish()
    {
        // bytes that the decoder still holds are the beginning of a character whose rest was cut off: half of one is not text
        string rest = _stops.Flush();
        if (!_parses)
        {
            return Read(rest);
        }
        Encoding.UTF8.GetBytes(rest, _text);
        ParsedAnswer answer;
        try
        {
            answer = Parse(isPartial: false);
        }
        catch (Exception e) when (e is ForetokenException or ArgumentException)
        {
            // what was passed on is the beginning of the text, or what the markup at its beginning left of it
            ParseError = e.Message;
            string all = TextFrom(0);
            string passedOn = _content.ToString();
            int at = all.IndexOf(passedOn, StringComparison.Ordinal);
            return at < 0 || (passedOn.Length == 0 && _reasoning.Length > 0)
                ? Contents(_pending + rest, "")
                : Contents(all[(at + passedOn.Length)..], "");
        }
        List<AIContent> contents = Difference(answer, isEnd: true);
        AddCalls(answer, contents);
        return contents;
    }

    private void AddCalls(ParsedAnswer answer, List<AIContent> contents)
    {
        for (int i = 0; i < answer.ToolCalls.Count; i++)
        {
            ParsedToolCall call = answer.ToolCalls[i];
            if (FindFault(call) is { } fault)
            {
                _refusedCalls.Add((call.Name, fault));
                int end =
                    i + 1 < answer.ToolCalls.Count ? answer.ToolCalls[i + 1].Begin
                    : answer.CutCall >= 0 ? answer.CutCall
                    : _text.WrittenCount;
                contents.Add(new TextContent(TextFrom(call.Begin, end)));
                continue;
            }
            contents.Add(
                FunctionCallContent.CreateFromParsedArguments(
                    call.Arguments!,
                    call.Id is { Length: > 0 } id ? id : CallIds.Create(),
                    call.Name,
                    ChatMessageJson.ParseArguments
                )
            );
        }
        if (answer.Complete || (answer.ToolCalls.Count > 0 && answer.CutCall < 0))
        {
            return;
        }
        // cut inside of markup: what of it is no end of the reasoning was to become a call
        string tail = TextFrom(answer.ToolCalls.Count > 0 ? answer.CutCall : answer.LastEnd);
        if (answer.ToolCalls.Count == 0 && answer.Last == "reasoning")
        {
            string? end = _prompt.Info.Markers.FirstOrDefault(marker =>
                tail.Contains(marker, StringComparison.Ordinal)
            );
            tail = end is null ? "" : tail[(tail.IndexOf(end, StringComparison.Ordinal) + end.Length)..];
        }
        if (!string.IsNullOrWhiteSpace(tail))
        {
            if (_tools.Count > 0)
            {
                _refusedCalls.Add(("?", "it was cut before it was complete"));
            }
            contents.Add(new TextContent(tail));
        }
    }

    /// <summary>Tokens that the reasoning has as a text; what marks its begin and end is not counted.</summary>
    internal int CountReasoningTokens() => _reasoning.Length == 0 ? 0 : _model.Tokenize(_reasoning.ToString()).Length;

    /// <summary>Why a call cannot be handed over; null when its arguments are complete and fit.</summary>
    private string? FindFault(ParsedToolCall call)
    {
        if (!_tools.TryGetValue(call.Name, out NormalizedSchema? schema))
        {
            return "there is no function of this name";
        }
        try
        {
            using JsonDocument arguments = JsonDocument.Parse(call.Arguments ?? "");
            return call.Closed ? schema.FindFault(arguments.RootElement) : "it was cut before it was complete";
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return "its arguments are not complete JSON";
        }
    }

    private List<AIContent> Read(string text)
    {
        if (text.Length == 0)
        {
            return [];
        }
        if (!_parses)
        {
            return [new TextContent(text)];
        }
        Encoding.UTF8.GetBytes(text, _text);
        if (_part is Part.Text or Part.Reasoning)
        {
            _pending += text;
            if (!HasMarker(_pending))
            {
                string known = _pending[..^LongestMarkerBeginning(_pending)];
                _pending = _pending[known.Length..];
                return _part is Part.Text ? Contents(known, "") : Contents("", known);
            }
        }
        // calls are handed over at the end, when they are complete
        if (
            _part is Part.Calls
            || _parsedBytes + _text.WrittenCount > FirstParses + (ParsesPerByte * _text.WrittenCount)
        )
        {
            return [];
        }
        ParsedAnswer answer;
        try
        {
            answer = Parse(isPartial: true);
        }
        catch (Exception e) when (e is ForetokenException or ArgumentException)
        {
            // not readable yet; the end decides
            _part = Part.Unknown;
            return [];
        }
        List<AIContent> contents = Difference(answer, isEnd: false);
        _pending = TextFrom(answer.LastEnd);
        _part =
            answer.ToolCalls.Count > 0 ? Part.Calls
            : HasMarker(_pending) || !IsPassedOn(answer) ? Part.Unknown
            // space in front of a part belongs to none, until something follows
            : answer.Last == "content" && _content.Length > 0 ? Part.Text
            : answer.Last == "reasoning" && _reasoning.Length > 0 ? Part.Reasoning
            : Part.Unknown;
        return contents;
    }

    private ParsedAnswer Parse(bool isPartial)
    {
        _parsedBytes += _text.WrittenCount;
        return _prompt.Parse(_text.WrittenSpan, isPartial);
    }

    private string TextFrom(int begin) => TextFrom(begin, _text.WrittenCount);

    private string TextFrom(int begin, int end) => Encoding.UTF8.GetString(_text.WrittenSpan[begin..end]);

    private bool HasMarker(string text) => _markers.Any(marker => text.Contains(marker, StringComparison.Ordinal));

    /// <summary>Length of the longest end of <paramref name="text"/> that a marker begins with.</summary>
    private int LongestMarkerBeginning(string text)
    {
        int longest = 0;
        foreach (string marker in _markers)
        {
            for (int length = Math.Min(marker.Length - 1, text.Length); length > longest; length--)
            {
                if (text.EndsWith(marker[..length], StringComparison.Ordinal))
                {
                    longest = length;
                }
            }
        }
        return longest;
    }

    /// <summary>What an answer says beyond what was passed on already.</summary>
    private List<AIContent> Difference(ParsedAnswer answer, bool isEnd) =>
        Contents(
            Beyond(_content, answer.Content, isEnd),
            // reasoning that ended in a call was passed on with the call in it
            Beyond(_reasoning, answer.ReasoningContent, isEnd: false)
        );

    // a parser may take back its guess about unfinished text; what was passed on cannot be taken back. At the end nothing is lost
    private static string Beyond(StringBuilder passedOn, string? now, bool isEnd) =>
        now is null ? ""
        : now.StartsWith(passedOn.ToString(), StringComparison.Ordinal) ? now[passedOn.Length..]
        : isEnd && !passedOn.ToString().StartsWith(now, StringComparison.Ordinal) ? now
        : "";

    private bool IsPassedOn(ParsedAnswer answer) =>
        _content.Equals(answer.Content ?? "") && _reasoning.Equals(answer.ReasoningContent ?? "");

    private List<AIContent> Contents(string text, string reasoning)
    {
        List<AIContent> contents = [];
        if (reasoning.Length > 0)
        {
            _reasoning.Append(reasoning);
            if (_showsReasoning)
            {
                contents.Add(new TextReasoningContent(reasoning));
            }
        }
        if (text.Length > 0)
        {
            _content.Append(text);
            contents.Add(new TextContent(text));
        }
        return contents;
    }
}

using System.Text;
using System.Text.Json;
using Foretoken.Inference;
using Foretoken.Schemas;
using Microsoft.Extensions.AI;

namespace Foretoken.Chat;

/// <summary>
/// Turns generated tokens into contents: whole UTF-8 characters only, nothing of a stop sequence, and where the prompt asks
/// for a format (tool calls, reasoning), text, reasoning and calls apart from each other.
/// </summary>
internal sealed class AnswerReader
{
    private readonly ForetokenModel _model;
    private readonly ChatPrompt _prompt;
    private readonly bool _parses;
    private readonly bool _showsReasoning;
    private readonly HashSet<int> _preserved = [];
    private readonly StreamingTextDecoder _decoder = new();
    private readonly StopSequenceMatcher _stops;
    private readonly StringBuilder _text = new();
    private readonly IReadOnlyDictionary<string, NormalizedSchema> _tools;
    private readonly List<(string Name, string Reason)> _refusedCalls = [];
    private string _content = "";
    private string _reasoning = "";

    internal AnswerReader(ForetokenModel model, ChatPrompt prompt, ChatRequest request)
    {
        _model = model;
        _prompt = prompt;
        _showsReasoning = request.ShowsReasoning;
        _tools = request.Tools;
        _stops = new StopSequenceMatcher(request.StopSequences.Concat(prompt.Info.Stops));
        _parses =
            _tools.Count > 0
            || !(prompt.Info.Format ?? "").Equals("Content-only", StringComparison.OrdinalIgnoreCase);
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

    /// <summary>Whether a stop sequence has occurred: what comes after it is not part of the answer.</summary>
    internal bool Stopped => _stops.Matched is not null;

    /// <summary>Why the generated text could not be read in the prompt's format; null when it could.</summary>
    internal string? ParseError { get; private set; }

    /// <summary>Calls that are part of the text only, because they are not complete or do not fit, and why.</summary>
    internal IReadOnlyList<(string Name, string Reason)> RefusedCalls => _refusedCalls;

    /// <summary>The contents that a token completes, possibly none.</summary>
    internal List<AIContent> Append(int token) =>
        Read(_stops.Append(_decoder.Append(_model.TokenBytes(token, _preserved.Contains(token)))));

    /// <summary>The contents that were still held back, and the function calls.</summary>
    internal List<AIContent> Finish()
    {
        // bytes that the decoder still holds are the beginning of a character whose rest was cut off: half of one is not text
        string rest = _stops.Flush();
        if (!_parses)
        {
            return Read(rest);
        }
        _text.Append(rest);
        ParsedAnswer answer;
        try
        {
            answer = _prompt.Parse(_text.ToString(), isPartial: false);
        }
        catch (Exception e) when (e is ForetokenException or ArgumentException)
        {
            ParseError = e.Message;
            answer = new ParsedAnswer { Content = _text.ToString() };
        }
        List<AIContent> contents = Difference(answer);
        foreach (ParsedToolCall call in answer.ToolCalls)
        {
            if (FindFault(call) is { } fault)
            {
                _refusedCalls.Add((call.Name, fault));
                contents.Add(new TextContent(call.Text ?? $"{call.Name} {call.Arguments}"));
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
        return contents;
    }

    /// <summary>Tokens that the reasoning has as a text; what marks its begin and end is not counted.</summary>
    internal int CountReasoningTokens() => _reasoning.Length == 0 ? 0 : _model.Tokenize(_reasoning).Length;

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
            return schema.FindFault(arguments.RootElement);
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
        _text.Append(text);
        try
        {
            return Difference(_prompt.Parse(_text.ToString(), isPartial: true));
        }
        catch (Exception e) when (e is ForetokenException or ArgumentException)
        {
            // not readable yet; the end decides
            return [];
        }
    }

    /// <summary>What an answer says beyond what was passed on already.</summary>
    private List<AIContent> Difference(ParsedAnswer answer)
    {
        List<AIContent> contents = [];
        if (Advance(ref _reasoning, answer.ReasoningContent) is { Length: > 0 } reasoning && _showsReasoning)
        {
            contents.Add(new TextReasoningContent(reasoning));
        }
        if (Advance(ref _content, answer.Content) is { Length: > 0 } content)
        {
            contents.Add(new TextContent(content));
        }
        return contents;
    }

    private static string Advance(ref string passedOn, string? now)
    {
        // a parser may take back its guess about unfinished text; what was passed on cannot be taken back
        if (now is null || !now.StartsWith(passedOn, StringComparison.Ordinal))
        {
            return "";
        }
        string more = now[passedOn.Length..];
        passedOn = now;
        return more;
    }
}

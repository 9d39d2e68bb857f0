using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace Foretoken.Tuning.Prompts;

/// <summary>Reads prompts from a JSONL file: one object a line.</summary>
/// <remarks>
/// <para>Thread-safe. The keys of an object:</para>
/// <list type="bullet">
/// <item><c>document</c>: the text. Required.</item>
/// <item><c>question</c>: the question or instruction. Required.</item>
/// <item><c>question_at</c>: <c>last</c> (default), <c>first</c> or <c>next_turn</c>.</item>
/// <item><c>kind</c>: <c>retrieval</c> or <c>summary</c>. Required.</item>
/// <item>
/// <c>expect</c>: of a retrieval, the text that an answer must contain, or an array of texts of which it must contain one.
/// </item>
/// <item><c>answer_start</c>: text that the answer is made to begin with. Optional.</item>
/// <item>
/// <c>messages</c>: instead of document, question, question_at and kind, a conversation: an array of objects with <c>role</c>
/// (<c>system</c>, <c>user</c> or <c>assistant</c>) and <c>content</c>, the last of the user. With <c>expect</c> it counts as a
/// retrieval.
/// </item>
/// </list>
/// <para>
/// Empty lines are skipped. Without <c>messages</c>, the message is the document and the question, separated by an empty line;
/// nothing is added.
/// </para>
/// </remarks>
internal static class PromptFile
{
    private const string MessagesKey = "messages";

    private static readonly string[] Keys =
    [
        "document",
        "question",
        "question_at",
        "kind",
        "expect",
        "answer_start",
        MessagesKey,
    ];

    private static readonly Dictionary<string, QuestionPlace> Places = new(StringComparer.Ordinal)
    {
        ["last"] = QuestionPlace.Last,
        ["first"] = QuestionPlace.First,
        ["next_turn"] = QuestionPlace.NextTurn,
    };

    private static readonly Dictionary<string, PromptKind> Kinds = new(StringComparer.Ordinal)
    {
        ["retrieval"] = PromptKind.Retrieval,
        ["summary"] = PromptKind.Summary,
    };

    private static readonly Dictionary<string, ChatRole> Roles = new(StringComparer.Ordinal)
    {
        ["system"] = ChatRole.System,
        ["user"] = ChatRole.User,
        ["assistant"] = ChatRole.Assistant,
    };

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file, UTF-8.</param>
    /// <param name="onIgnoredKey">Receives each key that means nothing here, once; <see langword="null"/> to ignore them silently.</param>
    /// <returns>The prompts, named after their lines.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="FormatException">A line is wrong; the message names the file, the line, and what is possible.</exception>
    public static IReadOnlyList<DocumentPrompt> Read(string path, Action<string>? onIgnoredKey = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Parse(File.ReadAllText(path), Path.GetFileName(path), onIgnoredKey);
    }

    /// <summary>Reads a file, or every <c>.jsonl</c> file of a folder, in the order of their names.</summary>
    /// <param name="path">The file or folder.</param>
    /// <param name="onIgnoredKey">Receives the name of a file and each key in it that means nothing here, once.</param>
    /// <inheritdoc cref="Read" path="/returns"/>
    /// <inheritdoc cref="Read" path="/exception"/>
    public static IReadOnlyList<DocumentPrompt> ReadAll(string path, Action<string, string>? onIgnoredKey = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!Directory.Exists(path))
        {
            return Read(path, key => onIgnoredKey?.Invoke(Path.GetFileName(path), key));
        }

        string[] files = [.. Directory.EnumerateFiles(path, "*.jsonl").Order(StringComparer.Ordinal)];
        return files.Length > 0
            ? [.. files.SelectMany(file => Read(file, key => onIgnoredKey?.Invoke(Path.GetFileName(file), key)))]
            : throw new FileNotFoundException($"There is no .jsonl file in the folder '{path}'.", path);
    }

    /// <summary>Reads prompts from text in the format of the file.</summary>
    /// <param name="jsonl">The lines.</param>
    /// <param name="name">Name of the text, for messages.</param>
    /// <param name="onIgnoredKey">Receives each key that means nothing here, once.</param>
    /// <returns>The prompts, named after their lines.</returns>
    /// <exception cref="FormatException">A line is wrong; the message names it and says what is possible.</exception>
    public static IReadOnlyList<DocumentPrompt> Parse(string jsonl, string name, Action<string>? onIgnoredKey = null)
    {
        ArgumentNullException.ThrowIfNull(jsonl);
        ArgumentNullException.ThrowIfNull(name);
        List<DocumentPrompt> prompts = [];
        HashSet<string> ignored = [];
        int number = 0;
        // not ReplaceLineEndings, which also splits at separators that may stand inside of a JSON text
        foreach (string line in jsonl.Split('\n'))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            Line at = new(name, number);
            JsonDocument json;
            try
            {
                json = JsonDocument.Parse(line.TrimStart('\uFEFF'));
            }
            catch (JsonException e)
            {
                throw at.Wrong($"this is not JSON ({e.Message.TrimEnd('.')}). Each line is one JSON object", e);
            }

            using (json)
            {
                prompts.Add(Prompt(json.RootElement, at));
                foreach (JsonProperty property in json.RootElement.EnumerateObject())
                {
                    if (!Keys.Contains(property.Name) && ignored.Add(property.Name))
                    {
                        onIgnoredKey?.Invoke(property.Name);
                    }
                }
            }
        }

        return prompts.Count > 0
            ? prompts
            : throw new FormatException(
                $"{name}: there is no prompt in it. Each line is one JSON object with {string.Join(", ", Keys)}."
            );
    }

    private static DocumentPrompt Prompt(JsonElement json, Line at)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw at.Wrong($"this is {Describe(json)}; a line is a JSON object with {string.Join(", ", Keys)}");
        }

        if (json.TryGetProperty(MessagesKey, out JsonElement messages))
        {
            return Conversation(json, messages, at);
        }

        string document = Text(json, "document", at) ?? throw at.Missing("document");
        string question = Text(json, "question", at) ?? throw at.Missing("question");
        PromptKind kind = Choice(json, "kind", Kinds, at) ?? throw at.Missing("kind", Kinds.Keys);
        QuestionPlace place = Choice(json, "question_at", Places, at) ?? QuestionPlace.Last;
        string[] expected = Expected(json, at);
        if (kind == PromptKind.Retrieval && expected.Length == 0)
        {
            throw at.Wrong("a retrieval needs 'expect', the text that counts as answered when the answer contains it");
        }

        if (kind != PromptKind.Retrieval && expected.Length > 0)
        {
            throw at.Wrong("'expect' belongs to the kind retrieval; a summary has no right or wrong answer");
        }

        return new DocumentPrompt
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"{at.Name}:{at.Number}"),
            Document = document,
            Question = question,
            Kind = kind,
            QuestionAt = place,
            Messages = PromptFrames.Plain(document, question, place),
            Expected = expected,
            AnswerStart = AnswerStart(json, expected, at),
        };
    }

    private static DocumentPrompt Conversation(JsonElement json, JsonElement messages, Line at)
    {
        if (messages.ValueKind != JsonValueKind.Array || messages.GetArrayLength() == 0)
        {
            throw at.Wrong($"'{MessagesKey}' is {Describe(messages)}; it is an array of objects with role and content");
        }

        foreach (string key in (string[])["document", "question", "question_at", "kind"])
        {
            if (json.TryGetProperty(key, out _))
            {
                throw at.Wrong($"'{key}' and '{MessagesKey}' exclude each other");
            }
        }

        List<ChatMessage> conversation = [];
        foreach (JsonElement message in messages.EnumerateArray())
        {
            if (message.ValueKind != JsonValueKind.Object)
            {
                throw at.Wrong($"a message is {Describe(message)}; it is an object with role and content");
            }

            ChatRole role = Choice(message, "role", Roles, at) ?? throw at.Missing("role", Roles.Keys);
            conversation.Add(new ChatMessage(role, Text(message, "content", at) ?? throw at.Missing("content")));
        }

        if (conversation[^1].Role != ChatRole.User)
        {
            throw at.Wrong("the last message is not the user's, so there is nothing to answer");
        }

        string[] expected = Expected(json, at);
        return new DocumentPrompt
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"{at.Name}:{at.Number}"),
            Document = string.Join("\n\n", conversation.SkipLast(1).Select(message => message.Text)),
            Question = conversation[^1].Text,
            Kind = expected.Length > 0 ? PromptKind.Retrieval : PromptKind.Conversation,
            QuestionAt = QuestionPlace.Last,
            Messages = conversation,
            Expected = expected,
            AnswerStart = AnswerStart(json, expected, at),
        };
    }

    private static string? AnswerStart(JsonElement json, string[] expected, Line at) =>
        Text(json, "answer_start", at) is not { } start ? null
        : DocumentPrompt.Occurs(expected, start)
            ? throw at.Wrong("'answer_start' holds what is expected already, so that every answer would count")
        : start;

    private static string[] Expected(JsonElement json, Line at)
    {
        if (!json.TryGetProperty("expect", out JsonElement value) || value.ValueKind == JsonValueKind.Null)
        {
            return [];
        }

        JsonElement[] items = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        string[] texts = new string[items.Length];
        for (int i = 0; i < items.Length; i++)
        {
            texts[i] = items[i].ValueKind switch
            {
                JsonValueKind.String => items[i].GetString()!,
                // 48213 for "48213": there is nothing else it could mean
                JsonValueKind.Number => items[i].GetRawText(),
                _ => throw at.Wrong($"'expect' is {Describe(items[i])}; it is a text or an array of texts"),
            };
            if (string.IsNullOrWhiteSpace(texts[i]))
            {
                throw at.Wrong("'expect' is empty, so that every answer would count");
            }
        }

        return texts;
    }

    private static T? Choice<T>(JsonElement json, string key, Dictionary<string, T> choices, Line at)
        where T : struct
    {
        if (Text(json, key, at) is not { } text)
        {
            return null;
        }

        return choices.TryGetValue(text, out T choice)
            ? choice
            : throw at.Wrong($"'{key}' is '{text}'; possible: {string.Join(", ", choices.Keys)}");
    }

    private static string? Text(JsonElement json, string key, Line at)
    {
        if (!json.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.String)
        {
            throw at.Wrong($"'{key}' is {Describe(value)}; it is a text");
        }

        string text = value.GetString()!;
        return string.IsNullOrWhiteSpace(text) ? throw at.Wrong($"'{key}' is empty") : text;
    }

    private static string Describe(JsonElement json) =>
        json.ValueKind switch
        {
            JsonValueKind.Array => "an array",
            JsonValueKind.Object => "an object",
            JsonValueKind.Number => "a number",
            JsonValueKind.String => "a text",
            JsonValueKind.Null => "null",
            _ => "true or false",
        };

    private readonly record struct Line(string Name, int Number)
    {
        internal FormatException Wrong(string what, Exception? inner = null) =>
            new(string.Create(CultureInfo.InvariantCulture, $"{Name}, line {Number}: {what}."), inner);

        internal FormatException Missing(string key, IEnumerable<string>? possible = null) =>
            Wrong($"'{key}' is missing" + (possible is null ? "" : $"; possible: {string.Join(", ", possible)}"));
    }
}

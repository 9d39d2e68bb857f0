using System.Text;
using System.Text.Json.Nodes;
using Foretoken.Chat;
using Foretoken.Errors;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>
/// Answers in the formats of the templates that come with llama.cpp, and of the sample's own. What a model answers is what the
/// template makes of such a message in a history, so nothing here knows a format.
/// </summary>
[Collection(nameof(TestModel))]
public sealed class TemplateAnswersTests(TestModel test)
{
    private const string Text = "It is fine {today} in [Oslo].";
    private const string Thought = "Let me think.";

    private static readonly string[] Folders =
    [
        Path.Combine(Repository.Root, "artifacts", "native", "source", "patched", "models", "templates"),
        Path.Combine(Repository.Root, "samples", "models"),
    ];

    // what these write of an answer in a history does not read as one; the reason is what was seen when it was tried
    private static readonly string[] WithoutAnswers =
    [
        // instructions of the system stand between the history and the answer
        "CohereForAI-c4ai-command-r-plus-tool_use",
        // a history ends with the prompt of the next answer, in which thinking is closed
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
        // the prompt begins a thought, and the history has none: what is read has no text, or the end of the thought in it
        "llama-cpp-rwkv-world",
        "Apriel-1.6-15b-Thinker-fixed",
        "NVIDIA-Nemotron-Nano-v2",
        // not read yet: a thought that the model opens itself is text
        "tencent-Hy3",
        // not read yet: <|content|> and <|tool_calls|> behind the prompt are text
        "upstage-Solar-Open-100B",
    ];

    // not read yet: calls as JSON in one section, each in a line of its own
    private static readonly string[] WithoutSecondCall = ["MiniMax-M1"];

    private static readonly string[] Ends =
    [
        "<|im_end|>",
        "<｜hy_eos:opensource｜>",
        "<end_of_sentence>",
        "<SPECIAL_12>",
        // some templates write the beginning of the next answer behind every history
        "<|start_header_id|>assistant<|end_header_id|>",
        "<|begin|>assistant",
        "<｜Assistant｜>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|eom|>",
        "<|end|>",
        "<|call|>",
        "</s>",
        "<end_of_turn>",
        "<turn|>",
        "<|tool_response>",
        "[e~[",
        "<sep>",
        "</assistant>",
        "<|END_OF_TURN_TOKEN|>",
        "<|end_of_text|>",
        "<|message_sep|>",
        "<seed:eos>",
        "<｜end▁of▁sentence｜>",
        "<|end_of_msg|>",
        "<|assistant_end|>",
    ];

    private static readonly AIFunction Weather = AIFunctionFactory.Create(
        (string city, int days = 1) => $"{city}: {days}",
        "get_weather",
        "Weather of a city."
    );

    public static TheoryData<string> Names =>
        [
            .. Folders
                .Where(Directory.Exists)
                .SelectMany(folder => Directory.EnumerateFiles(folder, "*.jinja"))
                .Select(path => Path.GetFileNameWithoutExtension(path))
                .Except(WithoutAnswers)
                .Order(StringComparer.Ordinal),
        ];

    [Theory]
    [MemberData(nameof(Names))]
    public void Text_and_reasoning_are_told_apart(string name)
    {
        using ChatTemplate template = Load(name);
        foreach (bool tools in (bool[])[false, true])
        {
            using Sample? plain = Create(template, tools, new TextContent(Text));
            if (plain is not null)
            {
                Outcome outcome = Read(plain, plain.Answer);
                Assert.Equal(Text, outcome.Text.Trim());
                Assert.Equal("", outcome.Reasoning.Trim());
                Assert.Empty(outcome.Calls);
                // all of it but what may still become markup
                Assert.True(outcome.StreamedText.Length >= Text.Length - 2, outcome.StreamedText);
            }
            using Sample? thinking = Create(template, tools, new TextReasoningContent(Thought), new TextContent(Text));
            if (thinking is not null && thinking.Answer.Contains(Thought, StringComparison.Ordinal))
            {
                Outcome outcome = Read(thinking, thinking.Answer);
                Assert.Equal(Text, outcome.Text.Trim());
                Assert.Equal(Thought, outcome.Reasoning.Trim());
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Calls_are_calls_and_cut_ones_are_none(string name)
    {
        using ChatTemplate template = Load(name);
        using Sample? one = Create(template, tools: true, Call("Oslo", 2, "callabcd1"));
        if (one is null || !one.Answer.Contains("Oslo", StringComparison.Ordinal))
        {
            return;
        }
        Outcome whole = Read(one, one.Answer);
        Assert.True(whole.Calls is ["Oslo 2"], $"{one.Answer} became {whole.Text}");
        for (int length = 0; length < one.Answer.Length; length++)
        {
            Outcome cut = Read(one, one.Answer[..length]);
            Assert.True(cut.Calls is [] or ["Oslo 2"], $"{one.Answer[..length]}: {string.Join(',', cut.Calls)}");
        }

        using Sample? text = Create(
            template,
            tools: true,
            new TextContent("Let me look."),
            Call("Oslo", 2, "callabcd1")
        );
        if (
            text is not null
            && text.Answer.Contains("Let me look.", StringComparison.Ordinal)
            // some templates write the text behind the calls, as no model does
            && text.Answer.LastIndexOf("Oslo", StringComparison.Ordinal)
                > text.Answer.IndexOf("Let me look.", StringComparison.Ordinal)
        )
        {
            Outcome outcome = Read(text, text.Answer);
            Assert.Equal(["Oslo 2"], outcome.Calls);
            Assert.True(
                (outcome.Text + outcome.Reasoning).Contains("Let me look.", StringComparison.Ordinal),
                $"{text.Answer} became {outcome.Text}"
            );
        }

        using Sample? two = Create(template, tools: true, Call("Oslo", 2, "callabcd1"), Call("Rome", 3, "callabcd2"));
        if (
            two is not null
            && two.Answer.Contains("Oslo", StringComparison.Ordinal)
            && two.Answer.Contains("Rome", StringComparison.Ordinal)
            && !WithoutSecondCall.Contains(name)
        )
        {
            Assert.Equal(["Oslo 2", "Rome 3"], Read(two, two.Answer).Calls);
        }
    }

    [Fact]
    public void A_long_answer_is_read_in_linear_time()
    {
        using ChatTemplate template = new(test.Model, ToolTemplate.Text);
        foreach (string piece in (string[])["word ", "if (a < b) { c[\"d\"]; } ", "<tool_call", "<think>{\"name\": "])
        {
            long[] parsed = new long[2];
            for (int i = 0; i < 2; i++)
            {
                using Sample sample = Create(template, tools: true, new TextContent("x"))!;
                string answer = string.Concat(Enumerable.Repeat(piece, 1_000 * (i + 1)));
                AnswerReader reader = new(test.Model, sample.Prompt, sample.Request);
                foreach (Rune rune in answer.EnumerateRunes())
                {
                    reader.Append(rune.ToString());
                }
                reader.Finish();
                parsed[i] = reader.ParsedBytes;
                Assert.InRange(parsed[i], 0, (1 << 16) + (34L * answer.Length));
            }
        }
    }

    private static FunctionCallContent Call(string city, int days, string id) =>
        new(id, "get_weather", new Dictionary<string, object?> { ["city"] = city, ["days"] = days });

    private ChatTemplate Load(string name) =>
        new(
            test.Model,
            File.ReadAllText(Folders.Select(folder => Path.Combine(folder, $"{name}.jinja")).First(File.Exists))
        );

    /// <summary>A prompt, and what the template makes of the answer to it; null when the template does not take such an answer.</summary>
    private static Sample? Create(ChatTemplate template, bool tools, params AIContent[] contents)
    {
        ChatOptions options = new() { AllowMultipleToolCalls = true, Tools = tools ? [Weather] : null };
        ChatMessage question = new(ChatRole.User, "How is the weather?");
        ChatRequest request = ChatRequest.Create([question], options, new(), NullLogger.Instance);
        ChatRequest whole = ChatRequest.Create(
            [question, new ChatMessage(ChatRole.Assistant, contents)],
            options,
            new(),
            NullLogger.Instance
        );
        JsonNode json = JsonNode.Parse(whole.RenderJson)!;
        json["add_generation_prompt"] = false;
        ChatPrompt prompt = template.Render(request.RenderJson);
        string history;
        try
        {
            using ChatPrompt rendered = template.Render(json.ToJsonString());
            history = rendered.Info.Text;
        }
        catch (ChatTemplateException)
        {
            prompt.Dispose();
            return null;
        }
        string begin = prompt.Info.Text;
        int same = begin.Zip(history).TakeWhile(pair => pair.First == pair.Second).Count();
        // not in the middle of a marker
        if (
            same < begin.Length
            && begin.LastIndexOf('<', same - 1) is int open
            && open > begin.LastIndexOf('>', same - 1)
        )
        {
            same = open;
        }
        string answer = history[same..];
        if (
            begin[same..].Contains("<think>", StringComparison.Ordinal)
            && !answer.Contains("</think>", StringComparison.Ordinal)
        )
        {
            // the template has begun the reasoning, and leaves it out of a history
            answer = $"</think>{answer}";
        }
        else if (
            answer.StartsWith("</think>", StringComparison.Ordinal)
            && begin[same..].Contains("<think>", StringComparison.Ordinal)
        )
        {
            answer = answer.TrimStart();
        }
        string last = contents[^1] is TextContent text ? text.Text : "";
        return new Sample(request, prompt, WithoutEnd(answer, last));
    }

    // control tokens that end a turn are not part of an answer
    private static string WithoutEnd(string answer, string lastText)
    {
        int at = lastText.Length > 0 ? answer.LastIndexOf(lastText, StringComparison.Ordinal) : -1;
        if (at >= 0)
        {
            // what closes the text within the format stays
            string end = answer[(at + lastText.Length)..];
            return end.Contains("END", StringComparison.Ordinal) ? answer : answer[..(at + lastText.Length)];
        }
        for (bool again = true; again; )
        {
            answer = answer.TrimEnd();
            string? end = Array.Find(Ends, end => answer.EndsWith(end, StringComparison.Ordinal));
            answer = end is null ? answer : answer[..^end.Length];
            again = end is not null;
        }
        return answer;
    }

    private Outcome Read(Sample sample, string answer)
    {
        AnswerReader reader = new(test.Model, sample.Prompt, sample.Request);
        List<AIContent> contents = [];
        foreach (Rune rune in answer.EnumerateRunes())
        {
            contents.AddRange(reader.Append(rune.ToString()));
        }
        string streamed = Join<TextContent>(contents, content => content.Text);
        contents.AddRange(reader.Finish());
        return new Outcome(
            Join<TextContent>(contents, content => content.Text),
            streamed,
            Join<TextReasoningContent>(contents, content => content.Text),
            [
                .. contents
                    .OfType<FunctionCallContent>()
                    .Select(call =>
                        $"{call.Arguments!["city"]} {(call.Arguments.TryGetValue("days", out object? days) ? days : "")}"
                    ),
            ]
        );
    }

    private static string Join<T>(List<AIContent> contents, Func<T, string> text)
        where T : AIContent => string.Concat(contents.OfType<T>().Select(text));

    private sealed record Outcome(string Text, string StreamedText, string Reasoning, string[] Calls);

    private sealed record Sample(ChatRequest Request, ChatPrompt Prompt, string Answer) : IDisposable
    {
        public void Dispose() => Prompt.Dispose();
    }
}

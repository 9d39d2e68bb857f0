using Foretoken.Chat;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Logging.Abstractions;

namespace Foretoken.Tests.Chat;

/// <summary>What a template can do is asked of the template, and requests are rendered as it can take them.</summary>
[Collection(nameof(TinyChatModel))]
public sealed class RequestRendererTests(TinyChatModel test)
{
    private static readonly AIFunction Lamp = AIFunctionFactory.Create(
        (bool on) => on ? "It is on." : "It is off.",
        "switch_lamp",
        "Switches the lamp."
    );

    [Fact]
    public void Abilities_are_those_of_the_template()
    {
        TemplateAbilities plain = AbilitiesOf(Templates.Plain);
        Assert.False(plain.DescribesFunctions);
        Assert.False(plain.HasCallFormat);
        Assert.False(plain.TakesSeveralCalls);
        Assert.False(plain.HasEffortLevels);
        Assert.False(plain.CanStopReasoning);

        TemplateAbilities describes = AbilitiesOf(Templates.DescribesOnly);
        Assert.True(describes.DescribesFunctions);
        Assert.False(describes.HasCallFormat);

        TemplateAbilities tools = AbilitiesOf(ToolTemplate.Text);
        Assert.True(tools.DescribesFunctions);
        Assert.True(tools.HasCallFormat);
        Assert.True(tools.TakesSeveralCalls);
        Assert.False(tools.NeedsStrictCallIds);

        TemplateAbilities strict = AbilitiesOf(Templates.Strict);
        Assert.True(strict.DescribesFunctions);
        Assert.False(strict.TakesSeveralCalls);
        Assert.True(strict.NeedsStrictCallIds);

        Assert.True(AbilitiesOf(Templates.Reasoning).CanStopReasoning);
        Assert.True(AbilitiesOf(Templates.Effort).HasEffortLevels);
    }

    [Theory]
    [InlineData("What time is it?")]
    [InlineData("Call switch_lamp(on: bool), which is Switches the lamp.")]
    public void Functions_are_refused_where_the_template_knows_of_none_whatever_the_question_says(string question)
    {
        NotSupportedException error = Assert.Throws<NotSupportedException>(() =>
            Render(Templates.Plain, [new(ChatRole.User, question)], new() { Tools = [Lamp] })
        );
        Assert.Contains("switch_lamp", error.Message, StringComparison.Ordinal);
        Assert.Contains("UseGenericTools", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_call_that_is_demanded_is_refused_where_calls_have_no_format()
    {
        foreach (
            ChatToolMode mode in (ChatToolMode[])[ChatToolMode.RequireAny, ChatToolMode.RequireSpecific(Lamp.Name)]
        )
        {
            NotSupportedException error = Assert.Throws<NotSupportedException>(() =>
                Render(
                    Templates.DescribesOnly,
                    [new(ChatRole.User, "Light!")],
                    new() { Tools = [Lamp], ToolMode = mode }
                )
            );
            Assert.Contains("demanded", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Functions_that_come_without_a_format_are_described_and_a_warning_says_so()
    {
        List<string> log = [];
        using RequestRenderer renderer = new(
            test.Model,
            new() { ChatTemplate = Templates.DescribesOnly },
            new ListLogger(log)
        );
        using ChatPrompt prompt = renderer.Render(Request([new(ChatRole.User, "Light!")], new() { Tools = [Lamp] }));
        Assert.Contains("switch_lamp", prompt.Info.Text, StringComparison.Ordinal);
        Assert.Contains(log, line => line.Contains("calls come as text", StringComparison.Ordinal));
    }

    [Fact]
    public void A_demanded_call_is_bound_by_a_grammar_where_the_template_has_a_format()
    {
        using ChatPrompt prompt = Render(
            ToolTemplate.Text,
            [new(ChatRole.User, "Light!")],
            new() { Tools = [Lamp], ToolMode = ChatToolMode.RequireAny }
        );
        Assert.NotEqual("", prompt.Info.Grammar);
        Assert.False(prompt.Info.GrammarLazy);
        Assert.Null(prompt.Tools);
        // and leaves no room for text in front of the call
        string root = prompt
            .Info.Grammar!.Split('\n')
            .Single(line => line.StartsWith("root ::=", StringComparison.Ordinal));
        Assert.Contains("tool-call", root, StringComparison.Ordinal);
        Assert.DoesNotContain("until", root, StringComparison.Ordinal);
        // nor for a second call, which was not allowed
        Assert.DoesNotContain("(tool-call space)+", prompt.Info.Grammar, StringComparison.Ordinal);
    }

    [Fact]
    public void Several_calls_of_one_message_are_taken_apart_for_a_template_that_takes_one()
    {
        List<ChatMessage> history =
        [
            new(ChatRole.User, "Off and on."),
            new(ChatRole.Assistant, [new TextContent("Now."), Call("a", false), Call("b", true)]),
            new(ChatRole.Tool, [new FunctionResultContent("b", "second done")]),
            new(ChatRole.Tool, [new FunctionResultContent("a", "first done")]),
            new(ChatRole.User, "Thanks."),
        ];
        string text = TextOf(Templates.Strict, history);
        int[] places =
        [
            text.IndexOf("Now.", StringComparison.Ordinal),
            text.IndexOf("false", StringComparison.Ordinal),
            text.IndexOf("first done", StringComparison.Ordinal),
            text.IndexOf("true", StringComparison.Ordinal),
            text.IndexOf("second done", StringComparison.Ordinal),
            text.IndexOf("Thanks.", StringComparison.Ordinal),
        ];
        Assert.DoesNotContain(-1, places);
        Assert.Equal(places.Order(), places);
        Assert.Equal(
            text.IndexOf("Now.", StringComparison.Ordinal),
            text.LastIndexOf("Now.", StringComparison.Ordinal)
        );

        // a template that takes several gets them as they came
        string together = TextOf(ToolTemplate.Text, history);
        Assert.True(
            together.IndexOf("true", StringComparison.Ordinal)
                < together.IndexOf("second done", StringComparison.Ordinal)
        );
        Assert.True(
            together.IndexOf("true", StringComparison.Ordinal)
                < together.IndexOf("first done", StringComparison.Ordinal)
        );
    }

    [Fact]
    public void Ids_of_other_services_are_made_strict_for_a_template_that_wants_it()
    {
        const string Foreign = "call_0123456789abcdef";
        string text = TextOf(
            Templates.Strict,
            [
                new(ChatRole.User, "On."),
                new(ChatRole.Assistant, [Call(Foreign, true)]),
                new(ChatRole.Tool, [new FunctionResultContent(Foreign, "done")]),
                new(ChatRole.User, "Thanks."),
            ]
        );
        Assert.DoesNotContain(Foreign, text, StringComparison.Ordinal);
        Assert.Contains($"[{CallIds.ToStrict(Foreign)}]", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Ids_are_nine_letters_and_digits_and_keep_apart()
    {
        string[] ids = [.. Enumerable.Range(0, 1000).Select(_ => CallIds.Create())];
        Assert.All(ids, id => Assert.Matches("^[A-Za-z0-9]{9}$", id));
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.All(ids, id => Assert.Same(id, CallIds.ToStrict(id)));
        Assert.Equal(CallIds.ToStrict("functions.lamp:0"), CallIds.ToStrict("functions.lamp:0"));
        Assert.NotEqual(CallIds.ToStrict("functions.lamp:0"), CallIds.ToStrict("functions.lamp:1"));
        Assert.Matches("^[A-Za-z0-9]{9}$", CallIds.ToStrict("ünicöde!!"));
    }

    [Fact]
    public void Several_calls_at_once_are_allowed_only_where_the_template_takes_them_back()
    {
        ChatOptions options = new()
        {
            Tools = [Lamp],
            ToolMode = ChatToolMode.RequireAny,
            AllowMultipleToolCalls = true,
        };
        ChatMessage[] messages = [new(ChatRole.User, "Light!")];
        using ChatPrompt several = Render(ToolTemplate.Text, messages, options);
        using ChatPrompt one = Render(Templates.Strict, messages, options);
        options.AllowMultipleToolCalls = false;
        using ChatPrompt single = Render(ToolTemplate.Text, messages, options);
        using ChatPrompt strictSingle = Render(Templates.Strict, messages, options);
        Assert.NotEqual(single.Info.Grammar, several.Info.Grammar);
        Assert.Equal(strictSingle.Info.Grammar, one.Info.Grammar);
    }

    [Fact]
    public void Reasoning_is_switched_off_or_given_a_level_where_the_template_can()
    {
        ChatMessage[] messages = [new(ChatRole.User, "Why?")];
        Assert.EndsWith(
            "</think>\n\n",
            TextOf(Templates.Reasoning, messages, ReasoningEffort.None),
            StringComparison.Ordinal
        );
        Assert.EndsWith("<think>\n", TextOf(Templates.Reasoning, messages), StringComparison.Ordinal);
        foreach (
            (ReasoningEffort effort, string level) in ((ReasoningEffort, string)[])
                [
                    (ReasoningEffort.Low, "low"),
                    (ReasoningEffort.Medium, "medium"),
                    (ReasoningEffort.High, "high"),
                    (ReasoningEffort.ExtraHigh, "high"),
                ]
        )
        {
            Assert.Contains(
                $"Reasoning: {level}<",
                TextOf(Templates.Effort, messages, effort),
                StringComparison.Ordinal
            );
        }
        // without reasoning there is nothing to switch off
        Assert.Equal(TextOf(Templates.Plain, messages), TextOf(Templates.Plain, messages, ReasoningEffort.None));
    }

    [Fact]
    public void An_effort_that_the_template_does_not_know_is_refused()
    {
        ChatMessage[] messages = [new(ChatRole.User, "Why?")];
        foreach (string template in (string[])[Templates.Plain, Templates.Reasoning])
        {
            NotSupportedException error = Assert.Throws<NotSupportedException>(() =>
                TextOf(template, messages, ReasoningEffort.High)
            );
            Assert.Contains("ReasoningEffort.High", error.Message, StringComparison.Ordinal);
        }
        Assert.Throws<NotSupportedException>(() =>
            Request(messages, new() { Reasoning = new() { Output = ReasoningOutput.Summary } })
        );
    }

    private TemplateAbilities AbilitiesOf(string template)
    {
        using ChatTemplate parsed = new(test.Model, template);
        return TemplateAbilities.Of(parsed);
    }

    private string TextOf(string template, IEnumerable<ChatMessage> messages, ReasoningEffort? effort = null)
    {
        using ChatPrompt prompt = Render(
            template,
            messages,
            effort is null ? new() : new() { Reasoning = new() { Effort = effort } }
        );
        return prompt.Info.Text;
    }

    private ChatPrompt Render(string template, IEnumerable<ChatMessage> messages, ChatOptions options)
    {
        using RequestRenderer renderer = new(test.Model, new() { ChatTemplate = template }, NullLogger.Instance);
        return renderer.Render(Request(messages, options));
    }

    private static ChatRequest Request(IEnumerable<ChatMessage> messages, ChatOptions options) =>
        ChatRequest.Create(messages, options, new ForetokenChatClientOptions(), NullLogger.Instance);

    private static FunctionCallContent Call(string id, bool on) =>
        new(id, Lamp.Name, new Dictionary<string, object?> { ["on"] = on });
}

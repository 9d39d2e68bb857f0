using Foretoken.Errors;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>Chat templates are programs that come with a model: what they may do is bounded.</summary>
[Collection(nameof(TinyChatModel))]
public class TemplateLimitTests(TinyChatModel test)
{
    private const string Plain = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}";

    public static TheoryData<string, string, string> Endless =>
        new()
        {
            { "a long loop", "{% for i in range(1000000000) %}{{ i }}{% endfor %}", "steps" },
            {
                "loops in each other",
                "{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}",
                "steps"
            },
            { "100 loops", Nested("{% for i in range(2) %}", "x", "{% endfor %}", 100), "steps" },
            { "a macro that calls itself", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "deep" },
            {
                "macros that call each other",
                "{% macro f() %}a{{ g() }}{% endmacro %}{% macro g() %}{% if true %}{{ f() }}{% endif %}{% endmacro %}{{ f() }}",
                "deep"
            },
            {
                "a call block that calls itself",
                "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
                "deep"
            },
            { "a repeated text", "{{ 'a' * 1000000000 }}", "steps" },
            {
                "a doubled text",
                "{% set ns = namespace(s='abcdefgh' * 1000) %}{% set ns.s = ns.s | upper %}{% for i in range(100) %}{% set ns.s = (ns.s ~ ns.s) | trim %}{% endfor %}",
                "steps"
            },
            { "a replaced text", "{% set s = 'a' * 100000 %}{{ s | replace('a', s) }}", "MiB of text" },
            { "a joined text", "{% set s = 'a' * 100000 %}{{ range(100000) | list | join(s) }}", "MiB of text" },
            { "an indent", "{{ 'a\nb' | indent(10000000000) }}", "MiB of text" },
            { "an indent of JSON", "{{ [1, [2, [3]]] | tojson(indent=1000000000) }}", "MiB of text" },
            {
                "characters of a text",
                "{% set s = 'a' * 90000 %}{% for i in range(90000) %}{{ s[i] }}{% endfor %}",
                "steps"
            },
            {
                "a list that grows",
                "{% set ns = namespace(a=[]) %}{% for i in range(90000) %}{% set ns.a = ns.a + [i] %}{% endfor %}",
                "steps"
            },
            { "a list in itself as JSON", "{% set a = [] %}{% set _ = a.append(a) %}{{ a | tojson }}", "deep" },
            { "a list in itself as text", "{% set a = [] %}{% set _ = a.append(a) %}{{ a | string }}", "deep" },
            { "a list in itself", "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}", "deep" },
            {
                "tuples in each other",
                "{% set ns = namespace(a=(1, 2)) %}{% for i in range(9999) %}{% set ns.a = (ns.a, 1) %}{% endfor %}{% set d = {ns.a: 1} %}",
                "deep"
            },
            {
                "twice the same, and again",
                "{% set ns = namespace(a=(1, 2)) %}{% for i in range(60) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}{{ ns.a | tojson }}",
                "steps"
            },
            { "parentheses", Nested("{{ ", Nested("(", "1", ")", 50_000), " }}", 1), "deep" },
            { "brackets", Nested("{{ ", Nested("[", "1", "]", 50_000), " }}", 1), "deep" },
            { "negations", $"{{{{ {Repeat("not ", 50_000)}1 }}}}", "deep" },
            { "signs", $"{{{{ {Repeat("- ", 50_000)}1 }}}}", "deep" },
            { "conditions", Nested("{% if true %}", "x", "{% endif %}", 10_000), "deep" },
            { "other conditions", $"{{% if false %}}{Repeat("{% elif false %}", 15_000)}{{% endif %}}", "deep" },
            { "ternaries", $"{{{{ {Repeat("1 if 0 else ", 15_000)}2 }}}}", "deep" },
            { "calls of calls", $"{{{{ a{Repeat("()", 50_000)} }}}}", "deep" },
            { "a long sum", $"{{{{ 1{Repeat("+1", 50_000)} }}}}", "operators" },
            { "many filters", $"{{{{ 'a'{Repeat("|trim", 40_000)} }}}}", "operators" },
            { "many members", $"{{{{ a{Repeat(".b", 50_000)} }}}}", "operators" },
            { "a long template", new string('x', 300_000), "at most" },
        };

    private static ChatMessage[] Hello => [new(ChatRole.User, "Hello")];

    [Theory]
    [MemberData(nameof(Endless))]
    public async Task A_template_without_end_is_stopped_by_name_of_the_limit_and_the_next_request_is_answered(
        string what,
        string template,
        string limit
    )
    {
        Assert.NotEmpty(what);
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = template + Plain);
        ChatTemplateException error = await Assert.ThrowsAsync<ChatTemplateException>(() =>
            client.GetResponseAsync(Hello)
        );
        Assert.Contains(limit, error.Message, StringComparison.Ordinal);

        using ForetokenChatClient next = test.CreateClient(options => options.ChatTemplate = Plain);
        Assert.NotNull(await next.GetResponseAsync(Hello));
    }

    [Theory]
    [InlineData("{% set ns = namespace(a=[]) %}{% for i in range(500) %}{% set ns.a = [ns.a] %}{% endfor %}")]
    [InlineData("{% set a = [] %}{% set b = [a] %}{% set _ = a.append(b) %}{{ a == b }}")]
    [InlineData("{% set s = '</think>' * 1000 %}{{ s.split('</think>') | length }}{{ s.rsplit('</think>') | length }}")]
    [InlineData("{% set s = '<' * 2000 %}{{ s | replace('<', '&lt;') | length }}")]
    [InlineData("{{ [10, '5x', 9, 10, '5x', 9, 10, '5x', 9, 10, '5x', 9, 10, '5x', 9, 10, '5x', 9] | sort | length }}")]
    [InlineData("{% if 4 is divisibleby(2) and not 4 is divisibleby(3) %}x{% endif %}")]
    public async Task What_is_large_or_odd_within_the_limits_is_rendered(string beginning)
    {
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = beginning + Plain);
        Assert.NotNull(await client.GetResponseAsync(Hello));
    }

    [Fact]
    public async Task A_division_by_zero_is_refused()
    {
        using ForetokenChatClient client = test.CreateClient(options =>
            options.ChatTemplate = "{% if 4 is divisibleby(0) %}x{% endif %}" + Plain
        );
        ChatTemplateException error = await Assert.ThrowsAsync<ChatTemplateException>(() =>
            client.GetResponseAsync(Hello)
        );
        Assert.Contains("division by zero", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_conversation_of_thousands_of_messages_is_rendered()
    {
        using ForetokenChatClient client = test.CreateClient(options =>
        {
            options.ContextSize = 64;
            options.ChatTemplate = Templates.Plain;
        });
        ChatMessage[] messages =
        [
            .. Enumerable
                .Range(0, 4001)
                .Select(i => new ChatMessage(i % 2 == 0 ? ChatRole.User : ChatRole.Assistant, $"Message {i}")),
        ];
        // rendered and counted: only the context is too small
        await Assert.ThrowsAsync<ContextFullException>(() => client.GetResponseAsync(messages));
    }

    [Fact]
    public async Task A_request_whose_template_is_running_can_be_cancelled()
    {
        // the template's abilities are looked at with few messages; many make it run for long
        const string Slow =
            "{% for m in messages %}{% for n in messages %}{% for o in messages %}{{ o.content }}{% endfor %}{% endfor %}{% endfor %}";
        using ForetokenChatClient client = test.CreateClient(options => options.ChatTemplate = Slow);
        ChatMessage[] messages = [.. Enumerable.Range(0, 500).Select(i => new ChatMessage(ChatRole.User, $"{i}"))];
        await Assert.ThrowsAsync<ChatTemplateException>(() => client.GetResponseAsync(messages));

        using CancellationTokenSource source = new();
        Task<ChatResponse> request = Task.Run(() => client.GetResponseAsync(messages, null, source.Token));
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request);
        Assert.NotNull(await client.GetResponseAsync(Hello));
    }

    private static string Repeat(string text, int count) => string.Concat(Enumerable.Repeat(text, count));

    private static string Nested(string open, string inner, string close, int depth) =>
        Repeat(open, depth) + inner + Repeat(close, depth);
}

using System.Text;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tests.Chat;
using Foretoken.Tests.Gguf;
using Foretoken.Tests.Profiles;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;
using Xunit.Abstractions;

namespace Foretoken.Tests.Robustness;

/// <summary>
/// Files and texts of other people, changed at random: each is taken or refused by a typed exception, and what follows works. Native
/// code reads most of them, where a mistake ends the process. <see cref="Fuzz"/> says how to try more of them.
/// </summary>
[Collection(nameof(TinyChatModel))]
public class HostileInputTests(TinyChatModel test, ITestOutputHelper output)
{
    // a hang, on any machine
    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(60);

    private static readonly string[] TemplateSnippets =
    [
        "{%- if ",
        "{% endif %}",
        "{% else %}",
        "{% for m in messages %}",
        "{% endfor %}",
        "{{ messages }}",
        "{{ messages | tojson }}",
        "{{ range(100000) | list | length }}",
        "{% for i in range(30000) %}",
        "{% macro f(x) %}",
        "{% endmacro %}",
        "{{ f(f) }}",
        "{{ 'x' * 1000000 }}",
        "{% set ns = namespace(a=messages) %}",
        "{% set ns.a = [ns, ns.a] %}",
        "{{ ns.a | string }}",
        "{% set messages = messages + messages %}",
        "((((((((",
        "[[[[",
        "| join(',')",
        "| sort",
        "| selectattr('role', 'equalto', 'user')",
        ".split('e')[-1]",
        "[::-1]",
        "[1:-1:0]",
        " is divisibleby(0) ",
        " % 0 ",
        "'",
        "\"",
        "{#",
        "#}",
        "-%}",
        "{{-",
        "loop.index0",
        "raise_exception('no')",
        "strftime_now('%Y %999999d')",
        " ~ ",
        " in ",
        " not ",
    ];

    private static readonly string[] GrammarSnippets =
    [
        "root ::= root",
        "root ::= ",
        "a ::= a a | \"\"",
        "\n",
        "::=",
        "(((((((",
        ")",
        "{1000}",
        "{0,999999999}",
        "{5,2}",
        "[^",
        "[a-z]*",
        "[z-a]",
        "\\x",
        "\\u0000",
        "\\U0010FFFF",
        "\"",
        "|",
        "*",
        "+",
        "?",
        "!",
        "<[1]>",
        "<think>",
        "#",
        ".",
    ];

    private static readonly string[] TextSnippets =
    [
        "<|im_start|>",
        "<|im_end|>",
        "<s>",
        "</s>",
        "<think>",
        "</think>",
        "<tool_call>",
        "<0x41>",
        "\u2581",
        "\u0120",
        "\0",
        "\r\n",
        "   ",
        "{{ 1 }}",
        "{% if %}",
        "e\u0301",
        "\u200d",
        "\ufeff",
        "\U000F0000",
        "\ud800",
    ];

    private const string Grammar = """
        root ::= object
        object ::= "{" space (pair ("," space pair)*)? "}" space
        pair ::= string ":" space value
        value ::= object | array | string | number | ("true" | "false" | "null") space
        array ::= "[" space (value ("," space value){0,5})? "]" space
        string ::= "\"" char* "\"" space
        char ::= [^"\\\x7F\x00-\x1F] | [\\] (["\\bfnrt] | "u" [0-9a-fA-F]{4})
        number ::= "-"? ([0-9] | [1-9] [0-9]{0,15}) ("." [0-9]+)? space
        space ::= | " " | "\n" [ \t]{0,20}
        """;

    [Fact]
    public void Templates_are_rendered_or_refused()
    {
        string[] templates = [Templates.Plain, Templates.DescribesOnly, Templates.Strict, ToolTemplate.Text];
        ChatOptions tools = new() { Tools = [AIFunctionFactory.Create((int level) => level, "switch_lamp")] };
        Run(
            "templates",
            1000,
            seed =>
            {
                Random random = new(seed);
                string template = Mutation.Text(templates[random.Next(templates.Length)], TemplateSnippets, random);
                using ForetokenChatClient client = test.CreateClient(options =>
                {
                    options.ChatTemplate = template;
                    options.MaxOutputTokens = 1;
                    options.ContextSize = 256;
                });
                ChatMessage[] messages =
                [
                    new(ChatRole.System, "Be brief."),
                    new(ChatRole.User, "Hello"),
                    new(ChatRole.Assistant, "Hi"),
                    new(ChatRole.User, "Light!"),
                ];
                client.GetResponseAsync(messages, random.Next(2) == 0 ? tools : null).GetAwaiter().GetResult();
            }
        );
    }

    [Fact]
    public void Model_files_are_loaded_or_refused()
    {
        using TemporaryFolder folder = new();
        byte[] bytes = TinyModel.Bytes();
        int header = (int)GgufReader.Read(new MemoryStream(bytes)).DataOffset;
        Run(
            "gguf",
            500,
            seed =>
            {
                Random random = new(seed);
                File.WriteAllBytes(folder["m.gguf"], Mutation.Bytes(bytes, HeaderPart(header, random), random));
                LoadAndCompute(folder["m.gguf"], "Hello world");
            }
        );
    }

    /// <summary>Well-formed files whose metadata say something else: sizes, kinds and texts that do not belong together.</summary>
    [Fact]
    public void Models_with_other_metadata_are_loaded_or_refused()
    {
        using TemporaryFolder folder = new();
        string[] keys =
        [
            .. GgufReader.Read(new MemoryStream(TinyModel.Bytes())).Metadata.Select(pair => pair.Key),
            "llama.expert_count",
            "llama.expert_used_count",
            "llama.attention.sliding_window",
            "llama.rope.scaling.factor",
            "llama.rope.scaling.type",
            "llama.vocab_size",
            "llama.attention.key_length",
            "llama.attention.value_length",
            "tokenizer.chat_template",
            "tokenizer.ggml.add_bos_token",
            "tokenizer.ggml.bos_token_id",
            "tokenizer.ggml.eos_token_id",
            "tokenizer.ggml.unknown_token_id",
            "tokenizer.ggml.merges",
            "tokenizer.ggml.scores",
            "tokenizer.ggml.token_type",
            "tokenizer.ggml.pre",
        ];
        string[] texts =
        [
            "",
            "llama",
            "gpt2",
            "bert",
            "t5",
            "rwkv",
            "qwen2",
            "gemma3",
            "mamba",
            "none",
            "default",
            "yarn",
            "{{",
        ];
        Run(
            "metadata",
            300,
            seed =>
            {
                Random random = new(seed);
                List<(string, GgufValue?)> changes = [];
                foreach (string key in random.GetItems(keys, random.Next(1, 3)).Distinct())
                {
                    changes.Add(
                        (
                            key,
                            random.Next(7) switch
                            {
                                0 => null,
                                1 => GgufValue.From(random.GetItems(texts, 1)[0]),
                                2 => GgufValue.From(
                                    random.GetItems<float>([0, -1, float.NaN, float.MaxValue, 1e-30f], 1)[0]
                                ),
                                3 => GgufValue.From(random.Next(2) == 0),
                                _ => GgufValue.From((uint)Mutation.Number(random)),
                            }
                        )
                    );
                }
                TinyModel.WriteVariant(folder["m.gguf"], [.. changes]);
                LoadAndCompute(folder["m.gguf"], "Hello <s> world \U0001F600");
            }
        );
    }

    private static void LoadAndCompute(string path, string text)
    {
        using ForetokenModel model = ForetokenModel.Load(path, new ModelOptions { UseMeasuredCosts = false });
        model.Tokenize(text, addSpecial: true, parseSpecial: true);
        using ForetokenSession session = model.CreateSession(new SessionOptions { ContextSize = 64, Threads = 1 });
        session.Prefill([1, 2, 3, 4, 5]);
        session.Decode(6);
    }

    [Fact]
    public void Adapters_are_loaded_or_refused()
    {
        using TemporaryFolder folder = new();
        byte[] bytes = File.ReadAllBytes(TestAdapter.Write(folder["a.gguf"], test.Model.Shape, 1, 0.1f));
        int header = (int)GgufReader.Read(new MemoryStream(bytes)).DataOffset;
        int[] prompt = [1, 2, 3, 4, 5];
        using ForetokenSession session = test.Model.CreateSession(new SessionOptions { ContextSize = 64, Threads = 1 });
        Run(
            "adapters",
            300,
            seed =>
            {
                Random random = new(seed);
                File.WriteAllBytes(folder["m.gguf"], Mutation.Bytes(bytes, HeaderPart(header, random), random));
                using LoraAdapter adapter = test.Model.LoadAdapter(folder["m.gguf"]);
                session.Prefill(prompt, new PrefillRequest { Adapters = [new(adapter)] });
            }
        );
        session.Prefill(prompt);
    }

    [Fact]
    public void States_are_restored_or_refused_and_the_session_works_on()
    {
        int[] prompt = [.. Enumerable.Range(1, 40)];
        using ForetokenSession session = test.Model.CreateSession(
            new SessionOptions { ContextSize = 128, Threads = 1 }
        );
        session.Prefill(prompt);
        byte[] state = session.SaveState();
        session.Decode(7);
        float[] logits = session.GetLogits();
        Run(
            "states",
            500,
            seed =>
            {
                Random random = new(seed);
                int length = random.Next(2) == 0 ? Math.Min(state.Length, 1024) : state.Length;
                byte[] changed = Mutation.Bytes(state, length, random);
                try
                {
                    session.LoadState(changed);
                    session.Decode(7);
                }
                finally
                {
                    session.LoadState(state);
                    session.Decode(7);
                    Assert.Equal(logits, session.GetLogits());
                }
            }
        );
    }

    [Fact]
    public void Profiles_are_read_or_refused()
    {
        using TemporaryFolder folder = new();
        ProfileWriter.Write(folder["p.gguf"], TestProfiles.Small);
        byte[] bytes = File.ReadAllBytes(folder["p.gguf"]);
        Run(
            "profiles",
            1000,
            seed =>
            {
                Random random = new(seed);
                File.WriteAllBytes(folder["m.gguf"], Mutation.Bytes(bytes, bytes.Length, random));
                ProfileFile.Read(folder["m.gguf"]);
            }
        );
    }

    [Fact]
    public void Grammars_are_followed_or_refused()
    {
        int[] prompt = [1, 2, 3, 4, 5];
        using ForetokenSession session = test.Model.CreateSession(new SessionOptions { ContextSize = 64, Threads = 1 });
        session.Prefill(prompt);
        Run(
            "grammars",
            1000,
            seed =>
            {
                Random random = new(seed);
                string grammar = Mutation.Text(Grammar, GrammarSnippets, random);
                using Sampler sampler = test.Model.CreateSampler(new SamplerOptions { Grammar = grammar });
                session.Sample(sampler);
            }
        );
    }

    [Fact]
    public void Texts_are_tokenized_and_come_back()
    {
        Run(
            "texts",
            2000,
            seed =>
            {
                Random random = new(seed);
                string text = Mutation.AnyText(random, TextSnippets, 2000);
                string wellFormed = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
                int[] tokens = test.Model.Tokenize(text);
                Assert.Equal(wellFormed.Length == 0, tokens.Length == 0);
                test.Model.Tokenize(text, addSpecial: true, parseSpecial: true);
            }
        );
    }

    [Fact]
    public async Task Messages_are_answered_or_refused()
    {
        using ForetokenChatClient client = test.CreateClient(options =>
        {
            options.ChatTemplate = ToolTemplate.Text;
            options.MaxOutputTokens = 2;
        });
        ChatRole[] roles =
        [
            ChatRole.User,
            ChatRole.System,
            ChatRole.Assistant,
            ChatRole.Tool,
            new("developer"),
            new("x"),
        ];
        Run(
            "messages",
            100,
            seed =>
            {
                Random random = new(seed);
                string Any() => Mutation.AnyText(random, TextSnippets, 100);
                List<ChatMessage> messages = [];
                for (int i = random.Next(1, 5); i > 0; i--)
                {
                    AIContent content = random.Next(6) switch
                    {
                        0 => new FunctionCallContent(Any(), Any(), new Dictionary<string, object?> { [Any()] = Any() }),
                        1 => new FunctionResultContent(Any(), Any()),
                        2 => new TextReasoningContent(Any()),
                        _ => new TextContent(Any()),
                    };
                    messages.Add(new ChatMessage(roles[random.Next(roles.Length)], [content]));
                }
                ChatOptions options = new() { StopSequences = random.Next(3) == 0 ? [Any()] : null };
                if (random.Next(3) == 0)
                {
                    options.Tools = [AIFunctionFactory.Create((string s) => s, new string('f', random.Next(1, 200)))];
                }
                client.GetResponseAsync(messages, options).GetAwaiter().GetResult();
            }
        );
        Assert.NotNull(await client.GetResponseAsync("Hello"));
    }

    // most of a header are the texts of the vocabulary, and only what stands in front of and behind them is read as sizes
    private static int HeaderPart(int header, Random random) => random.Next(3) == 0 ? header : Math.Min(header, 1500);

    private void Run(string name, int count, Action<int> item)
    {
        int taken = 0;
        int refused = 0;
        (int seed, TimeSpan time) = Fuzz.Try(
            name,
            count,
            seed =>
            {
                try
                {
                    item(seed);
                    taken++;
                }
                catch (Exception e) when (e is ForetokenException or ArgumentException or NotSupportedException)
                {
                    refused++;
                }
            }
        );
        output.WriteLine(
            $"{name}: {taken} taken, {refused} refused; the slowest took {time.TotalMilliseconds:F0} ms (seed {seed})"
        );
        Assert.True(time < Hang, $"{name}, seed {seed}: {time}");
        Assert.True(taken > 0, "all were refused: what is changed is wrong from the start");
    }
}

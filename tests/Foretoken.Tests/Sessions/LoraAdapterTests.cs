using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Interop;
using Foretoken.Plans;
using Foretoken.Sessions;
using Foretoken.Tests.Gguf;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Sessions;

[Collection(nameof(TestModel))]
public sealed class LoraAdapterTests(TestModel test) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Keep_all_in_stages_with_an_adapter_gives_the_logits_of_an_unstaged_context_with_it()
    {
        int[] prompt = test.Prompt(150);
        using LoraAdapter adapter = Load("some", scale: 0.1f);
        using ForetokenSession stock = test.CreateSession(staged: false);
        using ForetokenSession staged = test.CreateSession();
        stock.Prefill(prompt);
        float[] without = stock.GetLogits();
        stock.Prefill(prompt, With(adapter, 1));
        float[] with = stock.GetLogits();
        Assert.NotEqual(without, with);

        PrefillRequest request = With(adapter, 1);
        request.Plan = PrefillPlan.FromBoundaries([new(7, 1), new(19, 1)]);
        PrefillReport report = staged.Prefill(prompt, request);
        Assert.Equal(with, staged.GetLogits());
        Assert.Equal([new AdapterReport("some", 1)], report.Adapters);
        stock.Decode(prompt[5]);
        staged.Decode(prompt[5]);
        Assert.Equal(stock.GetLogits(), staged.GetLogits());
    }

    [Fact]
    public void An_adapter_that_adds_nothing_changes_nothing()
    {
        int[] prompt = test.Prompt(100);
        using LoraAdapter adapter = Load("nothing", scale: 0);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt);
        float[] logits = session.GetLogits();
        session.Prefill(prompt, With(adapter, 1));
        Assert.Equal(logits, session.GetLogits());
    }

    [Fact]
    public void A_prefix_is_reused_only_with_the_adapters_that_it_was_computed_with()
    {
        int[] prompt = test.Prompt(120);
        using LoraAdapter one = Load("one", scale: 0.1f);
        using LoraAdapter two = Load("two", scale: 0.1f);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt.AsSpan(0, 80));
        Assert.Equal(0, session.Prefill(prompt, With(one, 1)).ReusedTokens);
        float[] logits = session.GetLogits();
        Assert.Equal(119, session.Prefill(prompt, With(one, 1)).ReusedTokens);
        Assert.Equal(0, session.Prefill(prompt, With(one, 0.5f)).ReusedTokens);
        Assert.NotEqual(logits, session.GetLogits());

        PrefillRequest both = new() { Adapters = [new(one), new(two)] };
        Assert.Equal(0, session.Prefill(prompt, both).ReusedTokens);
        both.Adapters = [new(two), new(one)];
        Assert.Equal(119, session.Prefill(prompt, both).ReusedTokens);
        // a scale of 0 is without the adapter
        both.Adapters = [new(two, 0), new(one)];
        Assert.Equal(0, session.Prefill(prompt, both).ReusedTokens);
        Assert.Equal(logits, session.GetLogits());
        Assert.Equal(0, session.Prefill(prompt).ReusedTokens);
        Assert.Empty(session.Prefill(prompt).Adapters);
    }

    [Fact]
    public void A_saved_state_is_loaded_with_the_adapters_that_it_was_computed_with()
    {
        int[] prompt = test.Prompt(80);
        using LoraAdapter adapter = Load("some", scale: 0.1f);
        using ForetokenSession session = test.CreateSession();
        session.Prefill(prompt, With(adapter, 0.5f));
        byte[] state = session.SaveState();
        session.Decode(prompt[3]);
        float[] logits = session.GetLogits();

        using ForetokenSession loaded = test.CreateSession();
        Assert.Throws<StateMismatchException>(() => loaded.LoadState(state));
        Assert.Throws<StateMismatchException>(() => loaded.LoadState(state, [new(adapter)]));
        loaded.LoadState(state, [new(adapter, 0.5f)]);
        loaded.Decode(prompt[3]);
        Assert.Equal(logits, loaded.GetLogits());
    }

    [Fact]
    public void A_disposed_adapter_works_on_in_sessions_that_have_it_and_is_refused_for_new_prompts()
    {
        int[] prompt = test.Prompt(60);
        using ForetokenSession session = test.CreateSession();
        LoraAdapter adapter = Load("some", scale: 0.1f);
        session.Prefill(prompt, With(adapter, 1));
        session.Decode(prompt[3]);
        float[] logits = session.GetLogits();
        session.Rewind(59);
        adapter.Dispose();
        session.Decode([prompt[59], prompt[3]]);
        Assert.Equal(logits.Length, session.GetLogits().Length);
        Assert.Throws<ObjectDisposedException>(() => session.Prefill(prompt, With(adapter, 1)));
        Assert.Equal(61, session.TokenCount);
        Assert.Equal(0, session.Prefill(prompt).ReusedTokens);
    }

    [Fact]
    public void Adapters_are_neither_loaded_nor_freed_while_their_model_computes()
    {
        int[] prompt = test.Prompt(150);
        ComputeGate gate = test.Model.Handle.Gate;
        LoraAdapter unused = Load("unused", scale: 0.1f);
        string file = TestAdapter.Write(_folder["late.gguf"], test.Model.Shape, 1, 0.1f);
        using ForetokenSession session = test.CreateSession();
        List<string> order = [];
        Thread? loading = null;
        session.Prefill(
            prompt,
            null,
            new Called(() =>
            {
                if (loading is not null)
                {
                    return;
                }
                string message = Assert.Throws<InvalidOperationException>(() => test.Model.LoadAdapter(file)).Message;
                Assert.Contains("progress callback", message, StringComparison.Ordinal);
                unused.Dispose();
                Assert.Equal(1, gate.PendingChanges);
                loading = new Thread(() =>
                {
                    using LoraAdapter late = test.Model.LoadAdapter(file);
                    order.Add("loaded");
                });
                loading.Start();
                SpinWait.SpinUntil(() => gate.PendingChanges == 2);
                // what is called back computes on, though a change waits
                using ForetokenSession other = test.CreateSession();
                other.Prefill(prompt.AsSpan(0, 10));
                order.Add("computed");
            })
        );
        loading!.Join();
        Assert.Equal(["computed", "loaded"], order);
        Assert.Equal(0, gate.PendingChanges);
        Assert.Equal(150, session.TokenCount);
        session.Decode(prompt[3]);
    }

    private sealed class Called(Action action) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => action();
    }

    [Fact]
    public void Files_that_are_no_adapters_of_this_model_are_refused()
    {
        ModelShape shape = test.Model.Shape;
        string good = TestAdapter.Write(_folder["good.gguf"], shape, 1, 0.1f);
        byte[] bytes = File.ReadAllBytes(good);
        File.WriteAllBytes(_folder["short.gguf"], bytes[..(bytes.Length / 2)]);
        File.WriteAllText(_folder["text.gguf"], "not an adapter");
        TestAdapter.Write(_folder["qwen.gguf"], shape, 1, 0.1f, writer => Set(writer, "general.architecture", "qwen2"));
        TestAdapter.Write(_folder["other.gguf"], shape, 1, 0.1f, writer => Set(writer, "adapter.type", "control"));
        TestAdapter.Write(
            _folder["alpha.gguf"],
            shape,
            1,
            0.1f,
            writer => writer.Set("adapter.lora.alpha", GgufValue.From(4))
        );
        TestAdapter.Write(_folder["wide.gguf"], shape with { EmbeddingSize = 640 }, 1, 0.1f);
        TestAdapter.Write(_folder["deep.gguf"], shape with { LayerCount = 40 }, 1, 0.1f);
        foreach (
            (string file, string why) in ((string, string)[])
                [
                    ("missing.gguf", "could not be read"),
                    ("text.gguf", "could not be read"),
                    ("short.gguf", "cut short"),
                    ("qwen.gguf", "'qwen2'"),
                    ("other.gguf", "not a LoRA adapter"),
                    ("alpha.gguf", "adapter.lora.alpha"),
                    ("wide.gguf", "incorrect shape"),
                    ("deep.gguf", "does not exist in base model"),
                ]
        )
        {
            LoraAdapterException e = Assert.Throws<LoraAdapterException>(() => test.Model.LoadAdapter(_folder[file]));
            Assert.Contains(why, e.Message, StringComparison.Ordinal);
            Assert.Contains(file, e.Message, StringComparison.Ordinal);
        }
        Assert.Throws<LoraAdapterException>(() => test.Model.LoadAdapter(test.Path));
        using LoraAdapter adapter = test.Model.LoadAdapter(good);
        Assert.Equal("good", adapter.Name);
        using ForetokenSession session = test.CreateSession();
        Assert.Throws<ArgumentException>(() =>
            session.Prefill(test.Prompt(10), new PrefillRequest { Adapters = [new(adapter), new(adapter, 2)] })
        );
        Assert.Throws<ArgumentException>(() => session.Prefill(test.Prompt(10), With(adapter, float.NaN)));
    }

    private static void Set(GgufWriter writer, string key, string value) => writer.Set(key, GgufValue.From(value));

    private static PrefillRequest With(LoraAdapter adapter, float scale) => new() { Adapters = [new(adapter, scale)] };

    private LoraAdapter Load(string name, float scale) =>
        test.Model.LoadAdapter(TestAdapter.Write(_folder[$"{name}.gguf"], test.Model.Shape, name.Sum(c => c), scale));
}

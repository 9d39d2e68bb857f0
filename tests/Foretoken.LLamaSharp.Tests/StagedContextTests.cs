using System.Text;
using Foretoken.Cli.Bench;
using Foretoken.Errors;
using Foretoken.Interop;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using LLama;
using LLama.Common;
using LLama.Native;
using LLama.Sampling;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>LLamaSharp's own executor on the real model.</summary>
[Collection(nameof(ForetokenLibrary))]
public sealed class StagedContextTests : IClassFixture<StagedContextTests.Weights>
{
    private const int Count = 16;

    private readonly Weights _weights;

    public StagedContextTests(Weights weights) => _weights = weights;

    [Fact]
    public async Task A_staged_context_generates_what_an_ordinary_one_does()
    {
        string expected = await Generate(_weights.CreateExecutor(), Prompt);

        using LLamaContext context = _weights.CreateContext();
        using StagedContext staged = new(context);
        Assert.Equal(expected, await Generate(new InteractiveExecutor(context), Prompt));
        Assert.NotEqual("", expected.Trim());
    }

    [Fact]
    public async Task After_a_prefill_at_speed_1_the_executor_generates_what_it_does_without()
    {
        string expected = await Generate(_weights.CreateExecutor(), Prompt);

        using LLamaContext context = _weights.CreateContext();
        using StagedContext staged = new(context);
        InteractiveExecutor executor = new(context);
        PrefillReport report = await staged.PrefillAsync(executor, Prompt);

        Assert.Equal(context.Tokenize(Prompt, true, true).Length - 1, report.PromptTokens);
        Assert.All(report.Stages, stage => Assert.Equal(report.PromptTokens, stage.Tokens));
        Assert.Equal(expected, await Generate(executor, Prompt));
    }

    [Fact]
    public async Task A_prefill_at_speed_2_keeps_less_above_and_the_executor_goes_on_from_there()
    {
        using LLamaContext context = _weights.CreateContext();
        using StagedContext staged = new(context);
        InteractiveExecutor executor = new(context);
        PrefillReport report = await staged.PrefillAsync(
            executor,
            Prompt,
            new PrefillRequest { TargetTtftSpeedup = 2 }
        );
        int kept = report.Stages[^1].Tokens;
        Assert.True(kept < report.PromptTokens);

        string answer = await Generate(executor, Prompt);
        Assert.NotEqual("", answer.Trim());
        // positions count from 0; beside the prefilled tokens there are the prompt's last one and the generated ones, of
        // which the last is not decoded yet
        MemoryPositions(context, report.PromptTokens + Count - 1);

        // a later turn is the executor's
        Assert.NotEqual("", (await Generate(executor, "And then?")).Trim());
    }

    [Fact]
    public async Task A_second_prompt_starts_anew()
    {
        using LLamaContext context = _weights.CreateContext();
        using StagedContext staged = new(context);
        InteractiveExecutor executor = new(context);
        await staged.PrefillAsync(executor, Prompt, new PrefillRequest { TargetTtftSpeedup = 2 });
        await Generate(executor, Prompt);

        await staged.PrefillAsync(executor, OtherPrompt);
        Assert.Equal(await Generate(_weights.CreateExecutor(), OtherPrompt), await Generate(executor, OtherPrompt));
    }

    [Fact]
    public async Task A_cancelled_prefill_leaves_the_executor_usable()
    {
        using LLamaContext context = _weights.CreateContext();
        using StagedContext staged = new(context);
        InteractiveExecutor executor = new(context);
        using CancellationTokenSource cancellation = new();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            staged.PrefillAsync(
                executor,
                Prompt,
                new PrefillRequest { TargetTtftSpeedup = 2 },
                new Cancelling(cancellation),
                cancellation.Token
            )
        );
        MemoryPositions(context, -1);
        Assert.Equal(await Generate(_weights.CreateExecutor(), OtherPrompt), await Generate(executor, OtherPrompt));
    }

    [Fact]
    public async Task A_context_in_use_and_an_executor_elsewhere_are_refused()
    {
        using LLamaContext context = _weights.CreateContext();
        await Generate(new InteractiveExecutor(context), OtherPrompt);
        Assert.Throws<UnsupportedModelException>(() => new StagedContext(context));

        using LLamaContext fresh = _weights.CreateContext();
        using StagedContext staged = new(fresh);
        await Assert.ThrowsAsync<ArgumentException>(() =>
            staged.PrefillAsync(new InteractiveExecutor(context), Prompt)
        );
    }

    [Fact]
    public async Task A_prompt_longer_than_the_context_is_refused_with_its_length()
    {
        using LLamaContext context = _weights.CreateContext();
        using StagedContext staged = new(context);
        ContextFullException error = await Assert.ThrowsAsync<ContextFullException>(() =>
            staged.PrefillAsync(new InteractiveExecutor(context), Documents.Filler(1, 2000))
        );
        Assert.Contains("1024", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_context_may_be_disposed_first_and_is_freed_with_the_staged_one()
    {
        LLamaContext context = _weights.CreateContext();
        StagedContext staged = new(context);
        InteractiveExecutor executor = new(context);

        context.Dispose();
        Assert.False(context.NativeHandle.IsClosed);
        staged.Dispose();
        staged.Dispose();
        Assert.True(context.NativeHandle.IsClosed);

        await Assert.ThrowsAsync<ObjectDisposedException>(() => staged.PrefillAsync(executor, Prompt));
        Assert.Throws<ObjectDisposedException>(() => new StagedContext(context));
    }

    private static string Prompt => Documents.Filler(7, 240) + "In short, this text says that";

    private static string OtherPrompt => "The three colours of the rainbow that everybody knows are";

    private static async Task<string> Generate(InteractiveExecutor executor, string prompt)
    {
        using GreedySamplingPipeline sampling = new();
        StringBuilder text = new();
        await foreach (
            string piece in executor.InferAsync(
                prompt,
                new InferenceParams { MaxTokens = Count, SamplingPipeline = sampling }
            )
        )
        {
            text.Append(piece);
        }
        return text.ToString();
    }

    private static void MemoryPositions(LLamaContext context, int last) =>
        Assert.Equal(last, (int)context.NativeHandle.MemorySequenceMaxPosition(LLamaSeqId.Zero));

    private sealed class Cancelling(CancellationTokenSource source) : IProgress<PrefillProgress>
    {
        public void Report(PrefillProgress value) => source.Cancel();
    }

    /// <summary>The model, loaded once by LLamaSharp through the native library of Foretoken.</summary>
    public sealed class Weights : IDisposable
    {
        private readonly ModelParams _parameters;
        private readonly LLamaWeights _weights;
        private readonly List<LLamaContext> _contexts = [];

        public Weights()
        {
            _parameters = new ModelParams(TestModel.FindPath())
            {
                ContextSize = 1024,
                GpuLayerCount = 0,
                Threads = TestModel.Threads > 0 ? TestModel.Threads : null,
                BatchThreads = TestModel.Threads > 0 ? TestModel.Threads : null,
            };
            _weights = LLamaWeights.LoadFromFile(_parameters);
        }

        public LLamaContext CreateContext() => _weights.CreateContext(_parameters);

        /// <summary>An executor on an ordinary context, without Foretoken.</summary>
        public InteractiveExecutor CreateExecutor()
        {
            LLamaContext context = CreateContext();
            _contexts.Add(context);
            return new InteractiveExecutor(context);
        }

        public void Dispose()
        {
            _contexts.ForEach(context => context.Dispose());
            _weights.Dispose();
        }
    }
}

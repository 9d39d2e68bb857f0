using Foretoken.Cli.Bench;
using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Console;
using Foretoken.Sessions;
using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.LLamaSharp.Tests;

/// <summary>The program that the benchmark starts: LLamaSharp on its own native library.</summary>
[Collection(nameof(ForetokenLibrary))]
public sealed class LLamaSharpRivalTests
{
    private static readonly TokenRivalSettings Settings = new(
        TestModel.FindPath(),
        Context: 256,
        Batch: 128,
        UBatch: 64,
        Threads: TestModel.Threads > 0 ? TestModel.Threads : Environment.ProcessorCount,
        FlashAttention: true,
        KvCacheType: "q8_0"
    );

    private static readonly int[] Prompt = [.. Enumerable.Range(1000, 200)];

    [Fact]
    public async Task It_runs_prompt_after_prompt_and_says_its_version()
    {
        using TokenRival rival = await LLamaSharpRival.StartAsync(Settings, CancellationToken.None);
        Assert.Equal($"llamasharp {CheckedVersion.All[^1].Version}", rival.Name);

        // each from an empty context, or the second would not fit
        for (int i = 0; i < 2; i++)
        {
            RivalRun run = rival.Run(new RivalPrompt(Prompt, ""), decodeTokens: 3, CancellationToken.None);
            Assert.Equal(Prompt.Length, run.PromptTokens);
            Assert.True(run.TtftMs > 0);
            Assert.Equal(3, run.DecodeMs.Count);
            Assert.All(run.DecodeMs, ms => Assert.True(ms > 0));
        }
        Assert.Empty(rival.Run(new RivalPrompt(Prompt, ""), decodeTokens: 0, CancellationToken.None).DecodeMs);
    }

    [Fact]
    public async Task What_it_cannot_do_is_said_in_its_words()
    {
        using TokenRival rival = await LLamaSharpRival.StartAsync(Settings, CancellationToken.None);
        Assert.Contains(
            "NoKvSlot",
            Assert
                .Throws<CliException>(() =>
                    rival.Run(new RivalPrompt([.. Prompt, .. Prompt], ""), 0, CancellationToken.None)
                )
                .Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "bf16",
            (
                await Assert.ThrowsAsync<CliException>(() =>
                    LLamaSharpRival.StartAsync(Settings with { KvCacheType = "bf16" }, CancellationToken.None)
                )
            ).Message,
            StringComparison.Ordinal
        );
    }
}

using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Bench;

/// <summary>The benchmark on a tiny random model, with the native library and the unpatched llama.cpp beside it.</summary>
public sealed class BenchEndToEndTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    public void Dispose() => _folder.Dispose();

#if DEBUG
    [Fact]
    public async Task A_debug_build_is_not_measured()
    {
        Assert.Equal(ExitCode.Failed, await Run("bench"));
        Assert.Contains("Debug build", _errors.Output, StringComparison.Ordinal);
    }
#else
    [Fact]
    public async Task Plain_and_keep_all_give_the_logits_of_unpatched_llama_cpp()
    {
        string model = Path.Combine(_folder.Path, "tiny.gguf");
        SyntheticModel.Write(model, SyntheticModelSpec.Parse("layers=4,embd=128,heads=4,kv-heads=2,ffn=256,vocab=512"));

        string page = Path.Combine(_folder.Path, "page.html");
        string[] line =
        [
            "bench",
            "--model",
            model,
            "--lengths",
            "300",
            "--speeds",
            "1",
            "--plan",
            "2@0.25",
            "--keep-all",
            "--pairs",
            "1",
            "--decode",
            "3",
            "--ubatch",
            "128",
            "--threads",
            "1",
            "--calibrate",
            "1",
            "--html",
            page,
            "--json",
        ];
        int exitCode = await Run(line);

        Assert.True(exitCode == 0, _errors.Output);
        using JsonDocument json = JsonDocument.Parse(_output.Output);
        JsonElement exactness = json.RootElement.GetProperty("exactness");
        Assert.Equal(2, exactness.GetProperty("runs").GetInt32());
        Assert.True(exactness.GetProperty("sameLogits").GetBoolean());
        Assert.True(exactness.GetProperty("sameDecodedTokens").GetBoolean());
        JsonElement[] rows = [.. json.RootElement.GetProperty("rows").EnumerateArray()];
        Assert.Equal(["target", "keep-all", "plan"], rows.Select(row => row.GetProperty("kind").GetString()));
        Assert.Equal([300, 75], rows[2].GetProperty("tokensPerStage").EnumerateArray().Select(n => n.GetInt32()));
        // 2 of 4 layers hold a quarter
        Assert.Equal(5 * rows[0].GetProperty("kvBytes").GetInt64(), 8 * rows[2].GetProperty("kvBytes").GetInt64());
        Assert.True(json.RootElement.GetProperty("isComplete").GetBoolean());
        Assert.True(json.RootElement.GetProperty("models")[0].GetProperty("calibrationSeconds").GetDouble() > 0);
        Assert.True(json.RootElement.GetProperty("models")[0].GetProperty("peakMemoryBytes").GetInt64() > 1 << 20);
        Assert.Equal(3, System.Xml.Linq.XDocument.Load(page).Descendants("svg").Count());
        Assert.Equal("Release", json.RootElement.GetProperty("build").GetProperty("buildType").GetString());
    }
#endif

    private Task<int> Run(params string[] line) =>
        ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line).InvokeAsync();
}

using System.CommandLine;
using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Cli.Options;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Profiles;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests;

public sealed class CommandTests : IDisposable
{
    private const string TinyShape = "layers=4,embd=128,heads=4,kv-heads=2,ffn=256,vocab=512";

    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("--rpc", "127.0.0.1:50052")]
    [InlineData("--baseline-rpc", "127.0.0.1:50052")]
    public async Task Bench_wants_servers_for_both_sides(string option, string server)
    {
        Assert.Equal(1, await Run("bench", option, server));
        Assert.Contains("--baseline-rpc", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bench_measures_nothing_on_a_device_that_is_not_there()
    {
        Assert.Equal(1, await Run("bench", "--model", WriteTiny(), "--device", "CUDA7", "--lengths", "300"));
        Assert.Contains("there is no device 'CUDA7'", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Plan_explains_what_each_stage_keeps()
    {
        Assert.Equal(
            0,
            await Run("plan", "--prompt-tokens", "2048", "--target", "2", "--shape", "llama-3.2-1b", "--json")
        );

        using JsonDocument json = JsonDocument.Parse(_output.Output);
        JsonElement root = json.RootElement;
        Assert.Equal(16, root.GetProperty("layers").GetInt32());
        Assert.True(root.GetProperty("promisedSpeedup").GetDouble() >= 2);
        Assert.True(root.GetProperty("isTargetReached").GetBoolean());
        JsonElement[] stages = [.. root.GetProperty("stages").EnumerateArray()];
        Assert.Equal(2048, stages[0].GetProperty("tokens").GetInt32());
        Assert.Equal(16, stages[^1].GetProperty("layerEnd").GetInt32());
        Assert.True(stages[^1].GetProperty("tokens").GetInt32() < 2048);
        Assert.Equal(
            root.GetProperty("promisedSpeedup").GetDouble(),
            root.GetProperty("plainOperations").GetDouble() / root.GetProperty("plannedOperations").GetDouble(),
            6
        );
    }

    [Fact]
    public async Task Plan_reads_the_shape_from_the_header_of_a_model()
    {
        string model = WriteTiny();

        Assert.Equal(0, await Run("plan", "-n", "1000", "-s", "1.5", "-m", model));

        Assert.Contains("4 layers, 1,000 tokens", _output.Output, StringComparison.Ordinal);
        Assert.Contains("layers 0 to", _output.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Plan_ranks_by_what_was_learned_where_there_is_a_profile()
    {
        string model = WriteTiny();
        WriteProfile(model, ProfileFile.PathFor(model));

        Assert.Equal(0, await Run("plan", "-n", "1000", "-s", "1.5", "-m", model));
        Assert.Contains("ranked by learned.", _output.Output, StringComparison.Ordinal);
        Assert.Equal(0, await Run("plan", "-n", "1000", "-s", "1.5", "-m", model, "--profile", "none"));
        Assert.Contains("ranked by head-normalized-window.", _output.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Profile_of_another_model_is_refused_with_advice()
    {
        string model = WriteTiny();
        string other = Path.Combine(_folder.Path, "other.gguf");
        SyntheticModel.Write(other, SyntheticModelSpec.Parse(TinyShape + ",seed=2"));
        WriteProfile(other, ProfileFile.PathFor(model));

        Assert.Equal(ExitCode.Failed, await Run("plan", "-n", "1000", "-s", "1.5", "-m", model));
        Assert.Contains("another model", _errors.Output, StringComparison.Ordinal);
        Assert.Contains("--profile none", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_given_plan_is_estimated()
    {
        Assert.Equal(
            0,
            await Run("plan", "-n", "2048", "-s", "4", "--shape", "llama-3.2-1b", "--plan", "3@0.25", "--json")
        );

        using JsonDocument json = JsonDocument.Parse(_output.Output);
        Assert.Equal("3@0.25", json.RootElement.GetProperty("plan").GetString());
        Assert.Equal(512, json.RootElement.GetProperty("stages")[1].GetProperty("tokens").GetInt32());
        Assert.False(json.RootElement.GetProperty("isTargetReached").GetBoolean());
    }

    [Fact]
    public async Task A_quality_budget_is_answered_plainly_where_no_loss_was_measured()
    {
        Assert.Equal(
            0,
            await Run("plan", "-n", "2048", "--max-quality-loss", "0.2", "--shape", "llama-3.2-1b", "--json")
        );

        using JsonDocument json = JsonDocument.Parse(_output.Output);
        Assert.Equal(0.2, json.RootElement.GetProperty("maxQualityLoss").GetDouble());
        Assert.Equal(1, json.RootElement.GetProperty("promisedSpeedup").GetDouble());
        Assert.Contains("not measured", json.RootElement.GetProperty("reason").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task With_thresholds_a_plan_shows_how_few_tokens_may_go_on()
    {
        Assert.Equal(
            0,
            await Run("plan", "-n", "2048", "-s", "2", "--shape", "llama-3.2-1b", "--thresholds", "--json")
        );

        using JsonDocument json = JsonDocument.Parse(_output.Output);
        JsonElement last = json.RootElement.GetProperty("stages")[1];
        Assert.InRange(last.GetProperty("leastTokens").GetInt32(), 36, last.GetProperty("tokens").GetInt32() - 1);
        Assert.Contains("..", json.RootElement.GetProperty("plan").GetString(), StringComparison.Ordinal);
        Assert.True(json.RootElement.GetProperty("promisedSpeedup").GetDouble() >= 2);
    }

    [Fact]
    public async Task Calibrated_once_plans_tell_milliseconds_and_before_that_how_to_calibrate()
    {
        string model = WriteTiny();
        Assert.Equal(0, await Run("plan", model, "-n", "1000", "-s", "1.5", "--threads", "1"));
        Assert.Contains("'calibrate'", _errors.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(" ms", _output.Output, StringComparison.Ordinal);

        Assert.Equal(0, await Run("calibrate", model, "--threads", "1", "--ubatch", "128", "--budget", "60"));
        Assert.Contains("8,192", _output.Output, StringComparison.Ordinal);
        Assert.Contains("Cached in", _errors.Output, StringComparison.Ordinal);

        TestConsole output = new TestConsole().Width(200);
        RootCommand command = ForetokenCommand.Create(new CliContext(output, _errors));
        string[] line = ["plan", model, "-n", "1000", "-s", "1.2", "--threads", "1", "--ubatch", "128", "--json"];
        Assert.Equal(0, await command.Parse(line).InvokeAsync());
        using JsonDocument json = JsonDocument.Parse(output.Output);
        JsonElement root = json.RootElement;
        Assert.True(root.GetProperty("isMeasured").GetBoolean());
        Assert.Equal(
            root.GetProperty("promisedSpeedup").GetDouble(),
            root.GetProperty("expectedPlainMs").GetDouble() / root.GetProperty("expectedMs").GetDouble(),
            2
        );
        Assert.Contains(
            root.GetProperty("ranges").EnumerateArray(),
            range =>
                range.GetProperty("promptTokens").GetInt32() == 1024 && range.GetProperty("plainMs").GetDouble() > 0
        );
    }

    [Theory]
    [InlineData("plan", "-n", "100", "-s", "2", "--shape", "llama-3.2-1b", "--calibrate")]
    [InlineData("plan", "a.gguf", "-n", "100", "-s", "2", "--model", "b.gguf")]
    [InlineData("calibrate", "missing.gguf")]
    [InlineData("plan", "-n", "100", "-s", "0.5")]
    [InlineData("plan", "-n", "100", "--max-quality-loss", "0")]
    [InlineData("plan", "-n", "100", "-s", "2", "--shape", "nothing")]
    [InlineData("plan", "-n", "100", "-s", "2", "-m", "missing.gguf")]
    [InlineData("plan", "-n", "100", "-s", "2", "--plan", "99@0.5")]
    [InlineData("plan", "-n", "100", "-s", "2", "--profile", "missing.gguf")]
    [InlineData("plan", "-n", "100", "-s", "2", "--profile", "p.gguf", "--shape", "llama-3.2-1b")]
    [InlineData("bench", "--importance", "clairvoyance")]
    [InlineData("bench", "--importance", "learned", "--profile", "none")]
    [InlineData("quality", "--importance", "learned", "--profile", "none")]
    [InlineData("synthetic", "layers=0", "out.gguf")]
    [InlineData("split", "missing.gguf", "out", "--max-bytes", "1MB")]
    [InlineData("bench", "--lengths", "0")]
    [InlineData("bench", "--speeds", "0.5")]
    [InlineData("bench", "--model", "a.gguf", "--synthetic", "llama-3.2-1b")]
    [InlineData("bench", "--ubatch", "512", "--batch", "256")]
    [InlineData("bench", "--plan", "x")]
    public async Task What_cannot_be_done_is_a_sentence_and_an_exit_code(params string[] line)
    {
        Assert.Equal(ExitCode.Failed, await Run(line));

        Assert.StartsWith("error: ", _errors.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", _errors.Output, StringComparison.Ordinal);
        Assert.Empty(_output.Output);
    }

    [Theory]
    [InlineData("plan", "--target", "2")]
    [InlineData("plan", "-n", "100")]
    [InlineData("plan", "-n", "100", "--max-quality-loss", "little")]
    [InlineData("plan", "-n", "100", "--max-quality-loss", "NaN")]
    [InlineData("plan", "-n", "100", "-s", "NaN")]
    [InlineData("plan", "-n", "-5", "-s", "2")]
    [InlineData("plan", "-n", "0", "-s", "2")]
    [InlineData("plan", "-n", "2000000000", "-s", "2")]
    [InlineData("plan", "-n", "100", "-s", "2", "--past-tokens", "-1")]
    [InlineData("plan", "-n", "100", "-s", "2", "--threads", "9999")]
    [InlineData("bench", "--max-minutes", "0")]
    [InlineData("bench", "--calibrate", "-1")]
    [InlineData("bench", "--lengths", "99999999999")]
    [InlineData("scale", "--boundary-ms", "-1")]
    [InlineData("split", "a.gguf", "b")]
    [InlineData("bench", "--pairs", "0")]
    [InlineData("bench", "--pairs", "few")]
    [InlineData("bench", "--lengths", "a")]
    [InlineData("bench", "--kv-type", "q3")]
    [InlineData("calibrate", "--budget", "0")]
    [InlineData("calibrate", "--budget", "NaN")]
    public void What_cannot_be_understood_is_refused(params string[] line) =>
        Assert.NotEmpty(ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line).Errors);

    [Theory]
    [InlineData("2,5", "write 2.5")]
    [InlineData("x", "one such as 2.5")]
    [InlineData("0", "other than 0")]
    public void A_scale_of_an_adapter_is_a_number(string scale, string advice) =>
        Assert.Contains(
            advice,
            Assert
                .Throws<CliException>(() => CommandOptions.ParseLora($"{_folder.Write("a.gguf", "")}={scale}"))
                .Message,
            StringComparison.Ordinal
        );

    [Fact]
    public async Task The_longest_prompt_that_can_be_planned_is_planned()
    {
        Assert.Equal(
            0,
            await Run(
                "plan",
                "-n",
                "100000000",
                "--past-tokens",
                "100000000",
                "-s",
                "2",
                "--shape",
                "llama-3.2-1b",
                "--json"
            )
        );
        using JsonDocument json = JsonDocument.Parse(_output.Output);
        Assert.True(json.RootElement.GetProperty("plainOperations").GetDouble() > 1e15);
        Assert.True(json.RootElement.GetProperty("promisedSpeedup").GetDouble() >= 2);
    }

    [Fact]
    public async Task Synthetic_writes_a_model_and_split_cuts_it_into_shards()
    {
        string model = WriteTiny();
        string prefix = Path.Combine(_folder.Path, "part");

        Assert.Equal(0, await Run("split", model, prefix, "--max-bytes", "150kB"));

        string first = _output.Output.Split("  ")[0];
        GgufShardName shard = GgufShardName.Parse(first)!;
        Assert.True(shard.Count > 1);
        Assert.All(shard.All(), path => Assert.InRange(new FileInfo(path).Length, 1, 150_000));
        Assert.Equal(ModelFileCheck.Check(model).ParameterCount, ModelFileCheck.Check(first).ParameterCount);
    }

    private string WriteTiny()
    {
        string model = Path.Combine(_folder.Path, "tiny.gguf");
        SyntheticModel.Write(model, SyntheticModelSpec.Parse(TinyShape));
        return model;
    }

    private static void WriteProfile(string model, string path) =>
        ProfileWriter.Write(
            path,
            new ModelProfile
            {
                Fingerprint = ModelFingerprint.Compute(model),
                ModelName = "tiny",
                LayerCount = 4,
                HeadCount = 4,
                EmbeddingSize = 128,
                Origin = new ProfileOrigin(DateTimeOffset.UnixEpoch, 1, 0, 100, 1, "made by hand"),
                Predictors =
                [
                    new ImportancePredictor(
                        1,
                        new float[AttentionFeatures.CountPerLayer(4)],
                        default,
                        null,
                        double.NaN
                    ),
                ],
            }
        );

    private Task<int> Run(params string[] line)
    {
        var parsed = ForetokenCommand.Create(new CliContext(_output, _errors)).Parse(line);
        Assert.Empty(parsed.Errors);
        return parsed.InvokeAsync();
    }
}

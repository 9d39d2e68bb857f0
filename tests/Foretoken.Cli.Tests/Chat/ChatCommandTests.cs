using Foretoken.Samples.Chat;

namespace Foretoken.Cli.Tests.Chat;

public sealed class ChatCommandTests
{
    [Fact]
    public async Task Options_become_arguments()
    {
        ChatArguments arguments = await Parse(
            "--model m.gguf --speed 2.5 --file a.txt --file b.txt --ask Why? --json --ctx 4096 --threads 2 --gpu-layers -1 --max-tokens 9 --seed 5 --temperature 0.7 --system Brief --importance recent-window --max-quality-loss 0.1 --thresholds --profile p.foretoken.gguf"
        );

        Assert.Equal(
            new ChatArguments
            {
                Model = "m.gguf",
                Speed = 2.5,
                MaxQualityLoss = 0.1,
                UseThresholds = true,
                Ask = "Why?",
                Json = true,
                ContextSize = 4096,
                Threads = 2,
                GpuLayers = -1,
                MaxTokens = 9,
                Seed = 5,
                Temperature = 0.7f,
                System = "Brief",
                Importance = "recent-window",
                Profile = "p.foretoken.gguf",
                Files = arguments.Files,
            },
            arguments
        );
        Assert.Equal(["a.txt", "b.txt"], arguments.Files);
    }

    [Fact]
    public async Task Without_options_nothing_is_left_out_and_answers_are_greedy()
    {
        ChatArguments arguments = await Parse("");

        Assert.Null(arguments.Speed);
        Assert.Null(arguments.Temperature);
        Assert.Null(arguments.Ask);
        Assert.Equal(new ChatArguments { Files = arguments.Files }, arguments);
    }

    [Fact]
    public async Task Servers_and_devices_are_lists()
    {
        ChatArguments arguments = await Parse("--rpc one:50052,two:50052 --device RPC0 --device CUDA0");

        Assert.Equal(["one:50052", "two:50052"], arguments.RpcServers);
        Assert.Equal(["RPC0", "CUDA0"], arguments.Devices);
        Assert.Equal(0, arguments.GpuLayers);
    }

    [Fact]
    public async Task No_profile_is_an_answer_to_which()
    {
        ChatArguments arguments = await Parse("--profile none");

        Assert.False(arguments.UseProfile);
        Assert.Null(arguments.Profile);
    }

    [Theory]
    [InlineData("--speed 0.5")]
    [InlineData("--speed NaN")]
    [InlineData("--speed 1e9")]
    [InlineData("--speed fast")]
    [InlineData("--max-quality-loss 0")]
    [InlineData("--max-quality-loss -1")]
    [InlineData("--max-quality-loss NaN")]
    [InlineData("--max-quality-loss little")]
    [InlineData("--ctx -1")]
    [InlineData("--ctx 2000000000")]
    [InlineData("--threads 9999")]
    [InlineData("--temperature -1")]
    [InlineData("--temperature NaN")]
    [InlineData("--temperature 0,7")]
    [InlineData("--seed 1.5")]
    [InlineData("--ctx many")]
    [InlineData("--max-tokens 0")]
    [InlineData("--gpu-layers -2")]
    [InlineData("--nope")]
    public void What_cannot_be_is_refused_before_anything_runs(string line)
    {
        var parsed = ChatCommand.Create(_ => throw new InvalidOperationException("ran")).Parse(line.Split(' '));

        Assert.NotEmpty(parsed.Errors);
    }

    private static async Task<ChatArguments> Parse(string line)
    {
        ChatArguments? arguments = null;
        var parsed = ChatCommand
            .Create(given =>
            {
                arguments = given;
                return Task.FromResult(0);
            })
            .Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.Empty(parsed.Errors);
        Assert.Equal(0, await parsed.InvokeAsync());
        return arguments!;
    }
}

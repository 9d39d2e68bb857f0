using Foretoken.Cli.Chat;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Chat;

public sealed class ChatCommandTests
{
    [Fact]
    public async Task Options_become_arguments()
    {
        ChatArguments arguments = await Parse(
            "--model m.gguf --speed 2.5 --file a.txt --file b.txt --ask Why? --json --ctx 4096 --threads 2 --gpu-layers -1 --max-tokens 9 --seed 5 --temperature 0.7 --system Brief --importance recent-window --max-quality-loss 0.1 --thresholds --profile p.foretoken.gguf --completion while-answering --completion-by-token 12"
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
                Completion = CompletionMode.WhileAnswering,
                CompletionByToken = 12,
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
        Assert.Null(arguments.Completion);
        Assert.Null(arguments.CompletionByToken);
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
    [InlineData("--completion half")]
    [InlineData("--completion while_answering")]
    [InlineData("--completion")]
    [InlineData("--completion-by-token 1")]
    [InlineData("--completion-by-token soon")]
    [InlineData("--completion half --completion-by-token 3")]
    [InlineData("--completion never --completion-by-token 1")]
    [InlineData("--completion never --completion always --completion-by-token 3")]
    [InlineData("--nope")]
    public void What_cannot_be_is_refused_before_anything_runs(string line)
    {
        var parsed = ChatCommand.Create(_ => throw new InvalidOperationException("ran")).Parse(line.Split(' '));

        Assert.NotEmpty(parsed.Errors);
    }

    [Theory]
    [InlineData("never", CompletionMode.Never)]
    [InlineData("while-answering", CompletionMode.WhileAnswering)]
    [InlineData("when-idle", CompletionMode.WhenIdle)]
    [InlineData("always", CompletionMode.Always)]
    public async Task Every_way_to_complete_a_prompt_has_a_name(string name, CompletionMode expected)
    {
        ChatArguments arguments = await Parse($"--completion {name}");

        Assert.Equal(expected, arguments.Completion);
        Assert.Null(arguments.CompletionByToken);
    }

    [Theory]
    [InlineData("--completion-by-token 2", null)]
    [InlineData("--completion-by-token 2 --completion while-answering", CompletionMode.WhileAnswering)]
    [InlineData("--completion always --completion-by-token 2", CompletionMode.Always)]
    public async Task A_token_to_complete_by_goes_with_every_way_that_completes_while_answering(
        string line,
        CompletionMode? expected
    )
    {
        ChatArguments arguments = await Parse(line);

        Assert.Equal((expected, 2), (arguments.Completion, arguments.CompletionByToken));
    }

    [Theory]
    [InlineData("never")]
    [InlineData("when-idle")]
    public void A_token_to_complete_by_means_nothing_where_nothing_is_completed_while_answering(string name)
    {
        var parsed = ChatCommand
            .Create(_ => throw new InvalidOperationException("ran"))
            .Parse(["--completion-by-token", "8", "--completion", name]);

        string error = Assert.Single(parsed.Errors).Message;
        Assert.Contains(
            $"--completion-by-token means nothing with --completion {name}",
            error,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void The_help_says_what_completion_does_for_the_reader_and_what_holds_without_it()
    {
        var command = ChatCommand.Create(_ => Task.FromResult(0));

        string completion = command.Options.Single(option => option.Name == "--completion").Description!;
        Assert.StartsWith("The first word comes sooner", completion, StringComparison.Ordinal);
        string byToken = command.Options.Single(option => option.Name == "--completion-by-token").Description!;
        Assert.Contains($"Default: {new CompletionOptions().ByOutputToken}.", byToken, StringComparison.Ordinal);
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

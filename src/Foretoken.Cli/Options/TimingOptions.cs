using System.CommandLine;
using Foretoken.Cli.Console;
using Foretoken.Sessions;

namespace Foretoken.Cli.Options;

/// <summary>The settings that measured times belong to, for every command that measures or uses them.</summary>
internal sealed class TimingOptions
{
    private readonly Option<int> _threads = CommandOptions.Threads("Threads that compute. Default: one per core.");
    private readonly DeviceOptions _devices = new();
    private readonly Option<int> _ubatch = new("--ubatch")
    {
        HelpName = "tokens",
        Description = "Tokens per graph.",
        DefaultValueFactory = _ => new SessionOptions().UBatchSize,
    };
    private readonly Option<string> _flashAttention = CommandOptions.FlashAttention();

    internal TimingOptions() => _ubatch.Whole(1);

    /// <summary>The model's file, as an argument beside <c>--model</c>.</summary>
    internal static Argument<string?> ModelArgument() =>
        new("model") { Arity = ArgumentArity.ZeroOrOne, Description = "GGUF file, as --model." };

    internal void AddTo(Command command)
    {
        command.Add(_threads);
        _devices.AddTo(command);
        command.Add(_ubatch);
        command.Add(_flashAttention);
    }

    internal ModelOptions Model(ParseResult parsed, string? profile) =>
        ProfileOption.ToModelOptions(profile, _devices.Read(parsed));

    internal SessionOptions Session(ParseResult parsed) =>
        new()
        {
            Threads = parsed.GetValue(_threads),
            UBatchSize = parsed.GetValue(_ubatch),
            FlashAttention = CommandOptions.FlashAttentionOf(parsed, _flashAttention),
        };
}

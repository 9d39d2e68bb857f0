using System.CommandLine;
using System.Globalization;
using Foretoken.Chat;
using Foretoken.Cli.Console;
using Foretoken.Sessions;

namespace Foretoken.Cli.Chat;

/// <summary><c>foretoken chat</c>.</summary>
internal static class ChatCommand
{
    internal const string Name = "chat";

    private const string NoProfile = "none";

    // the library's own, with hyphens
    private static readonly (string Name, CompletionMode Mode)[] Completions =
    [
        .. CompletionModeText.Modes.Select(one => (one.Text.Replace('_', '-'), one.Mode)),
    ];

    internal static Command Create(Func<ChatArguments, Task<int>> run)
    {
        Option<string?> model = new("--model", "-m")
        {
            HelpName = "path",
            Description =
                "GGUF file of a Llama-family model; of a split model the first shard. Default: the small model that comes with the samples.",
        };
        Option<string?> profile = new("--profile")
        {
            HelpName = "path|none",
            Description =
                "What 'foretoken tune' learned about the model; none for none. Default: the file beside the model, where there is one.",
        };
        Option<double?> speed = new("--speed", "-s")
        {
            HelpName = "factor",
            Description =
                "By what factor the first token shall come sooner, 1 or more. 1, the default, leaves nothing out.",
        };
        Option<double?> maxQualityLoss = new("--max-quality-loss")
        {
            HelpName = "nats",
            Description =
                "How far answers may move from those of full prefill (KL divergence, for example 0.1): as fast as that allows, or beside --speed the more careful of the two. Needs a tuned profile.",
        };
        Option<bool> thresholds = new("--thresholds")
        {
            Description = "Leave out more than planned where little matters, by the thresholds of a tuned profile.",
        };
        Option<string?> completion = new("--completion")
        {
            HelpName = string.Join('|', Completions.Select(one => one.Name)),
            Description =
                "The first word comes sooner, and the rest of the prompt is computed behind it: between the next words (while-answering), when the answer has ended (when-idle), both (always), or never. Default: always where the model has a tuned profile, otherwise never.",
        };
        completion.AcceptOnlyFromAmong([.. Completions.Select(one => one.Name)]);
        Option<int?> completionByToken = new("--completion-by-token")
        {
            HelpName = "n",
            Description = string.Create(
                CultureInfo.InvariantCulture,
                $"The output token in front of which the rest of the prompt is there: a later one makes each word wait less. Default: {new CompletionOptions().ByOutputToken}. Without --completion it asks for always."
            ),
        };
        Option<string?> importance = new("--importance")
        {
            HelpName = "name",
            Description = "How the tokens to keep are chosen. Default: the library's.",
        };
        Option<int> context = new("--ctx")
        {
            HelpName = "tokens",
            Description = "Tokens of context, prompt and answer together. Default: the model's, at most 8192.",
        };
        Option<int> threads = new("--threads", "-t")
        {
            HelpName = "n",
            Description = "Threads that compute. Default: one per core.",
        };
        Option<int> gpuLayers = new("--gpu-layers")
        {
            HelpName = "n",
            Description =
                "Layers on the GPU, or on the devices and servers that are named; -1 for all. Default: all where any are named, otherwise none.",
        };
        Option<string[]> devices = NameList.Option(
            "--device",
            "name,...",
            "Devices that take layers, such as CUDA0 or RPC0. Default: those of --rpc, then all GPUs."
        );
        Option<string[]> rpcServers = NameList.Option(
            "--rpc",
            "host:port,...",
            "RPC servers that take layers; './run rpc-server' starts one."
        );
        Option<string?> template = new("--chat-template")
        {
            HelpName = "path",
            Description =
                "File with a Jinja chat template, for a model that has none or a wrong one. Default: the model's own.",
        };
        Option<int> maxTokens = new("--max-tokens", "-n")
        {
            HelpName = "tokens",
            Description = "Tokens of an answer at most.",
            DefaultValueFactory = _ => 512,
        };
        Option<long?> seed = new("--seed")
        {
            HelpName = "n",
            Description = "Seed of the sampler; matters with --temperature only.",
        };
        Option<float?> temperature = new("--temperature")
        {
            HelpName = "t",
            Description = "Randomness of the answers. Default: none, the most likely token each time.",
        };
        Option<string> system = new("--system")
        {
            HelpName = "text",
            Description = "System prompt; an empty one leaves it to the model's template.",
            DefaultValueFactory = _ => ChatArguments.DefaultSystem,
        };
        Option<string[]> files = new("--file", "-f")
        {
            HelpName = "path",
            Description = "A text document for the first question; may be given several times.",
            DefaultValueFactory = _ => [],
        };
        Option<string?> ask = new("--ask", "-a")
        {
            HelpName = "question",
            Description = "Answer this question and exit.",
        };
        Option<bool> json = new("--json")
        {
            Description =
                "Print answers as JSON: answer, counts and the prefill report. One object per line when questions come from standard input.",
        };

        context.Whole(0, 1 << 30);
        threads.Whole(0, SessionOptions.MaxThreads);
        gpuLayers.Whole(-1);
        completionByToken.Whole(2);
        maxTokens.Whole(1);
        seed.Whole();
        temperature.Number(NumberOptions.Between(0, 100));
        speed.Number(SpeedText.Explain);
        maxQualityLoss.Number(SpeedText.ExplainLoss);

        Command chat = new(
            Name,
            """
            Chat with a local model that answers sooner.

            Without --ask, questions come from the terminal (or line by line from standard input). Commands in the chat:
              /speed 2.5   /file notes.txt   /files   /drop   /stats   /reset   /help   /quit
            """
        )
        {
            model,
            profile,
            speed,
            maxQualityLoss,
            thresholds,
            completion,
            completionByToken,
            files,
            ask,
            json,
            importance,
            context,
            threads,
            gpuLayers,
            devices,
            rpcServers,
            template,
            maxTokens,
            temperature,
            seed,
            system,
        };
        EmptyText.Refuse(chat, except: system);
        chat.Validators.Add(result =>
        {
            // not its value, which is not to be had where it is given twice
            if (
                result.GetResult(completionByToken) is not null
                && result.GetResult(completion) is { Tokens: [{ Value: var name }] }
                && CompletionOf(name) is { } mode
                && !mode.HasFlag(CompletionMode.WhileAnswering)
            )
            {
                result.AddError(
                    $"--completion-by-token means nothing with --completion {name}: nothing is computed between the words of the answer. Leave it out, or choose while-answering or always."
                );
            }
        });
        chat.SetAction(parsed =>
            run(
                new ChatArguments
                {
                    Model = parsed.GetValue(model),
                    Profile = IsNoProfile(parsed.GetValue(profile)) ? null : parsed.GetValue(profile),
                    UseProfile = !IsNoProfile(parsed.GetValue(profile)),
                    Speed = parsed.GetValue(speed),
                    MaxQualityLoss = parsed.GetValue(maxQualityLoss),
                    UseThresholds = parsed.GetValue(thresholds),
                    Completion = CompletionOf(parsed.GetValue(completion)),
                    CompletionByToken = parsed.GetValue(completionByToken),
                    Importance = parsed.GetValue(importance),
                    ContextSize = parsed.GetValue(context),
                    Threads = parsed.GetValue(threads),
                    GpuLayers = parsed.GetValue(gpuLayers),
                    Devices = parsed.GetValue(devices) is { Length: > 0 } named ? named : [],
                    RpcServers = parsed.GetValue(rpcServers) is { Length: > 0 } servers ? servers : [],
                    ChatTemplate = parsed.GetValue(template),
                    MaxTokens = parsed.GetValue(maxTokens),
                    Seed = parsed.GetValue(seed),
                    Temperature = parsed.GetValue(temperature),
                    System = parsed.GetValue(system)!,
                    Files = parsed.GetValue(files) ?? [],
                    Ask = parsed.GetValue(ask),
                    Json = parsed.GetValue(json),
                }
            )
        );
        return chat;
    }

    private static CompletionMode? CompletionOf(string? name) =>
        Completions.Where(one => one.Name == name).Select(one => (CompletionMode?)one.Mode).FirstOrDefault();

    private static bool IsNoProfile(string? value) =>
        string.Equals(value, NoProfile, StringComparison.OrdinalIgnoreCase);
}

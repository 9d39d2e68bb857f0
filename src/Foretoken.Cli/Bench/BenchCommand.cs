using System.CommandLine;
using System.Globalization;
using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Console;
using Foretoken.Cli.Models;
using Foretoken.Cli.Options;
using Foretoken.Cli.Plan;
using Foretoken.Importance;
using Foretoken.Sessions;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Bench;

/// <summary><c>foretoken bench</c>: time to first token against unpatched llama.cpp, in pairs.</summary>
internal static class BenchCommand
{
    internal static Dictionary<string, KvCacheType> KvTypes { get; } =
        new(StringComparer.OrdinalIgnoreCase)
        {
            ["f32"] = KvCacheType.F32,
            ["f16"] = KvCacheType.F16,
            ["bf16"] = KvCacheType.BF16,
            ["q8_0"] = KvCacheType.Q8,
            ["q4_0"] = KvCacheType.Q4,
        };

    internal static Command Create(CliContext context)
    {
        BenchOptions defaults = new();
        Option<bool> full = new("--full")
        {
            Description =
                $"The whole picture: lengths {List(BenchOptions.FullLengths)} as far as the model's context goes, targets {List(BenchOptions.FullTargets)}, {BenchOptions.FullPairs} rounds. Takes long; the time is said first.",
        };
        Option<int[]> lengths = CommandOptions.WholeNumbers(
            "--lengths",
            "512,1024,2048",
            $"Prompt lengths in tokens. Default: {List(BenchOptions.QuickLengths)}."
        );
        Option<double[]> targets = CommandOptions.Numbers(
            "--targets",
            "1,1.5,2,2.9",
            $"Speedups to ask for; 1 is plain prefill. Default: {List(BenchOptions.QuickTargets)}; beside --plan only 1."
        );
        // what it was called before quality had the same option
        targets.Aliases.Add("--speeds");
        Option<int?> pairs = new("--pairs")
        {
            HelpName = "n",
            Description =
                $"Rounds: measured pairs per row, after a warm-up that is thrown away. Default: {BenchOptions.QuickPairs}.",
        };
        Option<bool> keepAll = new("--keep-all")
        {
            Description = "Also rows that run in stages and keep every token: what staging costs.",
        };
        Option<double> calibrate = new("--calibrate")
        {
            HelpName = "seconds",
            Description =
                "How long this machine is measured before the first round, so that promises rest on its times; 0 leaves them to what was learned before. Large models and long prompts want more.",
            DefaultValueFactory = _ => defaults.CalibrationSeconds,
        };
        Option<double?> maxMinutes = new("--max-minutes")
        {
            HelpName = "minutes",
            Description = "Begin no round that would end later. What was measured is reported.",
        };
        Option<string[]> model = new("--model", "-m")
        {
            HelpName = "path",
            Description =
                "GGUF file; may be given several times. Default: the model that comes with the samples, unless --synthetic is given.",
            DefaultValueFactory = _ => [],
        };
        Option<string[]> synthetic = new("--synthetic")
        {
            HelpName = "shape",
            Description =
                $"A model with random weights, beside or instead of --model; may be given several times, is written once and kept. {SyntheticCommand.ShapeHelp} Names: {string.Join(", ", SyntheticModelSpec.Names)}.",
            DefaultValueFactory = _ => [],
        };
        Option<string[]> plans = new("--plan")
        {
            HelpName = PlanText.HelpName,
            Description = $"A plan to measure, such as {PlanText.Examples}; may be given several times.",
            DefaultValueFactory = _ => [],
        };
        Option<int> decode = new("--decode")
        {
            HelpName = "tokens",
            Description = "Tokens to decode after each prompt, and time; 0 for none.",
            DefaultValueFactory = _ => defaults.DecodeTokens,
        };
        Option<int> threads = CommandOptions.Threads("Threads of both sides. Default: one per core.");
        Option<int> ubatch = new("--ubatch")
        {
            HelpName = "tokens",
            Description = "Tokens per graph, both sides.",
            DefaultValueFactory = _ => defaults.UBatchSize,
        };
        Option<int> batch = new("--batch")
        {
            HelpName = "tokens",
            Description = "Tokens per llama_decode, both sides.",
            DefaultValueFactory = _ => defaults.BatchSize,
        };
        Option<string> kvType = new("--kv-type")
        {
            HelpName = string.Join('|', KvTypes.Keys),
            Description = "Number format of the KV cache, both sides.",
            DefaultValueFactory = _ => "f16",
        };
        Option<string> flashAttention = CommandOptions.FlashAttention("Fused attention, both sides.");
        DeviceOptions devices = new();
        Option<string[]> baselineRpc = NameList.Option(
            "--baseline-rpc",
            "host:port,...",
            "As many RPC servers as --rpc names, on the same machines, for the unpatched side: a server serves one process at a time."
        );
        Option<string?> importance = new("--importance")
        {
            HelpName = "name",
            Description = $"How the tokens to keep are chosen: {string.Join(", ", ImportancePolicies.Names)}.",
        };
        Option<string?> profile = ProfileOption.Create();
        Option<int> seed = CommandOptions.Seed(defaults.Seed, "Seed of the prompts, the order and the bootstrap.");
        Option<string[]> rivals = new("--rival")
        {
            HelpName = $"URL[,model=NAME]|{RivalOption.LLamaSharp}|{RivalOption.NodeLlamaCpp}",
            Description =
                $"Measure another program in the same rounds: a server that speaks the OpenAI protocol (a key, if it wants one, in {OpenAIRival.KeyVariable}), LLamaSharp on its own native library, or node-llama-cpp where the folder's Node.js finds it. May be given several times.",
            DefaultValueFactory = _ => [],
        };
        Option<string?> rivalCommand = new("--rival-command")
        {
            HelpName = "command",
            Description =
                "Start such a server and end it afterwards, as in \"llama-server -m {model} -c {context} -t {threads} --port {port}\"; the placeholders are filled in.",
        };
        Option<string?> json = CommandOptions.Json();
        Option<string?> html = CommandOptions.Html(
            "Write a page with plots: time to first token by length, promised against measured, where the time goes."
        );
        Option<string[]> compare = new("--compare")
        {
            HelpName = "before.json after.json",
            Description = "Measure nothing; show which rows of two results moved beyond noise.",
            Arity = new ArgumentArity(2, 2),
            AllowMultipleArgumentsPerToken = true,
        };
        Option<double?> failOnRegression = new("--fail-on-regression")
        {
            HelpName = "percent",
            Description = "With --compare: fail when a row is slower beyond noise and by at least so much.",
        };
        Option<bool> force = new("--force")
        {
            Description = "With --compare: compare results of different machines, settings or models all the same.",
        };
        kvType.AcceptOnlyFromAmong(StringComparer.OrdinalIgnoreCase, [.. KvTypes.Keys]);
        pairs.Whole(1);
        calibrate.Number(seconds => seconds is >= 0 and <= 3600 ? null : "a number of seconds is needed, 0 to 3600.");
        maxMinutes.Number(NumberOptions.Positive);
        failOnRegression.Number(NumberOptions.NotNegative);
        decode.Whole(0);
        ubatch.Whole(1);
        batch.Whole(1);

        Command command = new(
            "bench",
            "Measures the time to first token against unpatched llama.cpp of the same build, in interleaved pairs."
        )
        {
            model,
            synthetic,
            lengths,
            targets,
            pairs,
            full,
            plans,
            keepAll,
            decode,
            calibrate,
            maxMinutes,
            importance,
            profile,
            threads,
            batch,
            ubatch,
            kvType,
            flashAttention,
            baselineRpc,
            seed,
            rivals,
            rivalCommand,
            json,
            html,
            compare,
            failOnRegression,
            force,
        };
        devices.AddTo(command);
        command.Validators.Add(result =>
        {
            if (
                result.GetResult(compare) is null
                && (result.GetResult(failOnRegression) is not null || result.GetResult(force) is not null)
            )
            {
                result.AddError("--fail-on-regression and --force go with --compare.");
            }
        });
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                    parsed.GetValue(compare) is [var before, var after]
                        ? CompareCommand.RunAsync(
                            context,
                            (before, after),
                            parsed.GetValue(failOnRegression),
                            parsed.GetValue(force),
                            CommandOptions.JsonOf(parsed, json)
                        )
                        : Benchmark.RunAsync(
                            context,
                            new BenchOptions
                            {
                                // an option that is not given has an empty list as its value
                                Lengths = parsed.GetResult(lengths) is null ? null : parsed.GetValue(lengths),
                                Targets = parsed.GetResult(targets) is null ? null : parsed.GetValue(targets),
                                Plans = [.. (parsed.GetValue(plans) ?? []).Select(PlanText.Parse)],
                                Pairs = parsed.GetValue(pairs),
                                Full = parsed.GetValue(full),
                                KeepAll = parsed.GetValue(keepAll),
                                Seed = parsed.GetValue(seed),
                                DecodeTokens = parsed.GetValue(decode),
                                CalibrationSeconds = parsed.GetValue(calibrate),
                                MaxMinutes = parsed.GetValue(maxMinutes),
                                Models = parsed.GetValue(model) ?? [],
                                Synthetics = parsed.GetValue(synthetic) ?? [],
                                Threads = parsed.GetValue(threads),
                                BatchSize = parsed.GetValue(batch),
                                UBatchSize = parsed.GetValue(ubatch),
                                KvCacheType = KvTypes[parsed.GetValue(kvType)!],
                                FlashAttention = CommandOptions.FlashAttentionOf(parsed, flashAttention),
                                Devices = devices.Read(parsed),
                                BaselineRpcServers = parsed.GetValue(baselineRpc) ?? [],
                                Importance = parsed.GetValue(importance),
                                Profile = parsed.GetValue(profile),
                                Rivals = parsed.GetValue(rivals) ?? [],
                                RivalCommand = parsed.GetValue(rivalCommand),
                                Json = CommandOptions.JsonOf(parsed, json),
                                Html = parsed.GetValue(html),
                            },
                            cancellationToken
                        )
                )
        );
        return command;
    }

    private static string List<T>(IEnumerable<T> values)
        where T : IFormattable =>
        string.Join(',', values.Select(value => value.ToString(null, CultureInfo.InvariantCulture)));
}

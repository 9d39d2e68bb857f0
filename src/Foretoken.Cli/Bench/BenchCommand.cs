using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Foretoken.Gguf;
using Foretoken.Inference;
using Foretoken.Profiles;
using Spectre.Console;

namespace Foretoken.Cli.Bench;

/// <summary><c>foretoken bench</c>: time to first token against unpatched llama.cpp, in pairs.</summary>
internal static class BenchCommand
{
    private static readonly Dictionary<string, KvCacheType> KvTypes = new(StringComparer.OrdinalIgnoreCase)
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
        Option<int[]> lengths = CommandOptions.WholeNumbers(
            "--lengths",
            "512,1024,2048",
            "Prompt lengths in tokens. Default: 512,1024,2048."
        );
        Option<double[]> speeds = CommandOptions.Numbers(
            "--speeds",
            "1,1.5,2,2.9",
            "Speedups to ask for. Default: 1,1.5,2,2.9; beside --plan only 1."
        );
        Option<int> pairs = new("--pairs")
        {
            HelpName = "n",
            Description = "Measured pairs per row, after one that is thrown away.",
            DefaultValueFactory = _ => defaults.Pairs,
        };
        Option<string?> model = new("--model", "-m")
        {
            HelpName = "path",
            Description = "GGUF file. Default: the model that comes with the samples.",
        };
        Option<string?> synthetic = new("--synthetic")
        {
            HelpName = "shape",
            Description =
                $"A model with random weights instead; written once and kept. {SyntheticCommand.ShapeHelp} Names: {string.Join(", ", SyntheticModelSpec.Names)}.",
        };
        Option<string[]> plans = new("--plan")
        {
            HelpName = "layer@retention,...",
            Description = "A plan to measure, such as 3@0.25; may be given several times.",
            DefaultValueFactory = _ => [],
        };
        Option<int> decode = new("--decode")
        {
            HelpName = "tokens",
            Description = "Also decode this many tokens after each prompt, and time them.",
        };
        Option<int> threads = new("--threads", "-t")
        {
            HelpName = "n",
            Description = "Threads of both sides. Default: one per core.",
        };
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
        Option<int> gpuLayers = new("--gpu-layers")
        {
            HelpName = "n",
            Description = "Layers on the GPU, both sides; -1 for all.",
        };
        Option<string?> importance = new("--importance")
        {
            HelpName = "name",
            Description = $"How the tokens to keep are chosen: {string.Join(", ", ImportancePolicies.Names)}.",
        };
        Option<string?> profile = ProfileOption.Create();
        Option<int> seed = new("--seed")
        {
            HelpName = "n",
            Description = "Seed of the prompts, the order and the bootstrap.",
            DefaultValueFactory = _ => defaults.Seed,
        };
        Option<string?> json = CommandOptions.Json();
        kvType.AcceptOnlyFromAmong(StringComparer.OrdinalIgnoreCase, [.. KvTypes.Keys]);
        CommandOptions.AtLeast(pairs, 1);
        CommandOptions.AtLeast(decode, 0);
        CommandOptions.AtLeast(threads, 0);
        CommandOptions.AtLeast(ubatch, 1);
        CommandOptions.AtLeast(batch, 1);
        CommandOptions.AtLeast(gpuLayers, -1);

        Command command = new(
            "bench",
            "Measures the time to first token against unpatched llama.cpp of the same build, in interleaved pairs."
        )
        {
            lengths,
            speeds,
            plans,
            pairs,
            model,
            synthetic,
            decode,
            importance,
            profile,
            threads,
            batch,
            ubatch,
            kvType,
            flashAttention,
            gpuLayers,
            seed,
            json,
        };
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                    RunAsync(
                        context,
                        new BenchOptions
                        {
                            // an option that is not given has an empty list as its value
                            Lengths = parsed.GetResult(lengths) is null ? defaults.Lengths : parsed.GetValue(lengths)!,
                            Speeds = parsed.GetResult(speeds) is null ? null : parsed.GetValue(speeds),
                            Plans = [.. (parsed.GetValue(plans) ?? []).Select(PlanText.Parse)],
                            Pairs = parsed.GetValue(pairs),
                            Seed = parsed.GetValue(seed),
                            DecodeTokens = parsed.GetValue(decode),
                            Model = parsed.GetValue(model),
                            Synthetic = parsed.GetValue(synthetic),
                            Threads = parsed.GetValue(threads),
                            BatchSize = parsed.GetValue(batch),
                            UBatchSize = parsed.GetValue(ubatch),
                            KvCacheType = KvTypes[parsed.GetValue(kvType)!],
                            FlashAttention = CommandOptions.FlashAttentionOf(parsed, flashAttention),
                            GpuLayers = parsed.GetValue(gpuLayers),
                            Importance = parsed.GetValue(importance),
                            Profile = parsed.GetValue(profile),
                            Json = CommandOptions.JsonOf(parsed, json),
                        },
                        cancellationToken
                    )
                )
        );
        return command;
    }

    internal static async Task<int> RunAsync(
        CliContext context,
        BenchOptions options,
        CancellationToken cancellationToken
    )
    {
        Validate(options);
        NativeBuild.RefuseDebug(typeof(ForetokenModel).Assembly, typeof(BenchCommand).Assembly);
        NativeLibraryInfo library = ForetokenModel.GetNativeLibrary();
        NativeBuild build = NativeBuild.Find(
            library,
            RepositoryFolder.Find("artifacts", "native")
                ?? throw new CliException(
                    "There is no unpatched llama.cpp to compare with: no artifacts/native folder above this program. The benchmark runs in a clone of the repository, with './run bench'."
                )
        );
        string modelPath = options.Synthetic is { } shape
            ? SyntheticStore.Get(SyntheticModelSpec.Parse(shape), shape, context.Note, cancellationToken)
            : options.Model ?? RepositoryFolder.SampleModel();

        using ForetokenModel model = await ForetokenModel.LoadAsync(
            modelPath,
            ProfileOption.ToModelOptions(options.Profile, options.GpuLayers),
            progress: null,
            cancellationToken
        );
        IImportancePolicy importance = ImportancePolicies.Get(options.Importance, model.Profile);
        IReadOnlyList<BenchCase> cases = options.Cases(model.Info.LayerCount);
        SessionOptions sessionOptions = new()
        {
            ContextSize = options.Lengths.Max() + options.DecodeTokens + 1,
            Threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount,
            BatchSize = options.BatchSize,
            UBatchSize = options.UBatchSize,
            KvCacheType = options.KvCacheType,
            FlashAttention = options.FlashAttention,
            Staged = true,
        };
        using ForetokenEngine foretoken = new(model, sessionOptions, importance);
        // what the context made of the options: a short one also limits its batches
        BenchSettings settings = Settings(options, importance, foretoken.Session.Info);
        using BaselineEngine baseline = await BaselineEngine.StartAsync(
            build.Baseline,
            modelPath,
            settings,
            cancellationToken
        );

        string name =
            options.Synthetic
            ?? (
                GgufShardName.Parse(modelPath) is { } shard
                    ? Path.GetFileName(shard.Prefix)
                    : Path.GetFileNameWithoutExtension(modelPath)
            );
        MachineInfo machine = MachineInfo.Read();
        DateTimeOffset created = TimeProvider.System.GetUtcNow();
        IReadOnlyList<BenchRow> rows = await MeasureAsync(
            context,
            cases.Count,
            settings.Pairs,
            onRun =>
                new BenchRunner(foretoken, baseline).Run(
                    cases,
                    settings,
                    name,
                    model.Info.VocabularySize,
                    onRun,
                    cancellationToken
                )
        );
        using JsonDocument libraryInfo = JsonDocument.Parse(library.BuildInfo);
        BenchReport report = new()
        {
            CreatedAt = created,
            Model = new BenchModel
            {
                Name = name,
                Description = model.Info.Description,
                IsSynthetic = options.Synthetic is not null,
                Architecture = model.Info.Architecture,
                Layers = model.Info.LayerCount,
                EmbeddingSize = model.Info.EmbeddingSize,
                VocabularySize = model.Info.VocabularySize,
                Parameters = model.Info.ParameterCount,
                SizeBytes = model.Info.SizeBytes,
            },
            Machine = machine,
            Build = new BenchBuild
            {
                LlamaRelease = build.Release,
                PatchHash = build.PatchHash,
                Key = build.Key,
                Options = build.Options,
                Compiler = build.Compiler,
                BuildType = build.BuildType,
                Library = libraryInfo.RootElement.Clone(),
                BaselineSystemInfo = baseline.Info.GetProperty("system_info").GetString()!.Trim(),
            },
            Settings = settings,
            Exactness = BenchRunner.Exactness(cases, rows),
            Rows = rows,
        };
        await WriteAsync(context, options, report, cancellationToken);
        return report.Exactness is { SameFirstToken: false } or { SameDecodedTokens: false }
            ? ExitCode.Failed
            : ExitCode.Ok;
    }

    private static async Task WriteAsync(
        CliContext context,
        BenchOptions options,
        BenchReport report,
        CancellationToken cancellationToken
    )
    {
        if (options.Json == "-")
        {
            context.WriteRaw(report.ToJson());
            return;
        }
        context.Output.Write(BenchTable.Render(report));
        if (options.Json is { } path)
        {
            await File.WriteAllTextAsync(path, report.ToJson() + "\n", cancellationToken);
            context.Note($"The raw samples are in {path}.");
        }
    }

    /// <summary>Runs the measurements off this thread, with a bar where there is a terminal.</summary>
    private static async Task<IReadOnlyList<BenchRow>> MeasureAsync(
        CliContext context,
        int cases,
        int pairs,
        Func<Action, IReadOnlyList<BenchRow>> measure
    )
    {
        if (!context.Errors.Profile.Capabilities.Interactive)
        {
            return await Task.Factory.StartNew(
                () => measure(() => { }),
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default
            );
        }
        return await context
            .Errors.Progress()
            .AutoClear(true)
            // drawing costs a core's time too: a few times a second is enough
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new RemainingTimeColumn())
            .StartAsync(async progress =>
            {
                ProgressTask bar = progress.AddTask("measuring", maxValue: BenchRunner.CountRuns(cases, pairs));
                return await Task.Factory.StartNew(
                    () => measure(() => bar.Increment(1)),
                    CancellationToken.None,
                    TaskCreationOptions.LongRunning,
                    TaskScheduler.Default
                );
            });
    }

    private static BenchSettings Settings(BenchOptions options, IImportancePolicy importance, ContextInfo context) =>
        new()
        {
            Pairs = options.Pairs,
            WarmupsPerRow = BenchRunner.Warmups,
            Seed = options.Seed,
            Order = BenchRunner.Order,
            DecodeTokens = options.DecodeTokens,
            ContextSize = context.ContextSize,
            Threads = context.BatchThreads,
            BatchSize = context.BatchSize,
            UbatchSize = context.UBatchSize,
            KvCacheType = KvTypes.First(pair => pair.Value == options.KvCacheType).Key,
#pragma warning disable CA1308 // llama.cpp's spelling
            FlashAttention = options.FlashAttention.ToString().ToLowerInvariant(),
#pragma warning restore CA1308
            GpuLayers = options.GpuLayers,
            Importance = importance.Name,
            Environment = NativeVariables(),
        };

    /// <summary>The child process inherits them, so both sides have the same.</summary>
    private static SortedDictionary<string, string> NativeVariables()
    {
        string[] prefixes = ["OMP_", "GOMP_", "KMP_", "GGML_", "LLAMA_"];
        SortedDictionary<string, string> variables = new(StringComparer.Ordinal);
        foreach (System.Collections.DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            string name = (string)variable.Key;
            if (Array.Exists(prefixes, prefix => name.StartsWith(prefix, StringComparison.Ordinal)))
            {
                variables[name] = (string?)variable.Value ?? "";
            }
        }
        return variables;
    }

    /// <summary>A benchmark checks its own configuration before it spends minutes on it.</summary>
    private static void Validate(BenchOptions options)
    {
        if (options.Model is not null && options.Synthetic is not null)
        {
            throw new CliException("--model and --synthetic both name a model; give one.");
        }
        if (options.Lengths.Count == 0 || options.Lengths.Any(length => length < 1))
        {
            throw new CliException("--lengths are positive numbers of tokens, for example 512,1024.");
        }
        if (options.UBatchSize > options.BatchSize)
        {
            throw new CliException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"--ubatch {options.UBatchSize} is more than --batch {options.BatchSize}; a graph is a part of a batch."
                )
            );
        }
        ImportancePolicies.EnsureKnown(options.Importance);
        foreach (double speed in options.Speeds ?? [])
        {
            _ = new PrefillRequest { TargetTtftSpeedup = speed };
        }
    }
}

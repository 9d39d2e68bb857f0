using System.Globalization;
using System.Text.Json;
using Foretoken.Cli.Bench.Rivals;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Models;
using Foretoken.Cli.Options;
using Foretoken.Cli.Plan;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Interop;
using Foretoken.Planning;
using Foretoken.Sessions;
using Foretoken.Tuning.Models;

namespace Foretoken.Cli.Bench;

/// <summary>A whole benchmark: checks, models in turn, report.</summary>
internal sealed class Benchmark
{
    private readonly CliContext _context;
    private readonly BenchOptions _options;
    private readonly List<Measured> _measured = [];
    private readonly List<string> _notes = [];
    private string? _baselineSystemInfo;
    private bool _isTimeUp;

    private Benchmark(CliContext context, BenchOptions options)
    {
        _context = context;
        _options = options;
    }

    /// <exception cref="CliException">Something cannot be measured; the message says what to do.</exception>
    internal static Task<int> RunAsync(CliContext context, BenchOptions options, CancellationToken cancellationToken) =>
        new Benchmark(context, options).RunAsync(cancellationToken);

    private async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        Validate();
        NativeBuild.RefuseDebug(typeof(ForetokenModel).Assembly, typeof(Benchmark).Assembly);
        NativeLibraryInfo library = ForetokenModel.GetNativeLibrary();
        NativeBuild build = NativeBuild.Find(
            library,
            RepositoryFolder.Find("artifacts", "native")
                ?? throw new CliException(
                    "There is no unpatched llama.cpp to compare with: no artifacts/native folder above this program. The benchmark runs in a clone of the repository, with './run bench'."
                )
        );
        // what is missing is better known now than after the first model
        string[] files = [.. ModelFiles()];
        foreach (string file in files)
        {
            ModelFileCheck.Check(file, new ModelFileCheckOptions { RequireStaging = true, ContextSize = 1 });
        }

        MachineInfo machine = MachineInfo.Read();
        DateTimeOffset created = TimeProvider.System.GetUtcNow();
        string? stopped = null;
        int exitCode = ExitCode.Ok;
        try
        {
            for (int i = 0; i < files.Length + _options.Synthetics.Count && !_isTimeUp; i++)
            {
                await MeasureAsync(build, i, files, created, cancellationToken);
            }
        }
        catch (OperationCanceledException) when (HasMeasured)
        {
            (stopped, exitCode) = ("cancelled.", ExitCode.Cancelled);
        }
        // half an hour of measurements is not lost because the last run failed
        catch (Exception e) when (HasMeasured && e is CliException or ForetokenException or IOException)
        {
            (stopped, exitCode) = (ErrorText.Describe(e), ExitCode.Failed);
            ErrorText.Write(_context.Errors, stopped);
        }
        if (_isTimeUp)
        {
            stopped = FormattableString.Invariant($"the {_options.MaxMinutes:0.##} minutes of --max-minutes are over.");
        }

        BenchReport report = Report(build, library, machine, created, stopped);
        await MeasuredResult.WriteAsync(
            _context,
            _options.Json,
            _options.Html,
            report.ToJson,
            () => BenchTable.Render(report),
            () => BenchPage.Render(report)
        );
        return exitCode != ExitCode.Ok ? exitCode
            : report.Exactness is { SameFirstToken: false } or { SameDecodedTokens: false }
            || report.Promises.OutOfRange > 0
                ? ExitCode.Failed
            : ExitCode.Ok;
    }

    private bool HasMeasured => _measured.Exists(model => model.Measurements.Runs.Count > 0);

    private IEnumerable<string> ModelFiles() =>
        _options.Models.Count > 0 || _options.Synthetics.Count > 0 ? _options.Models : [RepositoryFolder.SampleModel()];

    /// <summary>One model: loads it on both sides, measures, and unloads it.</summary>
    private async Task MeasureAsync(
        NativeBuild build,
        int index,
        string[] files,
        DateTimeOffset started,
        CancellationToken cancellationToken
    )
    {
        string? shape = index < files.Length ? null : _options.Synthetics[index - files.Length];
        string path = shape is null
            ? files[index]
            : SyntheticStore.Get(SyntheticModelSpec.Parse(shape), shape, _context.Note, cancellationToken);
        using ForetokenModel model = await ForetokenModel.LoadAsync(
            path,
            ProfileOption.ToModelOptions(shape is null ? _options.Profile : null, _options.Devices),
            progress: null,
            cancellationToken
        );
        IImportancePolicy importance = ImportancePolicies.Get(_options.Importance, model.Profile?.Predictors);
        IReadOnlyList<BenchCase> cases = _options.Cases(model.Info.LayerCount, model.Info.TrainingContextSize);
        int longest = cases.Max(what => what.PromptTokens);
        string name = shape ?? Measurand.NameOf(path);
        if (longest > model.Info.TrainingContextSize)
        {
            _notes.Add(
                FormattableString.Invariant(
                    $"{name} was trained for {model.Info.TrainingContextSize} tokens; longer prompts tell of time only."
                )
            );
        }
        if (_options.Devices.RpcServers.Count > 0)
        {
            _notes.Add($"{name}: the CPU time of the RPC servers is not counted, only their time on the clock.");
        }
        using ForetokenEngine foretoken = new(
            model,
            new SessionOptions
            {
                ContextSize = longest + _options.DecodeTokens + 1,
                Threads = _options.Threads > 0 ? _options.Threads : Environment.ProcessorCount,
                BatchSize = _options.BatchSize,
                UBatchSize = _options.UBatchSize,
                KvCacheType = _options.KvCacheType,
                FlashAttention = _options.FlashAttention,
                Staged = true,
            },
            importance
        );
        // what the context made of the options: a short one also limits its batches
        ContextInfo session = foretoken.Session.Info;
        BenchSettings settings = Settings(session);
        using BaselineEngine baseline = await BaselineEngine.StartAsync(
            build.Baseline,
            path,
            settings,
            session.ContextSize,
            cancellationToken
        );
        _baselineSystemInfo = baseline.Info.GetProperty("system_info").GetString()!.Trim();

        using RivalSet rivals = await RivalSet.StartAsync(_options, path, session, _context.Note, cancellationToken);
        BenchMeasurements measurements = new();
        Measured measured = new(
            name,
            shape is not null,
            model.Info,
            importance.Name,
            settings,
            session,
            cases,
            rivals.All,
            measurements
        );
        _measured.Add(measured);
        foreach (IRival rival in rivals.All)
        {
            _notes.Add($"{rival.Name}: {rival.Note}");
        }

        BenchRun run = new()
        {
            Cases = cases,
            Rounds = _options.Rounds,
            Seed = _options.Seed,
            DecodeTokens = _options.DecodeTokens,
            VocabularySize = model.Info.VocabularySize,
            Costs = new CountedPrefillCost(model.Shape),
            Cores = Environment.ProcessorCount,
            Rivals = rivals.All.Count,
            RivalText = rivals.All.Count > 0 ? new RivalTexts(model, _options.Seed).Create : (_, _) => "",
            MaxDuration = TimeLeft(started, files.Length + _options.Synthetics.Count - index),
        };
        measured.CalibrationSeconds = await CalibrateAsync(foretoken, cancellationToken);
        BenchRunner runner = new(foretoken, baseline, rivals.All, new MachineLoad(), TimeProvider.System);
        BenchEstimate estimate = await ProgressView.OnThread(() => runner.Probe(run, cancellationToken));
        TimeSpan expected = BenchRunner.Estimate(run, estimate);
        _context.Note(
            $"{name}: {Describe(run)}, {ProgressView.About(expected)}{(run.MaxDuration < expected ? ", of which --max-minutes leaves less" : "")}. Ctrl+C stops and keeps what was measured."
        );
        bool isComplete = true;
        await ProgressView.RunAsync<BenchProgress>(
            _context,
            progress => (progress.Text + ProgressView.Left(progress.Remaining), progress.Fraction),
            progress => isComplete = runner.Run(run, estimate, measurements, progress, cancellationToken)
        );
        _isTimeUp |= !isComplete;
    }

    /// <summary>Promises are about this machine, so it is measured first.</summary>
    private async Task<double?> CalibrateAsync(ForetokenEngine foretoken, CancellationToken cancellationToken)
    {
        if (_options.CalibrationSeconds <= 0)
        {
            return null;
        }
        TimeSpan budget = TimeSpan.FromSeconds(_options.CalibrationSeconds);
        _context.Note(FormattableString.Invariant($"Measuring this machine, {budget.TotalSeconds:0} s."));
        CalibrationResult result = await ProgressView.OnThread(() => foretoken.Calibrate(budget, cancellationToken));
        if (!result.IsEnough)
        {
            _notes.Add(
                FormattableString.Invariant(
                    $"{budget.TotalSeconds:0} s were too short to measure this machine, so the first promises come from counting operations; --calibrate gives more."
                )
            );
        }
        return result.Time.TotalSeconds;
    }

    private static string Describe(BenchRun run) =>
        FormattableString.Invariant(
            $"{run.Cases.Count} {(run.Cases.Count == 1 ? "row" : "rows")} beside unpatched llama.cpp, a warm-up and {run.Rounds} {(run.Rounds == 1 ? "round" : "rounds")}"
        );

    // what is left, shared by the models that are left
    private TimeSpan? TimeLeft(DateTimeOffset started, int models) =>
        _options.MaxMinutes is { } minutes
            ? (TimeSpan.FromMinutes(minutes) - (TimeProvider.System.GetUtcNow() - started)) / models
            : null;

    private BenchReport Report(
        NativeBuild build,
        NativeLibraryInfo library,
        MachineInfo machine,
        DateTimeOffset created,
        string? stopped
    )
    {
        using JsonDocument libraryInfo = JsonDocument.Parse(library.BuildInfo);
        BenchRow[] rows = [.. _measured.SelectMany(model => model.Rows)];
        return new BenchReport
        {
            Format = BenchReport.CurrentFormat,
            CreatedAt = created,
            IsComplete = stopped is null,
            StoppedBecause = stopped,
            Notes = _notes,
            Machine = machine,
            Build = new BenchBuild
            {
                LlamaRelease = build.Release,
                PatchHash = build.PatchHash,
                Key = build.Key,
                Options = build.Options,
                Compiler = build.Compiler,
                BuildType = build.BuildType,
                Tree = build.Tree,
                Version = Measurand.LibraryVersion,
                Library = libraryInfo.RootElement.Clone(),
                BaselineSystemInfo = _baselineSystemInfo ?? "",
            },
            Settings = _measured[0].Settings with
            {
                Lengths =
                [
                    .. _measured.SelectMany(model => model.Cases).Select(what => what.PromptTokens).Distinct().Order(),
                ],
            },
            Models = [.. _measured.Select(model => model.ToModel())],
            Promises = PromiseSummary.Of(rows),
            Exactness = BenchRows.Exactness(rows),
            Rows = rows,
            Baseline = [.. _measured.SelectMany(model => BenchRows.Baselines(model.Measurements, model.Name))],
            Rivals = [.. _measured.SelectMany(model => BenchRows.Rivals(model.Measurements, model.Rivals, model.Name))],
        };
    }

    private BenchSettings Settings(ContextInfo context) =>
        new()
        {
            Lengths = [],
            Targets = _options.AskedTargets,
            Plans = [.. _options.Plans.Select(PlanText.Format)],
            Pairs = _options.Rounds,
            WarmUp = "every row and the baseline once at the shortest length, thrown away",
            Seed = _options.Seed,
            Order = BenchSchedule.Order,
            DecodeTokens = _options.DecodeTokens,
            Threads = context.BatchThreads,
            BatchSize = context.BatchSize,
            UbatchSize = context.UBatchSize,
            KvCacheType = BenchCommand.KvTypes.First(pair => pair.Value == _options.KvCacheType).Key,
#pragma warning disable CA1308 // llama.cpp's spelling
            FlashAttention = _options.FlashAttention.ToString().ToLowerInvariant(),
#pragma warning restore CA1308
            GpuLayers = _options.Devices.ApplyTo(new ModelOptions()).OffloadedLayers,
            Devices = context.Devices,
            AskedDevices = _options.Devices.Devices,
            RpcServers = _options.Devices.RpcServers,
            BaselineRpcServers = _options.BaselineRpcServers,
            MaxMinutes = _options.MaxMinutes,
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
    private void Validate()
    {
        if (_options.Lengths is { } lengths && (lengths.Count == 0 || lengths.Any(length => length < 1)))
        {
            throw new CliException("--lengths are positive numbers of tokens, for example 512,1024.");
        }
        if (_options.UBatchSize > _options.BatchSize)
        {
            throw new CliException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"--ubatch {_options.UBatchSize} is more than --batch {_options.BatchSize}; a graph is a part of a batch."
                )
            );
        }
        if (
            (_options.Rivals.Count > 0 || _options.RivalCommand is not null)
            && _options.Models.Count + _options.Synthetics.Count > 1
        )
        {
            throw new CliException("A rival serves one model; name one model beside it.");
        }
        if (_options.Devices.RpcServers.Count != _options.BaselineRpcServers.Count)
        {
            throw new CliException(
                $"An RPC server serves one process at a time, and the unpatched side is a second one: --rpc names {_options.Devices.RpcServers.Count} servers, so name as many others on the same machines with --baseline-rpc, not {_options.BaselineRpcServers.Count}."
            );
        }
        ImportancePolicies.EnsureKnown(_options.Importance);
        foreach (double target in _options.AskedTargets)
        {
            PrefillPlanner.EnsureValidTarget(target);
        }
        foreach (string shape in _options.Synthetics)
        {
            SyntheticModelSpec.Parse(shape);
        }
        foreach (string rival in _options.Rivals)
        {
            RivalOption.Parse(rival);
        }
        CommandOptions.EnsureWritable("--json", _options.Json);
        CommandOptions.EnsureWritable("--html", _options.Html);
    }

    /// <summary>A model, and what was measured of it so far.</summary>
    private sealed record Measured(
        string Name,
        bool IsSynthetic,
        ModelInfo Info,
        string Importance,
        BenchSettings Settings,
        ContextInfo Session,
        IReadOnlyList<BenchCase> Cases,
        IReadOnlyList<IRival> Rivals,
        BenchMeasurements Measurements
    )
    {
        internal IReadOnlyList<BenchRow> Rows => BenchRows.Of(Cases, Measurements, Name, Settings.Seed);

        internal double? CalibrationSeconds { get; set; }

        internal BenchModel ToModel() =>
            new()
            {
                Name = Name,
                Description = Info.Description,
                IsSynthetic = IsSynthetic,
                Architecture = Info.Architecture,
                Layers = Info.LayerCount,
                EmbeddingSize = Info.EmbeddingSize,
                VocabularySize = Info.VocabularySize,
                Parameters = Info.ParameterCount,
                SizeBytes = Info.SizeBytes,
                ContextSize = Session.ContextSize,
                Importance = Importance,
                CalibrationSeconds = CalibrationSeconds,
                Rounds = Measurements.Rounds,
                PeakMemoryBytes = Measurements.PeakMemoryBytes,
                BaselinePeakMemoryBytes = Measurements.BaselinePeakMemoryBytes,
            };
    }
}

using System.CommandLine;
using System.Globalization;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Options;
using Foretoken.Cli.Plan;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Sessions;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Quality;

/// <summary><c>foretoken quality</c>: what thinning costs in quality, for each importance and speedup.</summary>
internal static class QualityCommand
{
    private static readonly (string Name, PromptKind Kind, QuestionPlace Place)[] GeneratedKinds =
    [
        ("retrieval-last", PromptKind.Retrieval, QuestionPlace.Last),
        ("retrieval-first", PromptKind.Retrieval, QuestionPlace.First),
        ("summary", PromptKind.Summary, QuestionPlace.Last),
        ("continuation", PromptKind.Continuation, QuestionPlace.Last),
    ];

    internal static Command Create(CliContext context)
    {
        QualityOptions defaults = new();
        Argument<string?> model = CommandOptions.Model();
        Option<string?> modelOption = new("--model", "-m") { HelpName = "path", Description = "The same as MODEL." };
        Option<string[]> importance = NameList.Option(
            "--importance",
            "name,...",
            $"How the tokens to keep are chosen. Default: all of {string.Join(", ", ImportancePolicies.Names)}; the first where there is a profile."
        );
        Option<string?> profile = ProfileOption.Create();
        Option<double[]> targets = CommandOptions.Numbers(
            "--targets",
            "1.5,2,2.9",
            "Speedups to ask for. Default: 1.5,2,2.9; beside --plan none."
        );
        Option<string[]> plans = new("--plan")
        {
            HelpName = PlanText.HelpName,
            Description = $"A plan to judge, such as {PlanText.Examples}; may be given several times.",
            DefaultValueFactory = _ => [],
        };
        Option<int[]> lengths = CommandOptions.WholeNumbers(
            "--lengths",
            "1024,2048",
            "Prompt lengths in tokens. Default: 1024."
        );
        Option<int> perKind = new("--prompts-per-kind", "-n")
        {
            HelpName = "n",
            Description =
                "Generated prompts of each kind and length. The default gives a first look; use 40 for figures.",
            DefaultValueFactory = _ => defaults.PromptsPerKind,
        };
        Option<string[]> kinds = NameList.Option(
            "--kinds",
            "name,...",
            $"Kinds of prompts to generate. Default: {string.Join(", ", GeneratedKinds.Select(kind => kind.Name))}."
        );
        Option<bool> blind = new("--blind")
        {
            Description =
                "Also ask every question in the next turn, so that the document is thinned before it is known.",
        };
        Option<bool> thresholds = new("--thresholds")
        {
            Description =
                "Also judge every speedup with learned thresholds, which leave out more where little of a prompt matters; of importances that have them.",
        };
        Option<int> seed = CommandOptions.Seed(defaults.Seed);
        Option<string[]> documents = CommandOptions.Documents();
        Option<string?> prompts = new("--prompts")
        {
            HelpName = "file.jsonl",
            Description =
                "Your own prompts instead of generated ones, one JSON object a line: document, question, question_at (last or first), kind (retrieval or summary), expect (of a retrieval: text that an answer must contain), answer_start (optional).",
        };
        Option<string[]> lora = CommandOptions.Lora("A LoRA adapter to compute with, full prefill included.");
        Option<bool> fullWithoutLora = new("--full-without-lora")
        {
            Description =
                "Compare with full prefill without the adapters of --lora: how far they make up for what is left out.",
        };
        Option<bool> noRestore = new("--no-restore")
        {
            Description =
                "Leave out what upper layers dropped for good: no passage comes back when the answer begins to quote it.",
        };
        Option<string?> complete = new("--complete")
        {
            HelpName = "fill|exact",
            Description =
                "Complete the thinned prompt behind the first tokens of the answer, as a chat does: fill (what upper layers lack) or exact (all tokens again, in order); with --blind, before the question comes.",
        };
        complete.AcceptOnlyFromAmong("fill", "exact");
        Option<int> byToken = new("--by-token")
        {
            HelpName = "n",
            Description = "The output token in front of which the completion is finished.",
            DefaultValueFactory = _ => new CompletionOptions().ByOutputToken,
        };
        byToken.Whole(2);
        Option<int> summaryTokens = new("--summary-tokens")
        {
            HelpName = "n",
            Description = "Tokens of a summary that are compared, at most.",
            DefaultValueFactory = _ => defaults.SummaryTokens,
        };
        summaryTokens.Whole(1);
        Option<int> threads = CommandOptions.Threads();
        DeviceOptions devices = new();
        Option<string> flashAttention = CommandOptions.FlashAttention();
        Option<string?> json = CommandOptions.Json();
        Option<string?> html = CommandOptions.Html("Write a page with a plot of quality against measured speedup.");
        perKind.Whole(1);

        Command command = new(
            "quality",
            "Measures what thinning costs in quality beside what it gains in time, for each importance and speedup."
        )
        {
            model,
            modelOption,
            importance,
            profile,
            targets,
            plans,
            lengths,
            perKind,
            kinds,
            blind,
            thresholds,
            seed,
            documents,
            prompts,
            lora,
            fullWithoutLora,
            noRestore,
            complete,
            byToken,
            summaryTokens,
            threads,
            flashAttention,
            json,
            html,
        };
        devices.AddTo(command);
        command.Validators.Add(result =>
        {
            if (result.GetValue(fullWithoutLora) && result.GetValue(lora) is not { Length: > 0 })
            {
                result.AddError(
                    "--full-without-lora compares with the model without its adapters; name some with --lora."
                );
            }
            // of what is no number, that is said
            if (
                result.GetResult(complete) is null
                && result.GetResult(byToken) is { Implicit: false, Tokens: [{ Value: var token }] }
                && NumberText.TryParseWhole(token, out _, out _)
            )
            {
                result.AddError("--by-token says until when a prompt is completed; say --complete, too.");
            }
        });
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                    RunAsync(
                        context,
                        new QualityOptions
                        {
                            Model = CommandOptions.ModelOf(parsed.GetValue(model), parsed.GetValue(modelOption)),
                            Profile = parsed.GetValue(profile),
                            Importances = parsed.GetValue(importance) ?? [],
                            Targets = parsed.GetValue(targets) is { Length: > 0 } given ? given : null,
                            Plans = [.. (parsed.GetValue(plans) ?? []).Select(PlanText.Parse)],
                            Lengths = parsed.GetValue(lengths) is { Length: > 0 } some ? some : defaults.Lengths,
                            PromptsPerKind = parsed.GetValue(perKind),
                            Kinds = parsed.GetValue(kinds) ?? [],
                            Blind = parsed.GetValue(blind),
                            Thresholds = parsed.GetValue(thresholds),
                            Seed = parsed.GetValue(seed),
                            Documents = parsed.GetValue(documents) ?? [],
                            Prompts = parsed.GetValue(prompts),
                            Adapters = CommandOptions.LoraOf(parsed, lora),
                            FullWithoutAdapters = parsed.GetValue(fullWithoutLora),
                            RestoreQuotes = !parsed.GetValue(noRestore),
                            Completion = parsed.GetValue(complete) is { } grade
                                ? new CompletionOptions
                                {
                                    Grade = grade == "fill" ? CompletionGrade.Fill : CompletionGrade.Exact,
                                    ByOutputToken = parsed.GetValue(byToken),
                                }
                                : null,
                            SummaryTokens = parsed.GetValue(summaryTokens),
                            Threads = parsed.GetValue(threads),
                            Devices = devices.Read(parsed),
                            FlashAttention = CommandOptions.FlashAttentionOf(parsed, flashAttention),
                            Json = CommandOptions.JsonOf(parsed, json),
                            Html = parsed.GetValue(html),
                        },
                        cancellationToken
                    )
                )
        );
        return command;
    }

    internal static async Task<int> RunAsync(
        CliContext context,
        QualityOptions options,
        CancellationToken cancellationToken
    )
    {
        // everything that can be wrong is found before minutes are spent
        foreach (string name in options.Importances)
        {
            ImportancePolicies.EnsureKnown(name);
        }

        foreach (double target in options.Targets ?? [])
        {
            PrefillPlanner.EnsureValidTarget(target);
        }

        PromptSpec[][] specs = Specs(options);
        CommandOptions.EnsureWritable("--json", options.Json);
        CommandOptions.EnsureWritable("--html", options.Html);
        IReadOnlyList<DocumentPrompt>? own = options.Prompts is { } file
            ? PromptFile.Read(
                file,
                key => context.Note($"{Path.GetFileName(file)}: '{key}' means nothing here and is ignored.")
            )
            : null;
        string[] documents = own is null ? SampleDocuments.Or(options.Documents) : [];
        TextCorpus? corpus = own is null ? TextCorpus.FromFiles(documents) : null;
        NativeBuild.RefuseDebug(typeof(ForetokenModel).Assembly, typeof(QualityCommand).Assembly);
        string modelPath = options.Model ?? RepositoryFolder.SampleModel();

        using ForetokenModel model = await ForetokenModel.LoadAsync(
            modelPath,
            // the same plan for every prompt of a row
            ProfileOption.ToModelOptions(options.Profile, options.Devices, useMeasuredCosts: false),
            progress: null,
            cancellationToken
        );
        using LoadedAdapters adapters = new(model, options.Adapters);
        IReadOnlyList<string> names =
            options.Importances.Count > 0
                ? options.Importances
                : ImportancePolicies.NamesFor(model.Profile is not null);
        QualityCase[] cases = Cases(
            options,
            [.. names.Select(name => ImportancePolicies.Get(name, model.Profile?.Predictors))],
            model.Info.LayerCount
        );
        foreach (QualityCase one in cases)
        {
            one.Plan?.EnsureFits(model.Info.LayerCount);
        }

        IReadOnlyList<DocumentPrompt> prompts =
            own ?? Generate(new PromptGenerator(corpus!, model), specs, options.PromptsPerKind);
        if (options.Blind)
        {
            prompts = [.. prompts.SelectMany(AlsoInNextTurn)];
        }

        QualityEvaluatorOptions evaluatorOptions = new()
        {
            Threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount,
            FlashAttention = options.FlashAttention,
            Adapters = adapters.Scaled,
            FullWithoutAdapters = options.FullWithoutAdapters,
            RestoreQuotes = options.RestoreQuotes,
            Completion = options.Completion,
            SummaryTokens = options.SummaryTokens,
        };
        context.Note(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{prompts.Count} prompts, each prefilled in full and thinned in {cases.Length} {(cases.Length == 1 ? "way" : "ways")}; Ctrl+C stops and shows what there is."
            )
        );
        MachineInfo machine = MachineInfo.Read();
        DateTimeOffset created = TimeProvider.System.GetUtcNow();
        List<QualitySample> samples = [];
        bool isComplete = true;
        using (QualityEvaluator evaluator = new(model, evaluatorOptions))
        {
            try
            {
                await ProgressView.RunAsync<QualityProgress>(
                    context,
                    progress => (Describe(progress), progress.Fraction),
                    progress => evaluator.Evaluate(prompts, cases, samples.Add, progress, cancellationToken)
                );
            }
            catch (OperationCanceledException) when (samples.Count > 0)
            {
                isComplete = false;
            }
        }

        QualityReport report = Report(
            options,
            names,
            cases,
            prompts,
            samples,
            model,
            machine,
            evaluatorOptions,
            documents
        ) with
        {
            CreatedAt = created,
            IsComplete = isComplete,
        };
        IReadOnlyList<QualityLine> lines = QualityLine.From(samples);
        await MeasuredResult.WriteAsync(
            context,
            options.Json,
            options.Html,
            report.ToJson,
            () => QualityTableView.Render(report, lines, samples),
            () => QualityPage.Render(report, lines)
        );
        if (!isComplete)
        {
            context.Note("Cancelled; this is what had been measured.");
        }

        return isComplete ? ExitCode.Ok : ExitCode.Cancelled;
    }

    internal static string Describe(QualityProgress progress) =>
        string.Create(CultureInfo.InvariantCulture, $"{progress.PromptsDone} of {progress.Prompts} prompts")
        + ProgressView.Left(progress.Remaining);

    /// <summary>The prompt, and where it asks a question behind its document, the same with the question in the next turn.</summary>
    internal static IEnumerable<DocumentPrompt> AlsoInNextTurn(DocumentPrompt prompt) =>
        prompt is { QuestionAt: QuestionPlace.Last, Kind: PromptKind.Retrieval or PromptKind.Summary }
            ? [prompt, prompt.AskedInNextTurn()]
            : [prompt];

    private static QualityReport Report(
        QualityOptions options,
        IReadOnlyList<string> importances,
        QualityCase[] cases,
        IReadOnlyList<DocumentPrompt> prompts,
        List<QualitySample> samples,
        ForetokenModel model,
        MachineInfo machine,
        QualityEvaluatorOptions evaluator,
        string[] documents
    )
    {
        // of a run that was cancelled, not all
        HashSet<string> measured = [.. samples.Select(sample => sample.Prompt)];
        return new QualityReport
        {
            CreatedAt = default,
            IsComplete = true,
            MeasuredAgainst =
                $"our own full prefill of the same prompt in the same run{(options.FullWithoutAdapters ? ", without the adapters" : "")}; not unpatched llama.cpp",
            Model = QualityModel.Of(model),
            Machine = machine,
            Build = QualityBuild.Read(),
            Settings = new QualitySettings
            {
                Importances = importances,
                Targets = [.. cases.Select(one => one.Target).OfType<double>().Distinct()],
                Plans = [.. options.Plans.Select(PlanText.Format)],
                Lengths = options.Prompts is null ? options.Lengths : [],
                PromptsPerKind = options.Prompts is null ? options.PromptsPerKind : null,
                Blind = options.Blind,
                Thresholds = options.Thresholds,
                Seed = options.Seed,
                Documents = [.. documents.Select(path => Path.GetFileName(path))],
                PromptFile = Path.GetFileName(options.Prompts),
                AnswerTokens = evaluator.AnswerTokens,
                SummaryTokens = evaluator.SummaryTokens,
                Adapters =
                [
                    .. evaluator.Adapters.Select(one => new AdapterReport(
                        Path.GetFileName(one.Adapter.Path),
                        one.Scale
                    )),
                ],
                FullWithoutAdapters = evaluator.FullWithoutAdapters,
                RestoreQuotes = evaluator.RestoreQuotes,
                Completion = evaluator.Completion,
                Threads = evaluator.Threads,
                GpuLayers = options.Devices.GpuLayers,
#pragma warning disable CA1308 // as the option is spelled
                FlashAttention = options.FlashAttention.ToString().ToLowerInvariant(),
#pragma warning restore CA1308
            },
            Rows = QualityTable.Summarize(samples),
            ByFactKind = ByFacts(samples, sample => (sample.Facts[0], (int?)null)),
            ByPlantedFacts = ByFacts(samples, sample => ((string?)null, sample.Facts.Count)),
            Prompts =
            [
                .. prompts
                    .Where(prompt => measured.Contains(prompt.Id))
                    .Select(prompt => new QualityPrompt
                    {
                        Id = prompt.Id,
                        Kind = prompt.KindName,
                        Length = prompt.Length,
                        Question = prompt.Question,
                        Expect = prompt.Expected,
                        AnswerStart = prompt.AnswerStart,
                        Facts = prompt.Facts,
                    }),
            ],
            Samples =
            [
                .. samples.Select(sample => new QualityReportSample
                {
                    Prompt = sample.Prompt,
                    Kind = sample.Kind,
                    Importance = sample.Importance,
                    Target = sample.Target,
                    Plan = sample.Plan.IsKeepAll ? null : PlanText.Format(sample.Plan),
                    PromptTokens = sample.PromptTokens,
                    ThinnedTokens = sample.ThinnedTokens,
                    PromisedSpeedup = sample.PromisedSpeedup,
                    FullPrefillMs = sample.FullPrefillMs,
                    PrefillMs = sample.PrefillMs,
                    FullDecodeMs = sample.FullDecodeMs,
                    DecodeMs = sample.DecodeMs,
                    KeptShare = sample.KeptShare,
                    ForcedTokens = sample.ForcedTokens,
                    Kl = sample.Kl,
                    KlOfFirst = sample.KlOfFirst,
                    FullArrivalsMs = sample.Completion is null ? [] : sample.FullArrivalsMs,
                    ArrivalsMs = sample.Completion is null ? [] : sample.ArrivalsMs,
                    Agreement = sample.Agreement,
                    RestoredTokens = sample.RestoredTokens,
                    AnsweredByFullPrefill = sample.AnsweredByFullPrefill,
                    Answered = sample.Answered,
                    FullAnswer = sample.FullAnswer,
                    Answer = sample.Answer,
                }),
            ],
        };
    }

    private static IReadOnlyList<QualityFactRow> ByFacts(
        List<QualitySample> samples,
        Func<QualitySample, (string? Fact, int? Planted)> by
    ) =>
        [
            .. samples
                .Where(sample => sample.AnsweredByFullPrefill is not null && sample.Facts.Count > 0)
                .GroupBy(sample =>
                    (
                        sample.Importance,
                        Target: sample.GivenPlan is null ? sample.Target : 0,
                        Plan: sample.GivenPlan?.ToString(),
                        By: by(sample)
                    )
                )
                .Select(group => new QualityFactRow
                {
                    Importance = group.Key.Importance,
                    Target = QualityTable.Median(group.Select(sample => sample.Target)),
                    Plan = group.Key.Plan,
                    Fact = group.Key.By.Fact,
                    PlantedFacts = group.Key.By.Planted,
                    Prompts = group.Count(),
                    Answered = group.Count(sample => sample.Answered == true),
                    AnsweredByFullPrefill = group.Count(sample => sample.AnsweredByFullPrefill == true),
                }),
        ];

    private static QualityCase[] Cases(QualityOptions options, IImportancePolicy[] importances, int layers)
    {
        IReadOnlyList<double> targets =
            options.Targets ?? (options.Plans.Count > 0 ? [] : QualityOptions.DefaultTargets);
        return
        [
            .. importances.SelectMany(
                (importance, i) =>
                    targets
                        .SelectMany(target =>
                            Thresholds(options, importance, layers)
                                .Select(use => new QualityCase(importance, target) { UseThresholds = use })
                        )
                        .Concat(
                            options
                                // where no token is left out, none is ranked: one importance stands for all
                                .Plans.Where(plan => i == 0 || plan.Boundaries.Count > 0)
                                .Select(plan => new QualityCase(importance, plan))
                        )
            ),
        ];
    }

    /// <summary>Without thresholds, and with them where that is asked for and the importance has some.</summary>
    private static bool[] Thresholds(QualityOptions options, IImportancePolicy importance, int layers) =>
        options.Thresholds && Enumerable.Range(1, layers - 1).Any(layer => importance.GetThreshold(layer) is not null)
            ? [false, true]
            : [false];

    private static (string Name, PromptKind Kind, QuestionPlace Place)[] Kinds(QualityOptions options)
    {
        foreach (string kind in options.Kinds)
        {
            if (!GeneratedKinds.Any(known => known.Name == kind))
            {
                throw new CliException(
                    $"There is no kind of prompt named '{kind}'. Possible: {string.Join(", ", GeneratedKinds.Select(known => known.Name))}."
                );
            }
        }

        return [.. GeneratedKinds.Where(kind => options.Kinds.Count == 0 || options.Kinds.Contains(kind.Name))];
    }

    /// <summary>What to generate; lengths and kinds are checked here, before anything is loaded.</summary>
    private static PromptSpec[][] Specs(QualityOptions options) =>
        [
            .. options.Lengths.Select(length =>
                (PromptSpec[])
                    [
                        .. Kinds(options)
                            .Select(kind => new PromptSpec
                            {
                                Set = PromptSet.Evaluation,
                                Kind = kind.Kind,
                                QuestionAt = kind.Place,
                                Length = length,
                                Seed = options.Seed,
                            }),
                    ]
            ),
        ];

    /// <summary>Prompts of the kinds in turn, so that a run that is cancelled has judged some of each.</summary>
    private static List<DocumentPrompt> Generate(PromptGenerator generator, PromptSpec[][] specs, int count)
    {
        List<DocumentPrompt> prompts = [];
        foreach (PromptSpec[] kinds in specs)
        {
            for (int i = 0; i < count; i++)
            {
                prompts.AddRange(kinds.Select(kind => generator.Create(kind, i)));
            }
        }

        return prompts;
    }
}

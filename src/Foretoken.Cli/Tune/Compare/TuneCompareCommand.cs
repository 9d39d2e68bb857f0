using System.CommandLine;
using System.Globalization;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Options;
using Foretoken.Cli.Plan;
using Foretoken.Cli.Quality;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tuning;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Tune.Compare;

/// <summary>
/// <c>foretoken tune compare</c>: how good learned importance becomes with more, and with more varied, prompts to learn from, beside the
/// importances that need no training.
/// </summary>
internal static class TuneCompareCommand
{
    // two boundaries, as the planner takes them at speeds that tell importances apart
    private static PrefillSchedule Schedule => TuningSchedules.Candidates[0];

    internal static Command Create(CliContext context)
    {
        TuneComparisonOptions defaults = new();
        Argument<string?> model = CommandOptions.Model();
        Option<int[]> counts = CommandOptions.WholeNumbers(
            "--counts",
            "8,24,80,160",
            "Numbers of prompts to learn from. Default: 8,24,80,160."
        );
        Option<string[]> facts = NameList.Option(
            "--facts",
            string.Join(',', defaults.Facts),
            "Sorts of facts in the prompts to learn from. Default: each."
        );
        Option<string[]> inputs = NameList.Option(
            "--inputs",
            string.Join(',', InputNames.All.Select(one => one.Name)),
            $"What to learn from, as for 'tune': the first from every number of prompts, the others from the largest number and facts '{TuneComparisonCase.AllFacts}'. Default: {InputNames.Of(TuningOptions.DefaultInputs)}."
        );
        Option<bool> learnedOnly = new("--learned-only")
        {
            Description = "Leave out the importances that need no training.",
        };
        Option<int> tuningLength = new("--tuning-length")
        {
            HelpName = "tokens",
            Description = "Length of a prompt to learn from.",
            DefaultValueFactory = _ => defaults.TuningLength,
        };
        Option<double> target = new("--target")
        {
            HelpName = "speedup",
            Description = "The speedup at which all are judged.",
            DefaultValueFactory = _ => defaults.Target,
        };
        Option<int> length = new("--length")
        {
            HelpName = "tokens",
            Description = "Length of a prompt to judge on.",
            DefaultValueFactory = _ => defaults.Length,
        };
        Option<int> perKind = new("--prompts-per-kind", "-n")
        {
            HelpName = "n",
            Description = "Prompts to judge on, of each kind: question last, question first, summary.",
            DefaultValueFactory = _ => defaults.PromptsPerKind,
        };
        Option<string[]> documents = CommandOptions.Documents();
        Option<string?> examples = new("--examples")
        {
            HelpName = "folder",
            Description =
                "Where to keep what was gathered, for further runs. Default: the user's cache, until the run has succeeded.",
        };
        Option<int> seed = CommandOptions.Seed(defaults.Seed);
        Option<int> threads = CommandOptions.Threads();
        DeviceOptions devices = new();
        Option<string> flashAttention = CommandOptions.FlashAttention();
        Option<string?> json = CommandOptions.Json();
        Option<string?> html = CommandOptions.Html(
            "Write a page with a plot of quality against the number of prompts learned from."
        );
        target.Number();
        tuningLength.Whole(PromptSpec.MinLength);
        length.Whole(PromptSpec.MinLength);
        perKind.Whole(1);

        Command command = new(
            "compare",
            "Compares what importance learns from several numbers and sorts of prompts, beside importances without training. Writes no profile."
        )
        {
            model,
            counts,
            facts,
            inputs,
            learnedOnly,
            tuningLength,
            target,
            length,
            perKind,
            documents,
            examples,
            seed,
            threads,
            flashAttention,
            json,
            html,
        };
        devices.AddTo(command);
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                    RunAsync(
                        context,
                        new TuneComparisonOptions
                        {
                            Model = parsed.GetValue(model),
                            Counts = parsed.GetValue(counts) is { Length: > 0 } given ? given : defaults.Counts,
                            Facts = parsed.GetValue(facts) is { Length: > 0 } sorts ? sorts : defaults.Facts,
                            Inputs = parsed.GetValue(inputs) is { Length: > 0 } names
                                ? [.. names.Select(InputNames.Parse).Distinct()]
                                : defaults.Inputs,
                            LearnedOnly = parsed.GetValue(learnedOnly),
                            TuningLength = parsed.GetValue(tuningLength),
                            Target = parsed.GetValue(target),
                            Length = parsed.GetValue(length),
                            PromptsPerKind = parsed.GetValue(perKind),
                            Documents = parsed.GetValue(documents) ?? [],
                            Examples = parsed.GetValue(examples),
                            Seed = parsed.GetValue(seed),
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
        TuneComparisonOptions options,
        CancellationToken cancellationToken
    )
    {
        // everything that can be wrong is found before minutes are spent
        PrefillPlanner.EnsureValidTarget(options.Target);
        if (options.Counts.Any(count => count < 1))
        {
            throw new CliException("--counts: to learn takes at least one prompt.");
        }

        if (
            options.Facts.FirstOrDefault(name => TuneComparisonCase.Sorts.All(sort => sort.Name != name)) is { } unknown
        )
        {
            throw new CliException(
                $"--facts: '{unknown}' is no sort of facts; possible are {string.Join(", ", TuneComparisonCase.Sorts.Select(sort => sort.Name))}."
            );
        }

        if (options.Inputs.Count > 1 && !options.Facts.Contains(TuneComparisonCase.AllFacts))
        {
            throw new CliException(
                $"--inputs: several are compared with facts of all kinds; say --facts {TuneComparisonCase.AllFacts}, too."
            );
        }

        CommandOptions.EnsureWritable("--json", options.Json);
        CommandOptions.EnsureWritable("--html", options.Html);
        string[] documents = SampleDocuments.Or(options.Documents);
        TextCorpus corpus = TextCorpus.FromFiles(documents);
        NativeBuild.RefuseDebug(typeof(ForetokenModel).Assembly, typeof(TuneCompareCommand).Assembly);
        string modelPath = options.Model ?? RepositoryFolder.SampleModel();
        using ForetokenModel model = await ForetokenModel.LoadAsync(
            modelPath,
            // a profile would steer those that were not learned here, and times those that are judged later
            options.Devices.ApplyTo(new ModelOptions { UseProfile = false, UseMeasuredCosts = false }),
            progress: null,
            cancellationToken
        );
        DateTimeOffset created = TimeProvider.System.GetUtcNow();
        MachineInfo machine = MachineInfo.Read();
        PromptGenerator generator = new(corpus, model);
        string examples = options.Examples ?? TuneCommand.ExamplesFolder($"compare-{Path.GetFileName(modelPath)}");

        List<TuneComparisonCase> cases = await LearnAsync(
            context,
            options,
            model,
            generator,
            examples,
            cancellationToken
        );
        if (!options.LearnedOnly)
        {
            cases.AddRange(
                ImportancePolicies
                    .NamesFor(hasProfile: false)
                    .Select(name => new TuneComparisonCase(ImportancePolicies.Get(name)))
            );
        }

        DocumentPrompt[] prompts = [.. Judges(generator, options)];
        PrefillPlan plan = new PrefillPlanner(model.Shape, new PrefillPlannerOptions { Schedules = [Schedule] })
            .Plan(new PlanRequest { TargetSpeedup = options.Target, NewTokens = options.Length })
            .Plan;
        (List<TuneComparisonSample> samples, bool isComplete) = await JudgeAsync(
            context,
            options,
            model,
            cases,
            plan,
            prompts,
            cancellationToken
        );
        TuneComparisonReport report = new()
        {
            CreatedAt = created,
            IsComplete = isComplete,
            Model = QualityModel.Of(model),
            Machine = machine,
            Build = QualityBuild.Read(),
            Target = options.Target,
            Length = options.Length,
            TuningLength = options.TuningLength,
            PromptsPerKind = options.PromptsPerKind,
            Seed = options.Seed,
            Documents = [.. documents.Select(path => Path.GetFileName(path))],
            Plan = PlanText.Format(plan),
            Rows = TuneComparisonCase.Summarize(cases, samples),
            Samples = samples,
        };
        await MeasuredResult.WriteAsync(
            context,
            options.Json,
            options.Html,
            report.ToJson,
            () => TuneComparisonTableView.Render(report),
            () => TuneComparisonPage.Render(report)
        );
        if (options.Examples is null && isComplete)
        {
            Directory.Delete(examples, recursive: true);
        }

        return isComplete ? ExitCode.Ok : ExitCode.Cancelled;
    }

    /// <summary>
    /// Learns from every number of prompts of every sort, and further inputs from the largest with facts of all kinds. Prompts that
    /// two of them share are answered once.
    /// </summary>
    private static async Task<List<TuneComparisonCase>> LearnAsync(
        CliContext context,
        TuneComparisonOptions options,
        ForetokenModel model,
        PromptGenerator generator,
        string examples,
        CancellationToken cancellationToken
    )
    {
        List<TuneComparisonCase> cases = [];
        foreach (
            (string name, FactForm? form) in TuneComparisonCase.Sorts.Where(sort => options.Facts.Contains(sort.Name))
        )
        {
            bool comparesInputs = name == TuneComparisonCase.AllFacts && options.Inputs.Count > 1;
            // the most first: what takes long is over, and its time left is told, before the rest is read again
            foreach (
                (int count, PredictorInputs inputs) in from count in options.Counts.OrderDescending()
                from one in options.Inputs
                where one == options.Inputs[0] || (comparesInputs && count == options.Counts.Max())
                select (count, one)
            )
            {
                context.Note(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"learning from {count} prompts, facts: {name}, inputs: {InputNames.Of(inputs)}"
                    )
                );
                ModelProfile profile = null!;
                using ModelTuner tuner = new(
                    model,
                    new TuningOptions
                    {
                        Inputs = inputs,
                        Schedules = [Schedule],
                        // so that all inputs share what was recorded
                        RecordResiduals = comparesInputs && options.Inputs.Any(ModelTuner.ReadsResidual),
                        ExamplesFolder = examples,
                        Seed = options.Seed,
                        Threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount,
                        FlashAttention = options.FlashAttention,
                    }
                );
                IReadOnlyList<DocumentPrompt> prompts = generator.CreateMix(
                    PromptSet.Tuning,
                    count,
                    options.TuningLength,
                    options.Seed,
                    form
                );
                await ProgressView.RunAsync<TuningProgress>(
                    context,
                    progress => (TuneCommand.Describe(progress), progress.Fraction),
                    progress => profile = tuner.Tune(prompts, [], progress, cancellationToken)
                );
                cases.Add(
                    new TuneComparisonCase(
                        new LearnedImportance(profile.Predictors, TuneComparisonCase.Name(name, count, inputs)),
                        name,
                        count,
                        inputs
                    )
                );
            }
        }

        return [.. cases.OrderBy(one => one.Facts, StringComparer.Ordinal).ThenBy(one => one.Prompts)];
    }

    /// <summary>Prompts of the kinds in turn, so that a run that is cancelled has judged some of each.</summary>
    private static IEnumerable<DocumentPrompt> Judges(PromptGenerator generator, TuneComparisonOptions options)
    {
        PromptSpec last = new()
        {
            Set = PromptSet.Evaluation,
            Kind = PromptKind.Retrieval,
            Length = options.Length,
            Seed = options.Seed,
        };
        PromptSpec[] specs =
        [
            last,
            last with
            {
                QuestionAt = QuestionPlace.First,
            },
            last with
            {
                Kind = PromptKind.Summary,
            },
        ];
        return Enumerable
            .Range(0, options.PromptsPerKind)
            .SelectMany(i => specs.Select(spec => generator.Create(spec, i)));
    }

    private static async Task<(List<TuneComparisonSample> Samples, bool IsComplete)> JudgeAsync(
        CliContext context,
        TuneComparisonOptions options,
        ForetokenModel model,
        List<TuneComparisonCase> cases,
        PrefillPlan plan,
        DocumentPrompt[] prompts,
        CancellationToken cancellationToken
    )
    {
        QualityCase[] ways =
        [
            .. cases.Select(one =>
                one.Prompts is null
                    ? new QualityCase(one.Importance, options.Target)
                    : new QualityCase(one.Importance, plan)
            ),
        ];
        Dictionary<string, string?> facts = prompts.ToDictionary(
            prompt => prompt.Id,
            prompt =>
                prompt.Facts.FirstOrDefault(fact => fact.IsAsked) is { } asked
                    ? TuneComparisonCase.Sorts.First(sort => sort.Form == asked.Form).Name
                    : null
        );
        context.Note(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{prompts.Length} prompts, each prefilled in full and thinned in {ways.Length} ways; Ctrl+C stops and shows what there is."
            )
        );
        List<TuneComparisonSample> samples = [];
        using QualityEvaluator evaluator = new(
            model,
            new QualityEvaluatorOptions
            {
                Threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount,
                FlashAttention = options.FlashAttention,
            }
        );
        try
        {
            await ProgressView.RunAsync<QualityProgress>(
                context,
                progress => (QualityCommand.Describe(progress), progress.Fraction),
                progress => evaluator.Evaluate(prompts, ways, Add, progress, cancellationToken)
            );
        }
        catch (OperationCanceledException) when (samples.Count > 0)
        {
            context.Note("Cancelled; this is what had been measured.");
            return (samples, false);
        }

        return (samples, true);

        void Add(QualitySample sample) =>
            samples.Add(
                new TuneComparisonSample
                {
                    Prompt = sample.Prompt,
                    Kind = sample.Kind,
                    Fact = facts[sample.Prompt],
                    Importance = sample.Importance,
                    FullPrefillMs = sample.FullPrefillMs,
                    PrefillMs = sample.PrefillMs,
                    KeptShare = sample.KeptShare,
                    Kl = sample.Kl,
                    Agreement = sample.Agreement,
                    AnsweredByFullPrefill = sample.AnsweredByFullPrefill,
                    Answered = sample.Answered,
                }
            );
    }
}

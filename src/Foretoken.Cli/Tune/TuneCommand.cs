using System.CommandLine;
using System.Globalization;
using Foretoken.Cli.Console;
using Foretoken.Cli.Machine;
using Foretoken.Cli.Options;
using Foretoken.Cli.Tune.Compare;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tuning;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Skips;

namespace Foretoken.Cli.Tune;

/// <summary><c>foretoken tune</c>: learns the profile of a model.</summary>
internal static class TuneCommand
{
    internal static Command Create(CliContext context)
    {
        TuneOptions defaults = new();
        Argument<string?> model = CommandOptions.Model();
        Option<string?> output = new("--output", "-o")
        {
            HelpName = "path",
            Description = "The profile. Default: beside the model, where it is found when the model is loaded.",
        };
        Option<string?> prompts = new("--prompts")
        {
            HelpName = "file.jsonl|folder",
            Description =
                "Your own prompts instead of generated ones: a JSONL file, or a folder of such files. One object a line, with messages (role, content), or with document, question and kind as for quality.",
        };
        Option<string[]> documents = CommandOptions.Documents();
        Option<int> count = new("--count", "-n")
        {
            HelpName = "n",
            Description = "Generated prompts to learn from.",
            DefaultValueFactory = _ => defaults.Count,
        };
        Option<int> heldOut = new("--held-out")
        {
            HelpName = "n",
            Description = "Prompts to judge on; they are not learned from.",
            DefaultValueFactory = _ => defaults.HeldOut,
        };
        Option<int> length = new("--length")
        {
            HelpName = "tokens",
            Description = "Length of a generated prompt to learn from.",
            DefaultValueFactory = _ => defaults.Length,
        };
        Option<int> heldOutLength = new("--held-out-length")
        {
            HelpName = "tokens",
            Description =
                "Length of a generated prompt to judge on. What a plan costs depends on it: short prompts leave little to choose.",
            DefaultValueFactory = _ => defaults.HeldOutLength,
        };
        Option<string> facts = new("--facts")
        {
            HelpName = "all|digits|words",
            Description = "Facts that are planted in generated prompts. Diversity decides what is learned.",
            DefaultValueFactory = _ => "all",
        };
        Option<string> inputs = new("--inputs")
        {
            HelpName = "name",
            Description =
                "What importance is learned from: attention of the lower layers (head by head), attention+matches (also words that the prompt's ends repeat), residual (stream), both, a network on the residual stream, or attention+network. The last four only at the boundaries of the plans that are measured.",
            DefaultValueFactory = _ => InputNames.Of(defaults.Inputs),
        };
        Option<bool> noMeasure = new("--no-measure")
        {
            Description = "Learn only; the planner then knows no losses and follows its default schedule.",
        };
        Option<bool> skips = new("--skips")
        {
            Description =
                "Also learn which layers the model can do without, for all prompts and for each; takes a quarter of an hour and more.",
        };
        Option<bool> keepImportance = new("--keep-importance")
        {
            Description = "Beside --skips: what the profile at --output knows of tokens stays, only skips are learned.",
        };
        Option<int> skipCount = new("--skip-count")
        {
            HelpName = "n",
            Description = "Generated prompts to learn skips from.",
            DefaultValueFactory = _ => defaults.SkipCount,
        };
        Option<int> skipLength = new("--skip-length")
        {
            HelpName = "tokens",
            Description = "Length of a generated prompt to learn skips from.",
            DefaultValueFactory = _ => defaults.SkipLength,
        };
        Option<string[]> lora = CommandOptions.Lora(
            "Beside --skips: a LoRA adapter that skips are learned with; they are then used with exactly these adapters."
        );
        Option<string?> examples = new("--examples")
        {
            HelpName = "folder",
            Description =
                "Where to keep what was gathered, for further runs. Default: the user's cache, until the tuning has succeeded.",
        };
        Option<int> seed = CommandOptions.Seed(defaults.Seed);
        Option<int> threads = CommandOptions.Threads();
        DeviceOptions devices = new();
        Option<string> flashAttention = CommandOptions.FlashAttention();
        facts.AcceptOnlyFromAmong("all", "digits", "words");
        count.Whole(1);
        heldOut.Whole(0);
        length.Whole(PromptSpec.MinLength);
        heldOutLength.Whole(PromptSpec.MinLength);
        skipCount.Whole(1);
        skipLength.Whole(PromptSpec.MinLength);

        Command command = new(
            "tune",
            "Learns a model's profile from its own answers: which tokens of a prompt matter, and what leaving others out costs."
        )
        {
            model,
            output,
            prompts,
            documents,
            count,
            heldOut,
            heldOutLength,
            length,
            facts,
            inputs,
            noMeasure,
            skips,
            keepImportance,
            skipCount,
            skipLength,
            lora,
            examples,
            seed,
            threads,
            flashAttention,
        };
        devices.AddTo(command);
        command.Add(TuneCompareCommand.Create(context));
        command.Validators.Add(result =>
        {
            if (result.GetValue(keepImportance) && !result.GetValue(skips))
            {
                result.AddError("--keep-importance leaves only skips to learn; say --skips, too.");
            }
            else if (result.GetValue(lora) is { Length: > 0 } && !result.GetValue(skips))
            {
                result.AddError("--lora is for learning skips; say --skips, too.");
            }
            // a default is not known yet while a line is checked
            else if (result.GetValue(skips) && result.GetResult(heldOut)?.GetValueOrDefault<int>() == 0)
            {
                result.AddError("--skips needs prompts to judge on; say --held-out 1 or more.");
            }
        });
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(() =>
                    RunAsync(
                        context,
                        new TuneOptions
                        {
                            Model = parsed.GetValue(model),
                            Output = parsed.GetValue(output),
                            Prompts = parsed.GetValue(prompts),
                            Documents = parsed.GetValue(documents) ?? [],
                            Count = parsed.GetValue(count),
                            HeldOut = parsed.GetValue(heldOut),
                            Length = parsed.GetValue(length),
                            HeldOutLength = parsed.GetValue(heldOutLength),
                            Facts = parsed.GetValue(facts) switch
                            {
                                "digits" => FactForm.Digits,
                                "words" => FactForm.Words,
                                _ => null,
                            },
                            Inputs = InputNames.Parse(parsed.GetValue(inputs)!),
                            Measure = !parsed.GetValue(noMeasure),
                            Skips = parsed.GetValue(skips),
                            KeepImportance = parsed.GetValue(keepImportance),
                            SkipCount = parsed.GetValue(skipCount),
                            SkipLength = parsed.GetValue(skipLength),
                            SkipAdapters = CommandOptions.LoraOf(parsed, lora),
                            Examples = parsed.GetValue(examples),
                            Seed = parsed.GetValue(seed),
                            Threads = parsed.GetValue(threads),
                            Devices = devices.Read(parsed),
                            FlashAttention = CommandOptions.FlashAttentionOf(parsed, flashAttention),
                        },
                        cancellationToken
                    )
                )
        );
        return command;
    }

    internal static async Task<int> RunAsync(
        CliContext context,
        TuneOptions options,
        CancellationToken cancellationToken
    )
    {
        // everything that can be wrong is found before minutes are spent
        string modelPath = options.Model ?? RepositoryFolder.SampleModel();
        string output = options.Output ?? ProfileFile.PathFor(modelPath);
        CheckOutput(output);
        // before anything is computed, because a missing or damaged one cannot be kept
        ModelProfile? kept = options.KeepImportance ? ProfileFile.Find(ModelFileCheck.Check(modelPath), output) : null;
        ModelProfile? before = options.Skips ? null : FindSkips(context, modelPath, output);
        IReadOnlyList<DocumentPrompt>? own = options.Prompts is { } source
            ? PromptFile.ReadAll(
                source,
                (file, key) => context.Note($"{file}: '{key}' means nothing here and is ignored.")
            )
            : null;
        if (own is not null && own.Count <= options.HeldOut)
        {
            throw new CliException(
                $"'{options.Prompts}' holds {own.Count} prompts, and {options.HeldOut} are held out to judge on: nothing is left to learn from. Give more prompts or a smaller --held-out."
            );
        }

        string[] documents = own is null ? SampleDocuments.Or(options.Documents) : [];
        TextCorpus? corpus = own is null ? TextCorpus.FromFiles(documents) : null;
        NativeBuild.RefuseDebug(typeof(ForetokenModel).Assembly, typeof(TuneCommand).Assembly);

        using ForetokenModel model = await ForetokenModel.LoadAsync(
            modelPath,
            // an old profile must not steer the new one, nor, when it is damaged, stand in its way
            options.Devices.ApplyTo(new ModelOptions { UseProfile = false, UseMeasuredCosts = false }),
            progress: null,
            cancellationToken
        );
        using LoadedAdapters adapters = new(model, options.SkipAdapters);
        PromptGenerator? generator = own is null ? new PromptGenerator(corpus!, model) : null;
        string examples = options.Examples ?? ExamplesFolder(output);
        ModelProfile profile =
            kept
            ?? await TuneImportanceAsync(
                context,
                options,
                model,
                generator,
                own,
                documents,
                examples,
                cancellationToken
            );
        if (options.Skips)
        {
            profile = await TuneSkipsAsync(
                context,
                options,
                model,
                adapters,
                generator,
                own,
                profile,
                examples,
                cancellationToken
            );
        }
        else if (before is not null)
        {
            profile = profile with
            {
                Routers = before.Routers,
                SkipQuality = before.SkipQuality,
                SkipAdapters = before.SkipAdapters,
            };
        }

        ProfileWriter.Write(output, profile);
        if (options.Examples is null)
        {
            Directory.Delete(examples, recursive: true);
        }

        context.Output.Write(TuneTableView.Render(profile));
        context.WriteRaw("");
        context.Note(
            Path.GetFullPath(output) == Path.GetFullPath(ProfileFile.PathFor(modelPath))
                ? $"The profile is {output}; it is used whenever {Path.GetFileName(modelPath)} is loaded."
                : $"The profile is {output}; name it with --profile (ProfilePath), or put it beside the model as {Path.GetFileName(ProfileFile.PathFor(modelPath))}."
        );
        return ExitCode.Ok;
    }

    private static async Task<ModelProfile> TuneImportanceAsync(
        CliContext context,
        TuneOptions options,
        ForetokenModel model,
        PromptGenerator? generator,
        IReadOnlyList<DocumentPrompt>? own,
        string[] documents,
        string examples,
        CancellationToken cancellationToken
    )
    {
        (IReadOnlyList<DocumentPrompt> prompts, IReadOnlyList<DocumentPrompt> heldOut) = generator is not null
            ? Generate(generator, options, options.Count, options.Length, options.HeldOutLength)
            : HoldOut(own!, options.HeldOut);
        Announce(context, prompts.Count, heldOut.Count, "");
        ModelProfile profile = null!;
        using (
            ModelTuner tuner = new(
                model,
                new TuningOptions
                {
                    Inputs = options.Inputs,
                    MeasureLosses = options.Measure,
                    ExamplesFolder = examples,
                    Seed = options.Seed,
                    Description = own is null
                        ? string.Create(
                            CultureInfo.InvariantCulture,
                            $"generated, {options.Length} tokens, judged on {options.HeldOutLength}, {(options.Facts is { } form ? $"{form} facts only" : "facts of all kinds")}, documents from {string.Join(", ", documents.Select(Path.GetFileName))}"
                        )
                        : $"{own.Count} own prompts from {Path.GetFileName(options.Prompts)}",
                    Threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount,
                    FlashAttention = options.FlashAttention,
                }
            )
        )
        {
            await ProgressView.RunAsync<TuningProgress>(
                context,
                progress => (Describe(progress), progress.Fraction),
                progress => profile = tuner.Tune(prompts, heldOut, progress, cancellationToken)
            );
        }

        return profile;
    }

    private static async Task<ModelProfile> TuneSkipsAsync(
        CliContext context,
        TuneOptions options,
        ForetokenModel model,
        LoadedAdapters adapters,
        PromptGenerator? generator,
        IReadOnlyList<DocumentPrompt>? own,
        ModelProfile profile,
        string examples,
        CancellationToken cancellationToken
    )
    {
        (IReadOnlyList<DocumentPrompt> prompts, IReadOnlyList<DocumentPrompt> heldOut) = generator is not null
            ? Generate(generator, options, options.SkipCount, options.SkipLength, options.SkipLength)
            : HoldOut(own!, options.HeldOut);
        using SkipTuner tuner = new(
            model,
            new SkipTuningOptions
            {
                Adapters = adapters.Scaled,
                ExamplesFolder = examples,
                Threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount,
                FlashAttention = options.FlashAttention,
            }
        );
        Announce(
            context,
            prompts.Count,
            heldOut.Count,
            string.Create(
                CultureInfo.InvariantCulture,
                $" for skips: at most {tuner.CountMeasurements(prompts.Count, heldOut.Count)} short prefills"
            )
        );
        ModelProfile learned = profile;
        await ProgressView.RunAsync<TuningProgress>(
            context,
            progress => (Describe(progress), progress.Fraction),
            progress => learned = tuner.Tune(profile, prompts, heldOut, progress, cancellationToken)
        );
        return learned;
    }

    private static void Announce(CliContext context, int prompts, int heldOut, string what) =>
        context.Note(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{prompts} prompts to learn from, {heldOut} to judge on{what}. Ctrl+C stops; the same command goes on."
            )
        );

    internal static string Describe(TuningProgress progress)
    {
        string what = progress.Phase switch
        {
            TuningPhase.Gathering => "the model answers",
            TuningPhase.Fitting => "fitting",
            TuningPhase.Skipping => "leaving layers out",
            _ => "measuring plans",
        };
        string resumed =
            progress.Resumed > 0
                ? string.Create(CultureInfo.InvariantCulture, $" ({progress.Resumed} from an earlier run)")
                : "";
        return string.Create(CultureInfo.InvariantCulture, $"{what}, {100 * progress.Fraction:0} %{resumed}")
            + ProgressView.Left(progress.Remaining);
    }

    private static (IReadOnlyList<DocumentPrompt> Prompts, IReadOnlyList<DocumentPrompt> HeldOut) Generate(
        PromptGenerator generator,
        TuneOptions options,
        int count,
        int length,
        int heldOutLength
    )
    {
        // the first ones are held out and have facts of all kinds, so that whatever was learned from, the judges are the same
        IReadOnlyList<DocumentPrompt> heldOut = generator.CreateMix(
            PromptSet.Tuning,
            options.HeldOut,
            heldOutLength,
            options.Seed
        );
        IReadOnlyList<DocumentPrompt> all = generator.CreateMix(
            PromptSet.Tuning,
            count + options.HeldOut,
            length,
            options.Seed,
            options.Facts
        );
        return ([.. all.Skip(options.HeldOut)], heldOut);
    }

    /// <summary>Holds prompts out that are spread over all of them.</summary>
    private static (IReadOnlyList<DocumentPrompt> Prompts, IReadOnlyList<DocumentPrompt> HeldOut) HoldOut(
        IReadOnlyList<DocumentPrompt> all,
        int count
    )
    {
        HashSet<int> held = [.. Enumerable.Range(0, count).Select(i => (int)((i + 0.5) * all.Count / count))];
        return ([.. all.Where((_, i) => !held.Contains(i))], [.. all.Where((_, i) => held.Contains(i))]);
    }

    internal static string ExamplesFolder(string output) =>
        Path.Combine(
            Environment.GetFolderPath(
                Environment.SpecialFolder.LocalApplicationData,
                Environment.SpecialFolderOption.Create
            ),
            "foretoken",
            "tuning",
            Path.GetFileNameWithoutExtension(output)
        );

    /// <summary>
    /// The profile that is replaced, if it knows what this model can do without: that was measured with all tokens kept, so it
    /// holds whatever is learned of tokens.
    /// </summary>
    internal static ModelProfile? FindSkips(CliContext context, string modelPath, string output)
    {
        if (!File.Exists(output))
        {
            return null;
        }

        try
        {
            ModelProfile? before = ProfileFile.Find(ModelFileCheck.Check(modelPath), output);
            if (before is null or { Routers.Count: 0, SkipQuality.Count: 0 })
            {
                return null;
            }

            context.Note(
                $"What {output} knows of skips is kept; '--skips' learns it anew, and without the file there are none."
            );
            return before;
        }
        catch (ModelProfileException e)
        {
            // of another model, or damaged: a new one takes its place
            context.Note($"{e.Message} It will be replaced.");
            return null;
        }
    }

    private static void CheckOutput(string path)
    {
        CommandOptions.EnsureFolderExists(path);

        if (!path.EndsWith(ProfileFile.Extension, StringComparison.OrdinalIgnoreCase))
        {
            throw new CliException(
                $"A profile is named '*{ProfileFile.Extension}', so that it is never taken for a model; not '{path}'."
            );
        }
    }
}

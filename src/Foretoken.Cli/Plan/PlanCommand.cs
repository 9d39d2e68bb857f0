using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Cli.Calibrate;
using Foretoken.Cli.Console;
using Foretoken.Cli.Models;
using Foretoken.Cli.Options;
using Foretoken.Costs;
using Foretoken.Errors;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Sessions;
using Foretoken.Tuning.Models;
using Spectre.Console;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Plan;

/// <summary><c>foretoken plan</c>: what the planner would do for a prompt, and why. Loads no model, unless it is to calibrate.</summary>
internal static class PlanCommand
{
    // beyond any context; operations of so many are still counted exactly enough
    private const int MostTokensOfAPrompt = 100_000_000;

    internal static Command Create(CliContext context)
    {
        Option<int> tokens = new("--prompt-tokens", "-n")
        {
            HelpName = "n",
            Description = "Tokens of the prompt that must be computed.",
            Required = true,
        };
        tokens.Whole(1, MostTokensOfAPrompt);
        Option<double?> target = new("--target", "-s")
        {
            HelpName = "factor",
            Description = "The speedup of the time to first token to ask for.",
        };
        target.Number();
        Option<double?> decodeTarget = new("--decode-target")
        {
            HelpName = "factor",
            Description =
                "The speedup of every output token to ask for, beside --target: by skipping layers, where the profile knows any.",
        };
        decodeTarget.Number();
        Option<double?> maxQualityLoss = new("--max-quality-loss")
        {
            HelpName = "nats",
            Description =
                "The quality that may be lost, as KL divergence from full prefill: the fastest plan within it, or beside --target the more careful of the two.",
        };
        maxQualityLoss.Number();
        Option<bool> thresholds = new("--thresholds")
        {
            Description = "Let fewer tokens go on where their importance does not pass its threshold.",
        };
        Option<int> past = new("--past-tokens")
        {
            HelpName = "n",
            Description = "Tokens that the cache holds already; they are not thinned.",
        };
        past.Whole(0, MostTokensOfAPrompt);
        Argument<string?> path = TimingOptions.ModelArgument();
        Option<string?> model = new("--model", "-m")
        {
            HelpName = "path",
            Description = "GGUF file; only its header is read. Default: the model that comes with the samples.",
        };
        Option<string?> profile = ProfileOption.Create();
        Option<string?> shape = new("--shape") { HelpName = "shape", Description = SyntheticCommand.ShapeHelp };
        Option<string?> plan = new("--plan")
        {
            HelpName = PlanText.HelpName,
            Description =
                $"Estimate this plan, such as {PlanText.Examples}, instead of making one; --target is then what it is compared with.",
        };
        Option<bool> calibrate = new("--calibrate")
        {
            Description = "First measure what prefills take on this machine; 'foretoken calibrate' has more options.",
        };
        TimingOptions timing = new();
        Option<bool> json = new("--json") { Description = "Print one JSON object." };
        Command command = new("plan", "Shows the plan for a prompt length and a speedup, and what it would cost.")
        {
            tokens,
            target,
            decodeTarget,
            maxQualityLoss,
            thresholds,
            past,
            path,
            model,
            profile,
            shape,
            plan,
            calibrate,
            json,
        };
        timing.AddTo(command);
        command.Validators.Add(result =>
        {
            if (
                result.GetResult(target) is null
                && result.GetResult(decodeTarget) is null
                && result.GetResult(maxQualityLoss) is null
                && result.GetResult(plan) is null
            )
            {
                result.AddError(
                    "Say what to plan for: --target, --decode-target, --max-quality-loss, or a --plan to estimate."
                );
            }
        });
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(async () =>
                {
                    (string name, ModelShape sizes, ModelProfile? learned, ModelFileInfo? file) = Shape(
                        CommandOptions.ModelOf(parsed.GetValue(path), parsed.GetValue(model)),
                        parsed.GetValue(profile),
                        parsed.GetValue(shape)
                    );
                    ModelOptions modelOptions = timing.Model(parsed, parsed.GetValue(profile));
                    SessionOptions sessionOptions = timing.Session(parsed);
                    if (parsed.GetValue(calibrate))
                    {
                        await CalibrateAsync(context, file, modelOptions, sessionOptions, cancellationToken);
                    }
                    PlanExplanation explanation = Explain(
                        name,
                        (PrefillCost?)FindMeasured(file, modelOptions, sessionOptions) ?? new CountedPrefillCost(sizes),
                        learned,
                        new PlanRequest
                        {
                            TargetSpeedup = parsed.GetValue(target),
                            TargetDecodeSpeedup = parsed.GetValue(decodeTarget),
                            MaxQualityLoss = parsed.GetValue(maxQualityLoss),
                            UseThresholds = parsed.GetValue(thresholds),
                            NewTokens = parsed.GetValue(tokens),
                            PastTokens = parsed.GetValue(past),
                        },
                        parsed.GetValue(plan) is { } text ? PlanText.Parse(text) : null,
                        file is { ParameterCount: > 0 }
                            ? new DecodeCost(sizes) { BytesPerWeight = (double)file.WeightBytes / file.ParameterCount }
                            : null
                    );
                    if (parsed.GetValue(json))
                    {
                        context.WriteRaw(
                            JsonSerializer.Serialize(explanation, PlanJsonContext.Default.PlanExplanation)
                        );
                    }
                    else
                    {
                        Show(context, explanation);
                    }
                    return ExitCode.Ok;
                })
        );
        return command;
    }

    // beyond, a prompt is hardly "short"
    private const int MostTokens = 8192;

    internal static PlanExplanation Explain(
        string model,
        PrefillCost cost,
        ModelProfile? profile,
        PlanRequest request,
        PrefillPlan? given,
        DecodeCost? decodeCost = null
    )
    {
        ModelShape shape = cost.Shape;
        PrefillPlanner planner = new(cost, profile?.PlannerOptions, decodeCost);
        IImportancePolicy importance = ImportancePolicies.Get(null, profile?.Predictors);
        request = request with { Probes = ImportancePolicies.GetProbeLoad(importance, shape.LayerCount) };
        PlannedPrefill planned = given is null
            ? planner.Plan(request)
            : planner.Estimate(given, request.NewTokens, request.PastTokens, probes: request.Probes);
        if (given is not null && request.TargetSpeedup is { } target)
        {
            planned = planned with { TargetSpeedup = PrefillPlanner.EnsureValidTarget(target) };
        }
        int[] least = planned.Plan.LeastTokensPerStage(request.NewTokens);
        int[] tokens = planned.Plan.TokensPerStage(request.NewTokens);
        List<PlanStage> stages = [];
        int begin = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            int end = i < planned.Plan.Boundaries.Count ? planned.Plan.Boundaries[i].Layer : shape.LayerCount;
            double share = request.NewTokens == 0 ? 0 : (double)tokens[i] / request.NewTokens;
            if (i == tokens.Length - 1 && planned.Plan.PrefillOnlyFrom is { } from && tokens[i] > 1)
            {
                if (begin < from)
                {
                    stages.Add(new PlanStage(begin, from, tokens[i], least[i], share));
                }
                double one = 1.0 / request.NewTokens;
                stages.Add(new PlanStage(from, end, tokens[i] - 1, least[i] - 1, share - one, KeysAndValuesOnly: true));
                stages.Add(new PlanStage(from, end, 1, 1, one));
                break;
            }
            stages.Add(new PlanStage(begin, end, tokens[i], least[i], share));
            begin = end;
        }
        CountedPrefillCost counted = new(shape);
        return new PlanExplanation
        {
            Model = model,
            Layers = shape.LayerCount,
            PromptTokens = request.NewTokens,
            PastTokens = request.PastTokens,
            Target = planned.TargetSpeedup,
            MaxQualityLoss = request.MaxQualityLoss,
            ExpectedLoss = planned.ExpectedLoss,
            DecodeTarget = request.TargetDecodeSpeedup,
            PromisedDecodeSpeedup = planned.PromisedDecodeSpeedup,
            PromisedSpeedup = planned.PromisedSpeedup,
            ReachableSpeedup = given is null ? planned.ReachableSpeedup : null,
            IsTargetReached =
                planned.PromisedSpeedup >= planned.TargetSpeedup
                && !(planned.PromisedDecodeSpeedup < request.TargetDecodeSpeedup),
            IsMeasured = cost.IsMeasured,
            PromiseStandardError = planned.PromiseStandardError,
            ExpectedMs = planned.ExpectedTime?.Time.TotalMilliseconds,
            ExpectedPlainMs = planned.ExpectedPlainTime?.Time.TotalMilliseconds,
            ExpectedStandardError = planned.ExpectedTime?.RelativeStandardError,
            ShortestPrompt = planner.FindShortestPrompt(request, MostTokens),
            Ranges = PlanRange.Of(planner, request.Probes, request.MaxQualityLoss),
            Importance = importance.Name,
            Plan = PlanText.FormatOrNull(planned.Plan),
            Stages = stages,
            PlainOperations = counted.Cost(PrefillPlan.KeepAll, request.NewTokens, request.PastTokens),
            PlannedOperations = counted.Cost(planned.Plan, request.NewTokens, request.PastTokens),
            Reason = planned.Reason,
        };
    }

    private static async Task CalibrateAsync(
        CliContext context,
        ModelFileInfo? file,
        ModelOptions modelOptions,
        SessionOptions sessionOptions,
        CancellationToken cancellationToken
    )
    {
        if (file is null)
        {
            throw new CliException("--calibrate measures a model, and --shape is none; give --model.");
        }
        using ForetokenModel loaded = await ForetokenModel.LoadAsync(
            file.Path,
            modelOptions,
            progress: null,
            cancellationToken
        );
        TimeSpan budget = new CalibrationOptions().Budget;
        await CalibrateCommand.RunAsync(context, loaded, sessionOptions, budget, cancellationToken);
    }

    /// <summary>What was measured on this machine; null when nothing was.</summary>
    private static MeasuredPrefillCost? FindMeasured(
        ModelFileInfo? file,
        ModelOptions modelOptions,
        SessionOptions sessionOptions
    )
    {
        try
        {
            return file is null ? null : MeasuredCostCache.Find(file, modelOptions, sessionOptions);
        }
        catch (NativeLibraryException)
        {
            // a plan can be counted where nothing can be computed
            return null;
        }
    }

    private static (string Name, ModelShape Shape, ModelProfile? Profile, ModelFileInfo? File) Shape(
        string? model,
        string? profile,
        string? shape
    )
    {
        if (shape is not null)
        {
            return model is not null ? throw new CliException("--model and --shape both name a model; give one.")
                : profile is not null && !ProfileOption.IsNone(profile)
                    ? throw new CliException("--profile belongs to a model, and --shape is none; give --model.")
                : (shape, SyntheticModelSpec.Parse(shape).Shape, null, null);
        }
        ModelFileInfo file = ModelFileCheck.Check(model ?? RepositoryFolder.SampleModel());
        return (
            Path.GetFileName(file.Path),
            file.Shape
                ?? throw new CliException(
                    $"The prefill of '{file.Path}' cannot be staged: {file.StagingObstacle}. There is nothing to plan."
                ),
            ProfileOption.IsNone(profile) ? null : ProfileFile.Find(file, profile),
            file
        );
    }

    private static void Show(CliContext context, PlanExplanation plan)
    {
        string past = plan.PastTokens > 0 ? I($" after {plan.PastTokens:#,0} in the cache") : "";
        context.WriteRaw(I($"{plan.Model}, {plan.Layers} layers, {plan.PromptTokens:#,0} tokens{past}"));
        string budget = plan.MaxQualityLoss is { } loss ? I($" and a loss of at most {loss:0.###} nats") : "";
        context.WriteRaw(
            I($"asked for {plan.Target:0.##}x{budget}, promised {plan.PromisedSpeedup:0.00}x")
                + (plan.PromiseStandardError is > 0 ? I($" ± {100 * plan.PromiseStandardError:0} %") : "")
                + (plan.ReachableSpeedup is { } best ? I($", {best:0.00}x is the most") : "")
        );
        string decode = plan.DecodeTarget is { } asked ? I($", asked for {asked:0.##}x") : "";
        context.WriteRaw(I($"output tokens {plan.PromisedDecodeSpeedup:0.00}x by the bytes that they read") + decode);
        if (plan.ExpectedMs is { } expected)
        {
            context.WriteRaw(
                I(
                    $"expected prefill {expected:#,0} ms ± {100 * plan.ExpectedStandardError:0} %, plain {plan.ExpectedPlainMs:#,0} ms"
                )
            );
        }
        context.WriteRaw(I($"{plan.PlannedOperations / 1e9:#,0.0} of {plan.PlainOperations / 1e9:#,0.0} GFLOP"));
        context.WriteRaw(plan.Reason);
        context.WriteRaw($"Tokens are ranked by {plan.Importance}.");
        context.WriteRaw("");
        Grid grid = new Grid()
            .AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap().RightAligned())
            .AddColumn(new GridColumn().NoWrap().RightAligned())
            .AddColumn(new GridColumn().NoWrap());
        foreach (PlanStage stage in plan.Stages)
        {
            grid.AddRow(
                new Text(I($"layers {stage.LayerBegin} to {stage.LayerEnd - 1}")),
                new Text(Bar(stage.Retention), new Style(Color.Green)),
                new Text(
                    stage.LeastTokens < stage.Tokens ? I($"{stage.LeastTokens:#,0} to {stage.Tokens:#,0} tokens")
                    : stage.Tokens == 1 ? "1 token"
                    : I($"{stage.Tokens:#,0} tokens")
                ),
                new Text(I($"{100 * stage.Retention:0} %")),
                new Text(stage.KeysAndValuesOnly ? "only their keys and values" : "", new Style(Color.Grey))
            );
        }
        context.Output.Write(grid);
        context.WriteRaw("");
        context.WriteRaw(
            plan.ShortestPrompt is { } shortest
                ? I($"What can be asked for; prompts of fewer than {shortest:#,0} tokens are prefilled plainly:")
                : "What can be asked for:"
        );
        PlanRange.Show(context, plan.Ranges);
        context.Note(
            plan.IsMeasured
                ? "Promises come from times that were measured on this machine; 'bench' compares with unpatched llama.cpp."
                : "Promises come from a count of operations, not from this machine: 'calibrate', or 'plan --calibrate', measures it."
        );
    }

    private static string Bar(double share)
    {
        const int Width = 32;
        int filled = share > 0 ? Math.Clamp((int)Math.Round(share * Width), 1, Width) : 0;
        return new string('█', filled) + new string('░', Width - filled);
    }
}

/// <summary>What `foretoken plan --json` prints.</summary>
internal sealed record PlanExplanation
{
    public required string Model { get; init; }
    public required int Layers { get; init; }
    public required int PromptTokens { get; init; }
    public required int PastTokens { get; init; }

    /// <summary>The speedup that was asked for; the promised one when none was.</summary>
    public required double Target { get; init; }

    /// <summary>The quality budget in nats; null when none was given.</summary>
    public required double? MaxQualityLoss { get; init; }

    /// <summary>Loss that is expected of the plan, in nats; null when it was not measured.</summary>
    public required double? ExpectedLoss { get; init; }
    public required double PromisedSpeedup { get; init; }

    /// <summary>The speedup of output tokens that was asked for; null when none was.</summary>
    public required double? DecodeTarget { get; init; }

    /// <summary>The speedup of output tokens that is counted for the plan.</summary>
    public required double PromisedDecodeSpeedup { get; init; }

    /// <summary>The most that could have been asked for; null when a plan was given.</summary>
    public required double? ReachableSpeedup { get; init; }
    public required bool IsTargetReached { get; init; }

    /// <summary>Whether the promise comes from times that were measured on this machine.</summary>
    public required bool IsMeasured { get; init; }

    /// <summary>Standard error of the promise as a share of it; null when operations were counted.</summary>
    public required double? PromiseStandardError { get; init; }

    /// <summary>Expected time of the plan and of plain prefill, milliseconds; null when operations were counted.</summary>
    public required double? ExpectedMs { get; init; }
    public required double? ExpectedPlainMs { get; init; }

    /// <summary>Standard error of <see cref="ExpectedMs"/> as a share of it.</summary>
    public required double? ExpectedStandardError { get; init; }

    /// <summary>The fewest tokens of which any are left out; null when there are none.</summary>
    public required int? ShortestPrompt { get; init; }

    /// <summary>What can be asked for at other lengths.</summary>
    public required IReadOnlyList<PlanRange> Ranges { get; init; }

    /// <summary>What ranks the tokens when nothing else is named.</summary>
    public required string Importance { get; init; }

    /// <summary>The plan as it would be typed; null when everything is kept.</summary>
    public required string? Plan { get; init; }
    public required IReadOnlyList<PlanStage> Stages { get; init; }

    /// <summary>Floating-point operations of plain prefill, and of the plan.</summary>
    public required double PlainOperations { get; init; }
    public required double PlannedOperations { get; init; }
    public required string Reason { get; init; }
}

/// <summary>
/// One stage of a plan: layers from <paramref name="LayerBegin"/> to before <paramref name="LayerEnd"/>, with
/// <paramref name="LeastTokens"/> to <paramref name="Tokens"/> tokens where a threshold decides.
/// </summary>
internal sealed record PlanStage(
    int LayerBegin,
    int LayerEnd,
    int Tokens,
    int LeastTokens,
    double Retention,
    bool KeysAndValuesOnly = false
);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(PlanExplanation))]
internal sealed partial class PlanJsonContext : JsonSerializerContext;

using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Gguf;
using Foretoken.Planning;
using Foretoken.Profiles;
using Spectre.Console;

namespace Foretoken.Cli;

/// <summary><c>foretoken plan</c>: what the planner would do for a prompt, and why. Loads no model and no native library.</summary>
internal static class PlanCommand
{
    internal static Command Create(CliContext context)
    {
        Option<int> tokens = new("--prompt-tokens", "-n")
        {
            HelpName = "n",
            Description = "Tokens of the prompt that must be computed.",
            Required = true,
        };
        Option<double?> target = new("--target", "-s")
        {
            HelpName = "factor",
            Description = "The speedup of the time to first token to ask for.",
        };
        Option<double?> maxQualityLoss = new("--max-quality-loss")
        {
            HelpName = "nats",
            Description =
                "The quality that may be lost, as KL divergence from full prefill: the fastest plan within it, or beside --target the more careful of the two.",
        };
        Option<bool> thresholds = new("--thresholds")
        {
            Description = "Let fewer tokens go on where their importance does not pass its threshold.",
        };
        Option<int> past = new("--past-tokens")
        {
            HelpName = "n",
            Description = "Tokens that the cache holds already; they are not thinned.",
        };
        Option<string?> model = new("--model", "-m")
        {
            HelpName = "path",
            Description = "GGUF file; only its header is read. Default: the model that comes with the samples.",
        };
        Option<string?> profile = ProfileOption.Create();
        Option<string?> shape = new("--shape") { HelpName = "shape", Description = SyntheticCommand.ShapeHelp };
        Option<string?> plan = new("--plan")
        {
            HelpName = "layer@retention,...",
            Description = "Estimate this plan instead of making one; --target is then what it is compared with.",
        };
        Option<bool> json = new("--json") { Description = "Print one JSON object." };
        Command command = new("plan", "Shows the plan for a prompt length and a speedup, and what it would cost.")
        {
            tokens,
            target,
            maxQualityLoss,
            thresholds,
            past,
            model,
            profile,
            shape,
            plan,
            json,
        };
        command.Validators.Add(result =>
        {
            if (
                result.GetResult(target) is null
                && result.GetResult(maxQualityLoss) is null
                && result.GetResult(plan) is null
            )
            {
                result.AddError("Say what to plan for: --target, --max-quality-loss, or a --plan to estimate.");
            }
        });
        command.SetAction(parsed =>
            context.RunAsync(() =>
            {
                (string name, ModelShape sizes, ModelProfile? learned) = Shape(
                    parsed.GetValue(model),
                    parsed.GetValue(profile),
                    parsed.GetValue(shape)
                );
                PlanExplanation explanation = Explain(
                    name,
                    sizes,
                    learned,
                    new PlanRequest
                    {
                        TargetSpeedup = parsed.GetValue(target),
                        MaxQualityLoss = parsed.GetValue(maxQualityLoss),
                        UseThresholds = parsed.GetValue(thresholds),
                        NewTokens = parsed.GetValue(tokens),
                        PastTokens = parsed.GetValue(past),
                    },
                    parsed.GetValue(plan) is { } text ? PlanText.Parse(text) : null
                );
                if (parsed.GetValue(json))
                {
                    context.WriteRaw(JsonSerializer.Serialize(explanation, PlanJsonContext.Default.PlanExplanation));
                }
                else
                {
                    Show(context, explanation);
                }
                return Task.FromResult(ExitCode.Ok);
            })
        );
        return command;
    }

    internal static PlanExplanation Explain(
        string model,
        ModelShape shape,
        ModelProfile? profile,
        PlanRequest request,
        PrefillPlan? given
    )
    {
        PrefillPlanner planner = new(shape, profile?.PlannerOptions);
        PlannedPrefill planned = given is null
            ? planner.Plan(request)
            : planner.Estimate(given, request.NewTokens, request.PastTokens);
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
            stages.Add(new PlanStage(begin, end, tokens[i], least[i], share));
            begin = end;
        }
        PrefillCostModel cost = new(shape);
        return new PlanExplanation
        {
            Model = model,
            Layers = shape.LayerCount,
            PromptTokens = request.NewTokens,
            PastTokens = request.PastTokens,
            Target = planned.TargetSpeedup,
            MaxQualityLoss = request.MaxQualityLoss,
            ExpectedLoss = planned.ExpectedLoss,
            PromisedSpeedup = planned.PromisedSpeedup,
            ReachableSpeedup = given is null ? planned.ReachableSpeedup : null,
            IsTargetReached = planned.PromisedSpeedup >= planned.TargetSpeedup,
            Importance = ImportancePolicies.Get(null, profile).Name,
            Plan = planned.Plan.Boundaries.Count > 0 ? PlanText.Format(planned.Plan) : null,
            Stages = stages,
            PlainOperations = cost.Cost(PrefillPlan.KeepAll, request.NewTokens, request.PastTokens),
            PlannedOperations = cost.Cost(planned.Plan, request.NewTokens, request.PastTokens),
            Reason = planned.Reason,
        };
    }

    private static (string Name, ModelShape Shape, ModelProfile? Profile) Shape(
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
                : (shape, SyntheticModelSpec.Parse(shape).Shape, null);
        }
        ModelFileInfo file = ModelFileCheck.Check(model ?? RepositoryFolder.SampleModel());
        return (
            Path.GetFileName(file.Path),
            file.Shape
                ?? throw new CliException(
                    $"The prefill of '{file.Path}' cannot be staged: {file.StagingObstacle}. There is nothing to plan."
                ),
            ProfileOption.IsNone(profile) ? null : ProfileFile.Find(file, profile)
        );
    }

    private static void Show(CliContext context, PlanExplanation plan)
    {
        string past = plan.PastTokens > 0 ? I($" after {plan.PastTokens:#,0} in the cache") : "";
        context.WriteRaw(I($"{plan.Model}, {plan.Layers} layers, {plan.PromptTokens:#,0} tokens{past}"));
        string budget = plan.MaxQualityLoss is { } loss ? I($" and a loss of at most {loss:0.###} nats") : "";
        context.WriteRaw(
            I($"asked for {plan.Target:0.##}x{budget}, promised {plan.PromisedSpeedup:0.00}x")
                + (plan.ReachableSpeedup is { } best ? I($", {best:0.00}x is the most") : "")
        );
        context.WriteRaw(I($"{plan.PlannedOperations / 1e9:#,0.0} of {plan.PlainOperations / 1e9:#,0.0} GFLOP"));
        context.WriteRaw(plan.Reason);
        context.WriteRaw($"Tokens are ranked by {plan.Importance}.");
        context.WriteRaw("");
        Grid grid = new Grid()
            .AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap().RightAligned())
            .AddColumn(new GridColumn().NoWrap().RightAligned());
        foreach (PlanStage stage in plan.Stages)
        {
            grid.AddRow(
                new Text(I($"layers {stage.LayerBegin} to {stage.LayerEnd - 1}")),
                new Text(Bar(stage.Retention), new Style(Color.Green)),
                new Text(
                    stage.LeastTokens < stage.Tokens
                        ? I($"{stage.LeastTokens:#,0} to {stage.Tokens:#,0} tokens")
                        : I($"{stage.Tokens:#,0} tokens")
                ),
                new Text(I($"{100 * stage.Retention:0} %"))
            );
        }
        context.Output.Write(grid);
        context.Note("Promises come from a count of operations, not from this machine: 'bench' measures.");
    }

    private static string Bar(double share)
    {
        const int Width = 32;
        int filled = share > 0 ? Math.Clamp((int)Math.Round(share * Width), 1, Width) : 0;
        return new string('█', filled) + new string('░', Width - filled);
    }

    private static string I(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
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

    /// <summary>The most that could have been asked for; null when a plan was given.</summary>
    public required double? ReachableSpeedup { get; init; }
    public required bool IsTargetReached { get; init; }

    /// <summary>What ranks the tokens when nothing else is named.</summary>
    public required string Importance { get; init; }

    /// <summary>Boundaries as <c>layer@retention</c>; null when everything is kept.</summary>
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
internal sealed record PlanStage(int LayerBegin, int LayerEnd, int Tokens, int LeastTokens, double Retention);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(PlanExplanation))]
internal sealed partial class PlanJsonContext : JsonSerializerContext;

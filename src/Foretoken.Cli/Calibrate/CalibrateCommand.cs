using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Foretoken.Cli.Console;
using Foretoken.Cli.Options;
using Foretoken.Cli.Plan;
using Foretoken.Costs;
using Foretoken.Importance;
using Foretoken.Planning;
using Foretoken.Plans;
using Foretoken.Sessions;

namespace Foretoken.Cli.Calibrate;

/// <summary><c>foretoken calibrate</c>: measures what prefills take on this machine, so that promises rest on times.</summary>
internal static class CalibrateCommand
{
    internal static Command Create(CliContext context)
    {
        Argument<string?> path = TimingOptions.ModelArgument();
        Option<string?> model = new("--model", "-m")
        {
            HelpName = "path",
            Description = "GGUF file. Default: the model that comes with the samples.",
        };
        Option<string?> profile = ProfileOption.Create();
        Option<double> budget = new("--budget")
        {
            HelpName = "seconds",
            Description = "How long it may take. Large models on slow machines are known better after longer.",
            DefaultValueFactory = _ => new CalibrationOptions().Budget.TotalSeconds,
        };
        budget.Number(seconds =>
            seconds is > 0 and <= 3600 ? null : "a number of seconds is needed, above 0 and at most 3600."
        );
        Option<bool> json = new("--json") { Description = "Print one JSON object." };
        TimingOptions timing = new();
        Command command = new(
            "calibrate",
            "Measures what prefills take on this machine. Plans and promises rest on it from then on."
        )
        {
            path,
            model,
            profile,
            budget,
            json,
        };
        timing.AddTo(command);
        command.SetAction(
            (parsed, cancellationToken) =>
                context.RunAsync(async () =>
                {
                    using ForetokenModel loaded = await ForetokenModel.LoadAsync(
                        CommandOptions.ModelOf(parsed.GetValue(path), parsed.GetValue(model))
                            ?? RepositoryFolder.SampleModel(),
                        timing.Model(parsed, parsed.GetValue(profile)),
                        progress: null,
                        cancellationToken
                    );
                    CalibrationResult result = await RunAsync(
                        context,
                        loaded,
                        timing.Session(parsed),
                        TimeSpan.FromSeconds(parsed.GetValue(budget)),
                        cancellationToken
                    );
                    CalibrationReport report = Report(loaded, result);
                    if (parsed.GetValue(json))
                    {
                        context.WriteRaw(
                            JsonSerializer.Serialize(report, CalibrationJsonContext.Default.CalibrationReport)
                        );
                    }
                    else
                    {
                        Show(context, report);
                    }
                    return ExitCode.Ok;
                })
        );
        return command;
    }

    /// <summary>Calibrates, and shows how far it is.</summary>
    /// <exception cref="CliException">The time was too short.</exception>
    internal static async Task<CalibrationResult> RunAsync(
        CliContext context,
        ForetokenModel model,
        SessionOptions options,
        TimeSpan budget,
        CancellationToken cancellationToken
    )
    {
        using ForetokenSession session = model.CreateSession(options);
        CalibrationResult? result = null;
        await ProgressView.RunAsync<double>(
            context,
            fraction => ("timing prefills", fraction),
            progress =>
                result = session.Calibrate(new CalibrationOptions { Budget = budget }, progress, cancellationToken)
        );
        return result!.Costs is not null
            ? result
            : throw new CliException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{budget.TotalSeconds:0.#} seconds were too short for this model on this machine: {result.Prefills} prefills ran. Give it longer with --budget."
                )
            );
    }

    private static CalibrationReport Report(ForetokenModel model, CalibrationResult result)
    {
        MeasuredPrefillCost cost = result.Costs!;
        ProbeLoad probes = ImportancePolicies.GetProbeLoad(
            ImportancePolicies.Get(null, model.Profile?.Predictors),
            model.Shape.LayerCount
        );
        return new CalibrationReport
        {
            Model = Path.GetFileName(model.Path),
            Seconds = result.Time.TotalSeconds,
            Prefills = result.Prefills,
            RunSpread = cost.RunSpread,
            ChunkSpread = cost.ChunkSpread,
            CachePath = result.CachePath,
            Ranges = PlanRange.Of(new PrefillPlanner(cost, model.Profile?.PlannerOptions), probes),
        };
    }

    private static void Show(CliContext context, CalibrationReport report)
    {
        context.WriteRaw(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{report.Model}: {report.Prefills} prefills in {report.Seconds:0.0} s. The same prefill varied by {100 * report.RunSpread:0} %."
            )
        );
        context.WriteRaw("");
        PlanRange.Show(context, report.Ranges);
        context.Note(
            report.CachePath is { } path
                ? $"Cached in '{path}'."
                : "There is no folder to cache it in, so it is lost now: set FORETOKEN_CACHE."
        );
    }
}

/// <summary>What `foretoken calibrate --json` prints.</summary>
internal sealed record CalibrationReport
{
    public required string Model { get; init; }
    public required double Seconds { get; init; }
    public required int Prefills { get; init; }

    /// <summary>Spread of whole prefills around their expected time, as a share of it.</summary>
    public required double RunSpread { get; init; }

    /// <summary>Spread within a prefill.</summary>
    public required double ChunkSpread { get; init; }
    public required string? CachePath { get; init; }
    public required IReadOnlyList<PlanRange> Ranges { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(CalibrationReport))]
internal sealed partial class CalibrationJsonContext : JsonSerializerContext;

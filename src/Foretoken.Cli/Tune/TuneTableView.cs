using System.Globalization;
using Foretoken.Cli.Options;
using Foretoken.Cli.Plan;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Foretoken.Cli.Tune;

/// <summary>What was learned, as tables for people.</summary>
internal static class TuneTableView
{
    internal static IRenderable Render(ModelProfile profile)
    {
        Table predictors = new Table().Title("importance, learned").Border(TableBorder.Rounded);
        predictors.AddColumns("boundary", "reads", "correlation on prompts held out");
        foreach (ImportancePredictor predictor in profile.Predictors)
        {
            predictors.AddRow(
                $"layer {predictor.Layer}",
                Reads(predictor),
                double.IsNaN(predictor.Correlation)
                    ? "not judged"
                    : predictor.Correlation.ToString("0.000", CultureInfo.InvariantCulture)
            );
        }

        List<IRenderable> tables = [predictors];
        if (profile.Quality.Count > 0)
        {
            tables.Add(Plans(profile));
        }

        if (profile.SkipQuality.Count > 0)
        {
            tables.Add(Skips(profile));
        }

        return new Rows(tables);
    }

    private static string Reads(ImportancePredictor predictor)
    {
        (string Name, bool IsRead)[] parts =
        [
            ("attention", !predictor.AttentionWeights.IsEmpty),
            ("matches", !predictor.MatchWeights.IsEmpty),
            ("residual", !predictor.ResidualWeights.IsEmpty),
            ("network", predictor.Network is not null),
        ];
        return string.Join(" + ", parts.Where(part => part.IsRead).Select(part => part.Name));
    }

    private static Table Skips(ModelProfile profile)
    {
        string with = AdapterText.With(profile.SkipAdapters.Select(adapter => (adapter.FileName, adapter.Scale)));
        Table skips = new Table()
            .Title(Markup.Escape($"skips, measured on prompts held out{with}"))
            .Border(TableBorder.Rounded);
        skips.AddColumns("plan", "KL (nats)", "same token");
        foreach (ProfileSkipQuality row in profile.SkipQuality)
        {
            skips.AddRow(
                PlanText.Format(PrefillPlan.FromBoundaries([], skips: row.Skips, routing: row.Routing)),
                row.KlDivergence.ToString("0.000", CultureInfo.InvariantCulture),
                row.Agreement.ToString("0 %", CultureInfo.InvariantCulture)
            );
        }

        return skips;
    }

    private static Table Plans(ModelProfile profile)
    {
        Table quality = new Table().Title("plans, measured on prompts held out").Border(TableBorder.Rounded);
        quality.AddColumns("plan", "token-layers computed", "KL (nats)", "same token", "answered");
        foreach (ProfileQuality row in profile.Quality)
        {
            quality.AddRow(
                PlanText.Format(PrefillPlan.FromBoundaries(row.Boundaries)),
                row.KeptShare.ToString("0 %", CultureInfo.InvariantCulture),
                row.KlDivergence.ToString("0.000", CultureInfo.InvariantCulture),
                row.Agreement.ToString("0 %", CultureInfo.InvariantCulture),
                string.Create(CultureInfo.InvariantCulture, $"{row.Answered}/{row.AnsweredByFullPrefill}")
            );
        }

        return quality;
    }
}

using System.Globalization;
using Foretoken.Planning;
using static Foretoken.Cli.InvariantText;

namespace Foretoken.Cli;

/// <summary>
/// Plans as they are typed: boundaries, <c>3@0.25</c> or <c>4@0.6,8@0.35,12@0.2</c> (<c>3@0.1..0.25</c> where a threshold decides
/// between two shares), and the layers to skip, <c>skip:25,26</c>; both with a plus sign between them: <c>5@0.4+skip:25</c>.
/// </summary>
internal static class PlanText
{
    private const string Skip = "skip:";

    /// <summary>The syntax, for the description of an option.</summary>
    internal const string HelpName = "layer@retention,...+skip:layer,...";

    /// <summary>Examples, for the same.</summary>
    internal const string Examples = "6@0.25, skip:25,26 or 5@0.4+skip:25";

    /// <exception cref="CliException">It is not a plan.</exception>
    internal static PrefillPlan Parse(string text)
    {
        List<PlanBoundary> boundaries = [];
        List<int> skipped = [];
        foreach (string part in Split(text, '+'))
        {
            if (part.StartsWith(Skip, StringComparison.OrdinalIgnoreCase))
            {
                skipped.AddRange(ParseSkips(part));
            }
            else
            {
                boundaries.AddRange(Split(part, ',').Select(ParseBoundary));
            }
        }
        if (boundaries.Count == 0 && skipped.Count == 0)
        {
            throw new CliException(
                "The plan is empty. A plan is LAYER@RETENTION, separated by commas, for example 3@0.25; skip:LAYER,... leaves layers out."
            );
        }
        try
        {
            return PrefillPlan.FromBoundaries(boundaries, skippedLayers: skipped);
        }
        catch (ArgumentException e)
        {
            throw new CliException($"The plan '{text}' is not possible. {ErrorText.Describe(e)}", e);
        }
    }

    /// <summary>The plan as it would be typed; null when there is nothing to type.</summary>
    internal static string? FormatOrNull(PrefillPlan? plan) =>
        plan is not null && Format(plan) is { Length: > 0 } text ? text : null;

    /// <summary>The plan as it would be typed; empty when it has neither boundaries nor skips.</summary>
    internal static string Format(PrefillPlan plan)
    {
        List<string> parts = [];
        if (plan.Boundaries.Count > 0)
        {
            parts.Add(
                string.Join(
                    ',',
                    plan.Boundaries.Select(b =>
                        b.MinRetention < b.Retention
                            ? I($"{b.Layer}@{b.MinRetention:0.####}..{b.Retention:0.####}")
                            : I($"{b.Layer}@{b.Retention:0.####}")
                    )
                )
            );
        }
        if (plan.SkippedLayers.Count > 0)
        {
            parts.Add(Skip + string.Join(',', plan.SkippedLayers.Select(layer => I($"{layer}"))));
        }
        return string.Join('+', parts);
    }

    private static PlanBoundary ParseBoundary(string part)
    {
        string[] halves = part.Split('@', StringSplitOptions.TrimEntries);
        string[] shares = halves[^1].Split("..", StringSplitOptions.TrimEntries);
        return
            halves.Length == 2
            && shares.Length <= 2
            && TryParseLayer(halves[0], out int layer)
            && TryParseShare(shares[^1], out double retention)
            && TryParseShare(shares[0], out double least)
            ? new PlanBoundary(layer, retention) { MinRetention = least }
            : throw new CliException(
                $"'{part}' is not a boundary. A plan is LAYER@RETENTION, separated by commas: 3@0.25 leaves a quarter of the tokens from layer 3 on, 3@0.1..0.25 a tenth to a quarter, as many as pass a threshold. Layers to skip follow a plus sign: 3@0.25+skip:12,13."
            );
    }

    private static List<int> ParseSkips(string part)
    {
        List<int> layers = [];
        foreach (string one in Split(part[Skip.Length..], ','))
        {
            layers.Add(
                TryParseLayer(one, out int layer)
                    ? layer
                    : throw new CliException(
                        $"'{one}' in '{part}' is no layer. {Skip}LAYER,... names the layers that the whole sequence does without: skip:12,13."
                    )
            );
        }
        return layers.Count > 0
            ? layers
            : throw new CliException($"'{part}' names no layer. {Skip}12,13 skips the layers 12 and 13.");
    }

    private static string[] Split(string text, char separator) =>
        text.Split(separator, StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private static bool TryParseLayer(string text, out int layer) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out layer);

    private static bool TryParseShare(string text, out double share) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out share);
}

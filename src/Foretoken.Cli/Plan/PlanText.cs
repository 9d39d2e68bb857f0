using Foretoken.Cli.Console;
using Foretoken.Plans;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Plan;

/// <summary>
/// Plans as they are typed, parts joined by plus signs. Boundaries: <c>3@0.25</c> or <c>4@0.6,8@0.35,12@0.2</c>
/// (<c>3@0.1..0.25</c> where a threshold decides between two shares). Where all tokens but the last stop, and only write keys
/// and values: <c>prefill-only:20</c>. What is skipped: <c>skip:25,26</c> for whole blocks,
/// <c>skip-attn:14,17</c> and <c>skip-ffn:3</c> for sublayers; or what the prompt chooses: <c>route:2@10</c>,
/// <c>route-attn:4@10</c>, <c>route-ffn:1@10</c> for so many at or above layer 10.
/// </summary>
internal static class PlanText
{
    private static readonly (string Name, LayerPart Part)[] Skips =
    [
        ("skip:", LayerPart.Block),
        ("skip-attn:", LayerPart.Attention),
        ("skip-ffn:", LayerPart.FeedForward),
    ];

    private static readonly (string Name, LayerPart Part)[] Routings =
    [
        ("route:", LayerPart.Block),
        ("route-attn:", LayerPart.Attention),
        ("route-ffn:", LayerPart.FeedForward),
    ];

    private const string PrefillOnly = "prefill-only:";

    /// <summary>The syntax, for the description of an option.</summary>
    internal const string HelpName = "layer@retention,...+skip:layer,...";

    /// <summary>Examples, for the same.</summary>
    internal const string Examples = "6@0.25, skip:25,26, 5@0.4+skip-attn:14,17, route:2@10 or 4@0.5+prefill-only:20";

    /// <exception cref="CliException">It is not a plan.</exception>
    internal static PrefillPlan Parse(string text)
    {
        List<PlanBoundary> boundaries = [];
        List<LayerSkip> skips = [];
        SkipRouting? routing = null;
        int? prefillOnlyFrom = null;
        foreach (string part in Split(text, '+'))
        {
            if (part.StartsWith(PrefillOnly, StringComparison.OrdinalIgnoreCase))
            {
                prefillOnlyFrom =
                    prefillOnlyFrom is not null
                        ? throw new CliException($"'{text}' is prefill-only twice; name the lower layer alone.")
                    : TryParseNumber(part[PrefillOnly.Length..].Trim(), out int from) ? from
                    : throw new CliException(
                        $"'{part}' names no layer. {PrefillOnly}20 lets all tokens but the last stop in front of layer 20; from there on they only write keys and values."
                    );
            }
            else if (Find(Skips, part) is { } skip)
            {
                skips.AddRange(ParseLayers(skip.Name, part).Select(layer => new LayerSkip(layer, skip.Part)));
            }
            else if (Find(Routings, part) is { } route)
            {
                routing = routing is null
                    ? ParseRouting(route.Name, part, route.Part)
                    : throw new CliException($"'{text}' leaves two things to the prompt; a plan has one such part.");
            }
            else
            {
                boundaries.AddRange(Split(part, ',').Select(ParseBoundary));
            }
        }
        if (boundaries.Count == 0 && skips.Count == 0 && routing is null && prefillOnlyFrom is null)
        {
            throw new CliException(
                "The plan is empty. A plan is LAYER@RETENTION, separated by commas, for example 3@0.25; skip:LAYER,... leaves layers out."
            );
        }
        try
        {
            return PrefillPlan.FromBoundaries(
                boundaries,
                skips: skips,
                routing: routing,
                prefillOnlyFrom: prefillOnlyFrom
            );
        }
        catch (ArgumentException e)
        {
            throw new CliException($"The plan '{text}' is not possible. {ErrorText.Describe(e)}", e);
        }
    }

    /// <summary>The plan as it would be typed; null when there is nothing to type.</summary>
    internal static string? FormatOrNull(PrefillPlan? plan) =>
        plan is not null && Format(plan) is { Length: > 0 } text ? text : null;

    /// <summary>The plan as it would be typed; empty when it keeps all.</summary>
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
        if (plan.PrefillOnlyFrom is { } from)
        {
            parts.Add(I($"{PrefillOnly}{from}"));
        }
        foreach ((string name, LayerPart part) in Skips)
        {
            string[] layers = [.. plan.Skips.Where(skip => skip.Part == part).Select(skip => I($"{skip.Layer}"))];
            if (layers.Length > 0)
            {
                parts.Add(name + string.Join(',', layers));
            }
        }
        if (plan.Routing is { } routing)
        {
            parts.Add(Routings.First(route => route.Part == routing.Part).Name + I($"{routing.Count}@{routing.Layer}"));
        }
        return string.Join('+', parts);
    }

    private static (string Name, LayerPart Part)? Find((string Name, LayerPart Part)[] all, string part) =>
        all.Where(one => part.StartsWith(one.Name, StringComparison.OrdinalIgnoreCase))
            .Select(one => ((string, LayerPart)?)one)
            .FirstOrDefault();

    private static PlanBoundary ParseBoundary(string part)
    {
        string[] halves = part.Split('@', StringSplitOptions.TrimEntries);
        string[] shares = halves[^1].Split("..", StringSplitOptions.TrimEntries);
        return
            halves.Length == 2
            && shares.Length <= 2
            && TryParseNumber(halves[0], out int layer)
            && TryParseShare(shares[^1], out double retention)
            && TryParseShare(shares[0], out double least)
            ? new PlanBoundary(layer, retention) { MinRetention = least }
            : throw new CliException(
                // a comma within a share has cut the plan in the middle of it
                $"'{part}' is not a boundary, and shares have a point: 0.25. A plan is LAYER@RETENTION, separated by commas: 3@0.25 leaves a quarter of the tokens from layer 3 on, 3@0.1..0.25 a tenth to a quarter, as many as pass a threshold. Layers to skip follow a plus sign: 3@0.25+skip:12,13."
            );
    }

    private static List<int> ParseLayers(string name, string part)
    {
        List<int> layers = [];
        foreach (string one in Split(part[name.Length..], ','))
        {
            layers.Add(
                TryParseNumber(one, out int layer)
                    ? layer
                    : throw new CliException(
                        $"'{one}' in '{part}' is no layer. {name}LAYER,... names the layers that the whole sequence does without: {name}12,13."
                    )
            );
        }
        return layers.Count > 0
            ? layers
            : throw new CliException($"'{part}' names no layer. {name}12,13 is about the layers 12 and 13.");
    }

    private static SkipRouting ParseRouting(string name, string part, LayerPart what)
    {
        string[] halves = part[name.Length..].Split('@', StringSplitOptions.TrimEntries);
        return
            halves.Length == 2 && TryParseNumber(halves[0], out int count) && TryParseNumber(halves[1], out int layer)
            ? new SkipRouting(layer, count, what)
            : throw new CliException(
                $"'{part}' is not COUNT@LAYER. {name}2@10 lets the routers in front of layer 10 choose two for each prompt."
            );
    }

    private static string[] Split(string text, char separator) =>
        text.Split(separator, StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private static bool TryParseNumber(string text, out int number)
    {
        bool isNumber = NumberText.TryParseWhole(text, out long value, out _) && value is >= 0 and <= int.MaxValue;
        number = isNumber ? (int)value : 0;
        return isNumber;
    }

    private static bool TryParseShare(string text, out double share) => NumberText.TryParse(text, out share, out _);
}

using System.Globalization;
using Foretoken.Planning;

namespace Foretoken.Cli;

/// <summary>
/// Plans as they are typed: <c>3@0.25</c>, or <c>4@0.6,8@0.35,12@0.2</c>; <c>3@0.1..0.25</c> where a threshold decides between
/// two shares.
/// </summary>
internal static class PlanText
{
    /// <exception cref="CliException">It is not a plan.</exception>
    internal static PrefillPlan Parse(string text)
    {
        List<PlanBoundary> boundaries = [];
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            string[] halves = part.Split('@', StringSplitOptions.TrimEntries);
            string[] shares = halves[^1].Split("..", StringSplitOptions.TrimEntries);
            if (
                halves.Length != 2
                || shares.Length > 2
                || !int.TryParse(halves[0], NumberStyles.None, CultureInfo.InvariantCulture, out int layer)
                || !TryParseShare(shares[^1], out double retention)
                || !TryParseShare(shares[0], out double least)
            )
            {
                throw new CliException(
                    $"'{part}' is not a boundary. A plan is LAYER@RETENTION, separated by commas: 3@0.25 leaves a quarter of the tokens from layer 3 on, 3@0.1..0.25 a tenth to a quarter, as many as pass a threshold."
                );
            }
            boundaries.Add(new PlanBoundary(layer, retention) { MinRetention = least });
        }
        if (boundaries.Count == 0)
        {
            throw new CliException(
                "The plan is empty. A plan is LAYER@RETENTION, separated by commas, for example 3@0.25."
            );
        }
        try
        {
            return PrefillPlan.FromBoundaries(boundaries);
        }
        catch (ArgumentException e)
        {
            throw new CliException($"The plan '{text}' is not possible. {ErrorText.Describe(e)}", e);
        }
    }

    internal static string Format(PrefillPlan plan) =>
        string.Join(
            ',',
            plan.Boundaries.Select(b =>
                b.MinRetention < b.Retention
                    ? string.Create(
                        CultureInfo.InvariantCulture,
                        $"{b.Layer}@{b.MinRetention:0.####}..{b.Retention:0.####}"
                    )
                    : string.Create(CultureInfo.InvariantCulture, $"{b.Layer}@{b.Retention:0.####}")
            )
        );

    private static bool TryParseShare(string text, out double share) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out share);
}

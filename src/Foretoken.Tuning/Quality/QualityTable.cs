namespace Foretoken.Tuning.Quality;

/// <summary>Sums samples up. Thread-safe.</summary>
internal static class QualityTable
{
    /// <summary>One row per importance, target or plan, kind and length, in the order of their first samples.</summary>
    /// <param name="samples">The samples.</param>
    public static IReadOnlyList<QualityRow> Summarize(IEnumerable<QualitySample> samples)
    {
        ArgumentNullException.ThrowIfNull(samples);
        List<QualityRow> rows = [];
        foreach (
            IGrouping<(string, double, string?, string, int), QualitySample> group in samples.GroupBy(sample =>
                (
                    sample.Importance,
                    // a given plan promises a little more or less with every prompt
                    sample.GivenPlan
                        is null
                        ? sample.Target
                        : 0,
                    sample.GivenPlan?.ToString(),
                    sample.Kind,
                    sample.Length
                )
            )
        )
        {
            QualitySample[] all = [.. group];
            bool isJudged = all.Any(sample => sample.AnsweredByFullPrefill is not null);
            rows.Add(
                new QualityRow
                {
                    Importance = all[0].Importance,
                    Target = Median(all.Select(sample => sample.Target)),
                    Plan = all[0].GivenPlan?.ToString(),
                    Kind = all[0].Kind,
                    Length =
                        all[0].Length > 0
                            ? all[0].Length
                            : (int)Median(all.Select(sample => (double)sample.PromptTokens)),
                    Prompts = all.Length,
                    Answered = isJudged ? all.Count(sample => sample.Answered == true) : null,
                    AnsweredByFullPrefill = isJudged ? all.Count(sample => sample.AnsweredByFullPrefill == true) : null,
                    Kl = all.Average(sample => sample.Kl),
                    KlOfFirst = all.Average(sample => sample.KlOfFirst),
                    Agreement = all.Average(sample => sample.Agreement),
                    MeasuredSpeedup = Median(all.Select(sample => sample.FullPrefillMs / sample.PrefillMs)),
                    DecodeTimeRatio = DecodeTimeRatio(all),
                    RestoredTokens = all.Average(sample => sample.RestoredTokens),
                    PromisedSpeedup = Median(all.Select(sample => sample.PromisedSpeedup)),
                    KeptShare = all.Average(sample => sample.KeptShare),
                }
            );
        }

        return rows;
    }

    /// <summary>As <see cref="QualityRow.DecodeTimeRatio"/>, of any samples.</summary>
    /// <param name="samples">The samples.</param>
    public static double? DecodeTimeRatio(IEnumerable<QualitySample> samples)
    {
        ArgumentNullException.ThrowIfNull(samples);
        double[] ratios = [.. samples.Select(sample => sample.DecodeMs / sample.FullDecodeMs).OfType<double>()];
        return ratios.Length == 0 ? null : Median(ratios);
    }

    /// <summary>The middle value, or the mean of the two middle ones.</summary>
    /// <param name="values">At least one.</param>
    /// <exception cref="ArgumentException">There are none.</exception>
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        if (sorted.Length == 0)
        {
            throw new ArgumentException("There is no median of nothing.", nameof(values));
        }

        int half = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }
}

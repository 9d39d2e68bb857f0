using System.Globalization;
using Foretoken.Importance;
using Foretoken.Tuning;
using Foretoken.Tuning.Importance;
using Foretoken.Tuning.Prompts;
using Foretoken.Tuning.Quality;

namespace Foretoken.Cli.Tune.Compare;

/// <summary>An importance whose quality is judged, and what it was learned from.</summary>
/// <param name="Importance">The importance.</param>
/// <param name="Facts">Facts in the prompts that it was learned from; null when it was not learned.</param>
/// <param name="Prompts">How many prompts; null when it was not learned.</param>
/// <param name="Inputs">What it reads; null when it was not learned.</param>
internal sealed record TuneComparisonCase(
    IImportancePolicy Importance,
    string? Facts = null,
    int? Prompts = null,
    PredictorInputs? Inputs = null
)
{
    /// <summary>Facts of all kinds, the sort with which inputs are compared.</summary>
    internal const string AllFacts = "all";

    /// <summary>The sorts of facts that prompts to learn from may hold.</summary>
    internal static IReadOnlyList<(string Name, FactForm? Form)> Sorts { get; } =
    [("digits", FactForm.Digits), ("words", FactForm.Words), (AllFacts, null)];

    /// <summary>A name that no other case has.</summary>
    internal static string Name(string facts, int prompts, PredictorInputs inputs)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"{LearnedImportance.PolicyName}:{facts}-{prompts}");
        return inputs == TuningOptions.DefaultInputs ? name : $"{name}:{InputNames.Of(inputs)}";
    }

    /// <summary>Sums up what was measured of every case.</summary>
    internal static IReadOnlyList<TuneComparisonRow> Summarize(
        IReadOnlyList<TuneComparisonCase> cases,
        IReadOnlyCollection<TuneComparisonSample> samples
    ) =>
        [
            .. cases
                .Select(one => (Case: one, Samples: samples.Where(s => s.Importance == one.Importance.Name).ToArray()))
                .Where(one => one.Samples.Length > 0)
                .Select(one =>
                {
                    double[] summaries = [.. one.Samples.Where(s => s.Kind == "summary").Select(s => s.Kl)];
                    return new TuneComparisonRow
                    {
                        Importance = one.Case.Importance.Name,
                        Facts = one.Case.Facts,
                        TuningPrompts = one.Case.Prompts,
                        Inputs = one.Case.Inputs is { } inputs ? InputNames.Of(inputs) : null,
                        Digits = Answers(one.Samples, "digits"),
                        Words = Answers(one.Samples, "words"),
                        SummaryKl = summaries.Length > 0 ? summaries.Average() : null,
                        SummaryKlMedian = summaries.Length > 0 ? QualityTable.Median(summaries) : null,
                        Agreement = one.Samples.Average(s => s.Agreement),
                        MeasuredSpeedup = QualityTable.Median(one.Samples.Select(s => s.FullPrefillMs / s.PrefillMs)),
                    };
                }),
        ];

    private static TuneComparisonAnswers Answers(TuneComparisonSample[] samples, string fact)
    {
        TuneComparisonSample[] last = [.. samples.Where(s => s.Fact == fact && s.Kind == "retrieval-last")];
        TuneComparisonSample[] first = [.. samples.Where(s => s.Fact == fact && s.Kind == "retrieval-first")];
        return new TuneComparisonAnswers
        {
            Last = last.Count(s => s.Answered == true),
            LastByFullPrefill = last.Count(s => s.AnsweredByFullPrefill == true),
            First = first.Count(s => s.Answered == true),
            FirstByFullPrefill = first.Count(s => s.AnsweredByFullPrefill == true),
        };
    }
}
